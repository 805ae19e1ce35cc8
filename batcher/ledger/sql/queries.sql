-- Each statement is named by the comment line before it.

-- name: select_jobs
SELECT j.position, s.seq, s.key, s.row_id, s.fingerprint, s.job, s.model, s.body, s.stem, s.fields, s.axes, s.inputs, s.source,
       j.state, j.attempts, j.refusals, j.fetches, j.request_id, j.queued, j.queue_position, j.not_before, j.submitted_at, j.started_at,
       j.produced_at, j.ended_at, j.download_s, j.outputs, j.artifacts, j.cost_usd, j.earlier_cost_usd, j.unpriced, j.failure, j.cancel, j.cancel_refused,
       j.polls, j.poll_failures,
       (SELECT json_object('verdict', verdict, 'note', note, 'at', at, 'request_id', request_id, 'sha256', sha256) FROM reviews
        WHERE reviews.seq = s.seq) AS review
FROM jobs AS j JOIN specs AS s USING (seq)

-- name: where_claimable
WHERE j.state = :state AND j.listed AND j.not_before <= :now ORDER BY j.position LIMIT :limit

-- name: where_submitted
WHERE j.state = 'submitted' ORDER BY j.position LIMIT :limit

-- name: where_cancellable
WHERE j.state = 'submitted' AND NOT j.cancel_refused AND j.queued IS NOT 0 ORDER BY j.position LIMIT :limit

-- name: where_submitting
WHERE j.state = 'submitting' ORDER BY j.position

-- name: where_page
WHERE j.listed AND j.position > :after ORDER BY j.position LIMIT :limit

-- name: where_page_of_state
WHERE j.listed AND j.state = :state AND j.position > :after ORDER BY j.position LIMIT :limit

-- name: where_last_of_state
WHERE j.listed AND j.state = :state ORDER BY j.position DESC LIMIT :limit

-- name: where_among
WHERE j.listed AND j.seq IN (SELECT value FROM json_each(:seqs)) ORDER BY j.position

-- name: where_page_of_key
WHERE j.listed AND s.key > :after ORDER BY s.key LIMIT :limit

-- name: where_row
WHERE j.listed AND s.row_id = :row_id

-- name: has_stem
SELECT 1 FROM specs WHERE stem = ? COLLATE NOCASE

-- name: next_due
SELECT min(not_before) FROM jobs WHERE state = :state AND listed AND not_before > 0 AND not_before > :now

-- name: end_waits
UPDATE jobs SET not_before = 0, refusals = 0 WHERE not_before > 0 AND state IN ('planned', 'submitted', 'produced')

-- name: forget_refused_cancels
UPDATE jobs SET cancel_refused = 0 WHERE cancel_refused AND cancel IS NOT NULL AND state = 'submitted'

-- name: update_job
UPDATE jobs
SET state = ?, attempts = ?, refusals = ?, fetches = ?, request_id = ?, queued = ?, queue_position = ?, not_before = ?, submitted_at = ?,
    started_at = ?, produced_at = ?, ended_at = ?, download_s = ?, outputs = ?, artifacts = ?, cost_usd = ?, earlier_cost_usd = ?, unpriced = ?, failure = ?,
    cancel = ?, cancel_refused = ?, polls = ?, poll_failures = ?
WHERE seq = ?

-- name: select_state
SELECT state FROM jobs WHERE seq = ?

-- name: select_result
SELECT state, request_id FROM jobs WHERE seq = ?

-- name: insert_event
INSERT INTO events (seq, at, name, detail) VALUES (?, ?, ?, ?)

