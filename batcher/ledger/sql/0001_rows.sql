-- What the plan says of a row: written once, and again only when the manifest changes it.
CREATE TABLE specs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: events of a row that was dropped do not become those of another
    key         TEXT NOT NULL UNIQUE,
    row_id      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job         TEXT NOT NULL,
    model       TEXT NOT NULL,
    body        TEXT NOT NULL,
    stem        TEXT NOT NULL,
    fields      TEXT NOT NULL,
    axes        TEXT NOT NULL,
    inputs      TEXT NOT NULL,
    source      TEXT NOT NULL
) STRICT;

CREATE INDEX specs_row_id ON specs (row_id);
CREATE INDEX specs_stem ON specs (stem COLLATE NOCASE);

-- How a row is: narrow, because it is written at every transition. `listed` is 0 for a row that the manifest no longer names.
CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY REFERENCES specs (seq),
    position         INTEGER NOT NULL,
    listed           INTEGER NOT NULL DEFAULT 1,
    state            TEXT NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    refusals         INTEGER NOT NULL DEFAULT 0,
    fetches          INTEGER NOT NULL DEFAULT 0,
    request_id       TEXT,
    queued           INTEGER,
    queue_position   INTEGER,
    not_before       REAL NOT NULL DEFAULT 0,
    submitted_at     REAL,
    started_at       REAL,
    produced_at      REAL,
    ended_at         REAL,
    download_s       REAL,
    outputs          TEXT,
    artifacts        TEXT,
    cost_usd         REAL,
    earlier_cost_usd REAL NOT NULL DEFAULT 0,
    unpriced         INTEGER NOT NULL DEFAULT 0,
    failure          TEXT,
    cancel           TEXT,
    cancel_refused   INTEGER NOT NULL DEFAULT 0,
    polls            INTEGER NOT NULL DEFAULT 0,
    poll_failures    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Not partial, although only open rows are looked for: SQLite uses a partial index only where the query repeats the index's own condition.
CREATE INDEX jobs_state ON jobs (state, position);
CREATE INDEX jobs_waiting ON jobs (state, not_before) WHERE not_before > 0;
CREATE INDEX jobs_position ON jobs (position);

-- Every transition with its time, so that *why* can be answered.
CREATE TABLE events (
    id     INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    at     REAL NOT NULL,
    name   TEXT NOT NULL,
    detail TEXT
) STRICT;

-- Kept as they change, so that asking for progress costs the same at a million rows as at ten.
CREATE TABLE tallies (
    state    TEXT PRIMARY KEY,
    rows     INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0
) STRICT;

INSERT INTO tallies (state)
VALUES ('planned'), ('submitting'), ('in_doubt'), ('submitted'), ('produced'), ('done'), ('failed'), ('cancelled');

CREATE TRIGGER tally_insert AFTER INSERT ON jobs WHEN new.listed BEGIN
    UPDATE tallies SET rows = rows + 1, cost_usd = cost_usd + new.earlier_cost_usd + coalesce(new.cost_usd, 0) WHERE state = new.state;
END;

CREATE TRIGGER tally_delete AFTER DELETE ON jobs WHEN old.listed BEGIN
    UPDATE tallies SET rows = rows - 1, cost_usd = cost_usd - old.earlier_cost_usd - coalesce(old.cost_usd, 0) WHERE state = old.state;
END;

CREATE TRIGGER tally_update AFTER UPDATE OF state, listed, cost_usd, earlier_cost_usd ON jobs
WHEN old.state <> new.state OR old.listed <> new.listed OR old.cost_usd IS NOT new.cost_usd OR old.earlier_cost_usd <> new.earlier_cost_usd
BEGIN
    UPDATE tallies SET rows = rows - 1, cost_usd = cost_usd - old.earlier_cost_usd - coalesce(old.cost_usd, 0)
    WHERE state = old.state AND old.listed;
    UPDATE tallies SET rows = rows + 1, cost_usd = cost_usd + new.earlier_cost_usd + coalesce(new.cost_usd, 0)
    WHERE state = new.state AND new.listed;
END;

-- Calls made to the service over all runs, by kind.
CREATE TABLE requests (
    kind TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT;

-- Each time that the batch was run.
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY,
    started_at  REAL NOT NULL,
    ended_at    REAL,
    exit_reason TEXT,
    pid         INTEGER NOT NULL,
    host        TEXT NOT NULL
) STRICT;

-- What the batch is: its name, its service, its settings.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