-- name: insert_spec
INSERT INTO specs (seq, key, row_id, fingerprint, job, model, body, stem, fields, axes, inputs, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_job
INSERT INTO jobs (seq, position, state) VALUES (?, ?, 'planned')

-- name: has_rows
SELECT 1 FROM jobs LIMIT 1

-- name: select_last_seq
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'specs'

-- name: select_upkeep
SELECT 'DROP ' || type || ' ' || name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('specs', 'jobs') AND sql IS NOT NULL OR name = 'tally_insert'

-- name: tally_first_rows
UPDATE tallies SET rows = (SELECT count(*) FROM jobs) WHERE state = 'planned'

-- name: select_known
SELECT s.key, s.seq, s.fingerprint, s.row_id, s.stem, s.fields, s.axes, s.inputs, s.source, j.state, j.position, j.listed, j.request_id,
       seen.seq IS NOT NULL AS is_seen, revisions.planned
FROM json_each(?) AS wanted JOIN specs AS s ON s.key = wanted.value JOIN jobs AS j USING (seq) LEFT JOIN seen USING (seq)
LEFT JOIN revisions USING (seq)

-- name: put_review
INSERT INTO reviews (seq, verdict, note, at, request_id, sha256) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (seq) DO UPDATE SET verdict = excluded.verdict, note = excluded.note, at = excluded.at, request_id = excluded.request_id, sha256 = excluded.sha256

-- name: forget_review
DELETE FROM reviews WHERE seq = ?

-- name: note_revision
INSERT OR IGNORE INTO revisions (seq, planned) SELECT seq, fingerprint FROM specs WHERE seq = ?

-- name: forget_revision
DELETE FROM revisions WHERE seq = ?

-- name: update_spec
UPDATE specs SET fingerprint = ?, job = ?, model = ?, body = ?, stem = ?, fields = ?, axes = ?, inputs = ?, source = ? WHERE seq = ?

-- name: describe_spec
UPDATE specs SET stem = ?, fields = ?, axes = ?, inputs = ?, source = ? WHERE seq = ?

-- name: place_job
UPDATE jobs SET position = ?, listed = 1 WHERE seq = ?

-- name: replan_job
UPDATE jobs
SET position = ?, listed = 1, state = 'planned', attempts = 0, refusals = 0, fetches = 0, request_id = NULL, queued = NULL, queue_position = NULL,
    not_before = 0, submitted_at = NULL, started_at = NULL, produced_at = NULL, ended_at = NULL, download_s = NULL, outputs = NULL,
    artifacts = NULL, earlier_cost_usd = earlier_cost_usd + coalesce(cost_usd, 0), cost_usd = NULL, failure = NULL, cancel = NULL,
    cancel_refused = 0, polls = 0, poll_failures = 0
WHERE seq = ?

-- name: begin_seen
CREATE TEMP TABLE seen (seq INTEGER PRIMARY KEY, name_key TEXT NOT NULL) STRICT

-- name: end_seen
DROP TABLE temp.seen

-- name: index_seen
CREATE INDEX temp.seen_name_key ON seen (name_key)

-- name: insert_seen
INSERT INTO seen (seq, name_key) VALUES (?, ?)

-- name: select_same_fingerprints
WITH several AS MATERIALIZED (SELECT fingerprint FROM seen JOIN specs USING (seq) GROUP BY fingerprint HAVING count(*) > 1)
SELECT fingerprint, body FROM seen JOIN specs USING (seq) WHERE fingerprint IN several

-- name: begin_requests
CREATE TEMP TABLE made_requests (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID

-- name: insert_request
INSERT OR IGNORE INTO made_requests (digest) VALUES (?)

-- name: end_requests
DROP TABLE temp.made_requests

-- name: select_clashes
WITH several AS MATERIALIZED (SELECT name_key FROM seen GROUP BY name_key HAVING count(*) > 1),
named AS (
    SELECT s.row_id, s.stem, s.source, j.position, row_number() OVER same AS nth,
           first_value(s.row_id) OVER same AS first_id, first_value(s.source) OVER same AS first_source
    FROM several JOIN seen USING (name_key) JOIN specs AS s USING (seq) JOIN jobs AS j USING (seq)
    WINDOW same AS (PARTITION BY name_key ORDER BY j.position)
)
SELECT row_id, stem, source, first_id, first_source FROM named WHERE nth > 1 ORDER BY position

-- name: select_seen_name
SELECT s.row_id, s.source FROM seen JOIN specs AS s USING (seq) WHERE seen.name_key = ?

-- name: select_kept
SELECT s.seq, s.row_id, s.stem FROM specs AS s JOIN jobs AS j USING (seq)
WHERE j.listed AND j.seq NOT IN (SELECT seq FROM seen) AND j.state IN ('submitting', 'in_doubt', 'submitted', 'produced')
ORDER BY j.position

-- name: delete_dropped
DELETE FROM jobs
WHERE listed AND seq NOT IN (SELECT seq FROM seen) AND state = 'planned' AND attempts = 0 AND earlier_cost_usd = 0 AND coalesce(cost_usd, 0) = 0
    AND unpriced = 0

-- name: delete_orphans
DELETE FROM specs WHERE seq NOT IN (SELECT seq FROM jobs)

-- name: unlist_dropped
UPDATE jobs SET listed = 0
WHERE listed AND seq NOT IN (SELECT seq FROM seen) AND state NOT IN ('submitting', 'in_doubt', 'submitted', 'produced')

-- name: select_tallies
SELECT state, rows, cost_usd FROM tallies

-- name: add_requests
INSERT INTO requests (kind, n) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET n = n + excluded.n

-- name: select_requests
SELECT kind, n FROM requests

-- name: begin_run
INSERT INTO runs (started_at, pid, host) VALUES (?, ?, ?)

-- name: end_run
UPDATE runs SET ended_at = ?, exit_reason = ? WHERE id = ?

-- name: select_runs
SELECT id, started_at, ended_at, exit_reason, pid, host FROM runs ORDER BY id

-- name: put_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: select_meta
SELECT key, value FROM meta WHERE key NOT IN ('wal_needed', 'learned')

-- name: select_fact
SELECT CAST(value AS BLOB) FROM meta WHERE key = ?

-- name: forget_fact
DELETE FROM meta WHERE key = ?

-- name: select_row_of_request
SELECT s.row_id FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.request_id = ? AND j.state <> 'in_doubt'

-- name: select_other_of_request
SELECT s.row_id FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.request_id = ? AND j.seq <> ?

-- name: select_shared_requests
WITH several AS MATERIALIZED (SELECT request_id FROM jobs WHERE request_id IS NOT NULL GROUP BY request_id HAVING count(*) > 1),
shared AS MATERIALIZED (
    SELECT seq, request_id, state FROM jobs
    WHERE request_id IN several AND +state IN ('in_doubt', 'submitted', 'produced', 'done', 'failed')
),
unsettled AS (
    SELECT request_id FROM shared WHERE state <> 'in_doubt' AND NOT EXISTS (
        SELECT 1 FROM events WHERE events.seq = shared.seq AND name = 'Adopt' AND json_extract(detail, '$.request_id') = shared.request_id
    )
)
SELECT h.request_id, s.row_id FROM shared AS h JOIN specs AS s USING (seq)
WHERE h.request_id IN unsettled AND h.request_id IN (SELECT request_id FROM shared GROUP BY request_id HAVING count(*) > 1)
ORDER BY h.request_id, h.seq

-- name: select_at_service
SELECT s.row_id, s.model, j.queued, j.submitted_at
FROM jobs AS j JOIN specs AS s USING (seq) WHERE j.listed AND j.state = 'submitted' ORDER BY j.submitted_at LIMIT ?

-- name: select_last_event
SELECT at FROM events ORDER BY id DESC LIMIT 1

-- name: select_same_files
WITH files AS (
    SELECT DISTINCT j.seq, j.position, json_extract(file.value, '$.sha256') AS sha256
    FROM jobs AS j, json_each(j.artifacts) AS file WHERE j.listed AND j.state = 'done'
),
shared AS (SELECT sha256, count(*) AS n FROM files GROUP BY sha256 HAVING n > 1 ORDER BY n DESC, min(position) LIMIT :limit),
numbered AS (SELECT f.seq, f.sha256, s.n, row_number() OVER (PARTITION BY f.sha256 ORDER BY f.position) AS nth FROM shared AS s JOIN files AS f USING (sha256))
SELECT sha256, n, row_id FROM numbered JOIN specs USING (seq) WHERE nth <= :examples ORDER BY n DESC, sha256, nth

-- name: select_row_tallies
SELECT state, count(*), sum(earlier_cost_usd + coalesce(cost_usd, 0)) FROM jobs WHERE listed GROUP BY state

-- name: select_bare
SELECT s.row_id FROM jobs AS j JOIN specs AS s USING (seq)
WHERE j.listed AND (j.state = 'done' AND j.artifacts IS NULL OR j.state IN ('submitted', 'produced', 'done') AND j.request_id IS NULL) LIMIT 20

-- name: select_unexplained
WITH told AS (
    SELECT seq, json_extract(detail, '$.request_id') AS request_id, max(id) FROM events WHERE name IN ('Accepted', 'Adopt') GROUP BY seq
)
SELECT s.row_id FROM jobs AS j JOIN specs AS s USING (seq) LEFT JOIN told USING (seq)
WHERE j.request_id IS NOT NULL AND j.request_id IS NOT told.request_id LIMIT 20

-- name: select_saved
SELECT seq, artifacts FROM jobs WHERE artifacts IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?

-- name: select_events
SELECT at, name, detail FROM events WHERE seq = ? ORDER BY id

-- name: select_last_event
SELECT coalesce(max(id), 0) FROM events

-- name: select_events_after
SELECT id, seq FROM events WHERE id > ? ORDER BY id LIMIT ?
