-- A ledger of release 0.1.0: four rows done, one failed, one in doubt.
PRAGMA application_id = 1651794792;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE events (
    id     INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    at     REAL NOT NULL,
    name   TEXT NOT NULL,
    detail TEXT
) STRICT;
INSERT INTO "events" VALUES(1,1,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(2,2,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(3,3,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(4,4,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(5,5,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(6,6,1.79537652914621543879e+09,'Claimed',NULL);
INSERT INTO "events" VALUES(7,4,1.7953765292042155266e+09,'Accepted','{"request_id":"bf597b9e-9068-4640-ab93-fe8b7bf56875"}');
INSERT INTO "events" VALUES(8,2,1.79537652922021532054e+09,'Accepted','{"request_id":"476c52ad-7875-49cc-82c1-32f400929c3c"}');
INSERT INTO "events" VALUES(9,3,1.79537652922521543501e+09,'Accepted','{"request_id":"ccc28dec-072a-481f-b70a-af282fc9317b"}');
INSERT INTO "events" VALUES(10,5,1.79537652924121546747e+09,'Accepted','{"request_id":"28b8cd87-d3d9-4b79-917a-b5af1168a685"}');
INSERT INTO "events" VALUES(11,1,1.79537652924621534342e+09,'Lost','{"failure":{"kind":"outcome_unknown","message":"POST /v1/models/google/nano-banana-2-lite/text-to-image: the connection broke (Connection reset by peer)","remedy":"It may have been charged. If your account shows the request, `batcher retry DIR --adopt ROW=REQUEST_ID` collects it; `--in-doubt resubmit` pays for it again, `--in-doubt abandon` gives it up."}}');
INSERT INTO "events" VALUES(12,6,1.79537652924621534342e+09,'Accepted','{"request_id":"63441d9d-dc57-4162-b0d0-6447e4d78c99"}');
INSERT INTO "events" VALUES(13,4,1.79537652979121541974e+09,'Produced','{"cost_usd":0.036,"outputs":["http://127.0.0.1:43779/files/bf597b9e-9068-4640-ab93-fe8b7bf56875/output.png"]}');
INSERT INTO "events" VALUES(14,5,1.79537652983521533013e+09,'Produced','{"cost_usd":0.036,"outputs":["http://127.0.0.1:43779/files/28b8cd87-d3d9-4b79-917a-b5af1168a685/output.png"]}');
INSERT INTO "events" VALUES(15,6,1.79537652983621549601e+09,'Produced','{"cost_usd":0.036,"outputs":["http://127.0.0.1:43779/files/63441d9d-dc57-4162-b0d0-6447e4d78c99/output.png"]}');
INSERT INTO "events" VALUES(16,4,1.79537652985921549796e+09,'Saved','{"artifacts":[{"height":64,"media_type":"image/png","path":"results/r4.png","sha256":"c28073427cce664f7b0619c303e9b82601634ba3792434e6de23a1c912d63874","size_bytes":184,"width":64}],"download_s":0.05200004577636719}');
INSERT INTO "events" VALUES(17,5,1.79537652986321544647e+09,'Saved','{"artifacts":[{"height":64,"media_type":"image/png","path":"results/r5.png","sha256":"2a366871fbe9f756e4f344dc1afad418d27e8c79b9d2c8aa9c5a2a7f94ae7419","size_bytes":184,"width":64}],"download_s":0.005000114440917969}');
INSERT INTO "events" VALUES(18,6,1.79537652986421537404e+09,'Saved','{"artifacts":[{"height":64,"media_type":"image/png","path":"results/r6.png","sha256":"ed94d6e4ae1dc309a4f8c3d8a54d3757a7097fd91d950c117f80cdcc1134c258","size_bytes":184,"width":64}],"download_s":0.004999876022338867}');
INSERT INTO "events" VALUES(19,2,1.79537652989221549037e+09,'Produced','{"cost_usd":0.036,"outputs":["http://127.0.0.1:43779/files/476c52ad-7875-49cc-82c1-32f400929c3c/output.png"]}');
INSERT INTO "events" VALUES(20,3,1.79537652989421534542e+09,'Died','{"cost_usd":0.0,"failure":{"kind":"generation_failed","message":"GENERATION_FAILED: The generation failed.: simulated","remedy":"`batcher retry DIR --failed` pays for another attempt; `run: regenerations: 1` in the manifest does so by itself."},"transient":true}');
INSERT INTO "events" VALUES(21,2,1.79537652991521549223e+09,'Saved','{"artifacts":[{"height":64,"media_type":"image/png","path":"results/r2.png","sha256":"5a7cb7946fd23551cb41173381a69759d8637109b6e120dc6bd447b1ce15d693","size_bytes":184,"width":64}],"download_s":0.018000125885009766}');
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
INSERT INTO "jobs" VALUES(1,1,1,'in_doubt',1,0,0,NULL,NULL,NULL,0.0,NULL,NULL,NULL,1.79537652924621534342e+09,NULL,NULL,NULL,NULL,0.0,1,'{"kind":"outcome_unknown","message":"POST /v1/models/google/nano-banana-2-lite/text-to-image: the connection broke (Connection reset by peer)","remedy":"It may have been charged. If your account shows the request, `batcher retry DIR --adopt ROW=REQUEST_ID` collects it; `--in-doubt resubmit` pays for it again, `--in-doubt abandon` gives it up."}',NULL,0,0,0);
INSERT INTO "jobs" VALUES(2,2,1,'done',1,0,0,'476c52ad-7875-49cc-82c1-32f400929c3c',0,NULL,0.0,1.79537652922021532054e+09,1.79537652989221549037e+09,1.79537652989221549037e+09,1.79537652991521549223e+09,1.8000125885009765625e-02,'["http://127.0.0.1:43779/files/476c52ad-7875-49cc-82c1-32f400929c3c/output.png"]','[{"height":64,"media_type":"image/png","path":"results/r2.png","sha256":"5a7cb7946fd23551cb41173381a69759d8637109b6e120dc6bd447b1ce15d693","size_bytes":184,"width":64}]',0.036,0.0,0,NULL,NULL,0,1,0);
INSERT INTO "jobs" VALUES(3,3,1,'failed',1,0,0,'ccc28dec-072a-481f-b70a-af282fc9317b',NULL,NULL,0.0,1.79537652922521543501e+09,NULL,NULL,1.79537652989421534542e+09,NULL,NULL,NULL,0.0,0.0,0,'{"kind":"generation_failed","message":"GENERATION_FAILED: The generation failed.: simulated","remedy":"`batcher retry DIR --failed` pays for another attempt; `run: regenerations: 1` in the manifest does so by itself."}',NULL,0,1,0);
INSERT INTO "jobs" VALUES(4,4,1,'done',1,0,0,'bf597b9e-9068-4640-ab93-fe8b7bf56875',0,NULL,0.0,1.7953765292042155266e+09,1.79537652979121541974e+09,1.79537652979121541974e+09,1.79537652985921549796e+09,5.20000457763671875e-02,'["http://127.0.0.1:43779/files/bf597b9e-9068-4640-ab93-fe8b7bf56875/output.png"]','[{"height":64,"media_type":"image/png","path":"results/r4.png","sha256":"c28073427cce664f7b0619c303e9b82601634ba3792434e6de23a1c912d63874","size_bytes":184,"width":64}]',0.036,0.0,0,NULL,NULL,0,1,0);
INSERT INTO "jobs" VALUES(5,5,1,'done',1,0,0,'28b8cd87-d3d9-4b79-917a-b5af1168a685',0,NULL,0.0,1.79537652924121546747e+09,1.79537652983521533013e+09,1.79537652983521533013e+09,1.79537652986321544647e+09,5.00011444091796875e-03,'["http://127.0.0.1:43779/files/28b8cd87-d3d9-4b79-917a-b5af1168a685/output.png"]','[{"height":64,"media_type":"image/png","path":"results/r5.png","sha256":"2a366871fbe9f756e4f344dc1afad418d27e8c79b9d2c8aa9c5a2a7f94ae7419","size_bytes":184,"width":64}]',0.036,0.0,0,NULL,NULL,0,1,0);
INSERT INTO "jobs" VALUES(6,6,1,'done',1,0,0,'63441d9d-dc57-4162-b0d0-6447e4d78c99',0,NULL,0.0,1.79537652924621534342e+09,1.79537652983621549601e+09,1.79537652983621549601e+09,1.79537652986421537404e+09,4.9998760223388671875e-03,'["http://127.0.0.1:43779/files/63441d9d-dc57-4162-b0d0-6447e4d78c99/output.png"]','[{"height":64,"media_type":"image/png","path":"results/r6.png","sha256":"ed94d6e4ae1dc309a4f8c3d8a54d3757a7097fd91d950c117f80cdcc1134c258","size_bytes":184,"width":64}]',0.036,0.0,0,NULL,NULL,0,1,0);
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "meta" VALUES('name','"rows"');
INSERT INTO "meta" VALUES('run','{"concurrency": 64, "posts_in_flight": 16, "downloads": 16, "submits_per_s": null, "regenerations": 0, "refusals": 30, "download_attempts": 8, "poll_floor_s": 0.5, "poll_ceiling_s": 10.0, "backoff_base_s": 0.5, "backoff_ceiling_s": 60.0, "connect_timeout_s": 10.0, "read_timeout_s": 30.0, "submit_timeout_s": 120.0, "job_timeout_s": 7200.0, "download_timeout_s": 900.0, "outage_s": 7200.0, "grace_s": 30.0}');
INSERT INTO "meta" VALUES('service','"simulator"');
INSERT INTO "meta" VALUES('simulator','{"slots": 16, "latency_s": 0.0, "sigma": 0.35, "speed": 1.0, "seed": 1, "prices": {}, "balance_usd": 10000.0, "art": "plain", "size_px": 1024, "video_size_px": 480, "outputs": 1, "failures": "A", "early_result": 200, "success_word": "succeeded", "cancelled_word": "cancelled", "output_shape": "keyed", "cost_delay_s": 0.0, "charge_cancelled": false, "charge_failed": false, "fetch_inputs": "loopback", "accept_data_uris": true, "accept_unknown_models": false, "max_body_bytes": 67108864, "link_lifetime_s": null, "expired_link_status": 403, "retention_s": null, "submits_per_s": null, "auth_failure": 400004, "errors_under_200": false, "error_style": "error_code", "keepalive_timeout_s": 75.0}');
CREATE TABLE requests (
    kind TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT;
INSERT INTO "requests" VALUES('submits',6);
INSERT INTO "requests" VALUES('polls',5);
INSERT INTO "requests" VALUES('results',5);
INSERT INTO "requests" VALUES('downloads',4);
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY,
    started_at  REAL NOT NULL,
    ended_at    REAL,
    exit_reason TEXT,
    pid         INTEGER NOT NULL,
    host        TEXT NOT NULL
) STRICT;
INSERT INTO "runs" VALUES(1,1.79537652903421545034e+09,1.79537652991821551325e+09,'completed',28190,'vm');
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
INSERT INTO "specs" VALUES(1,'id:r1','r1','ac599006dced1e9398d69c8b03f13b0f','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 1"}','r1','{"prompt":"thing 1"}','{}','[]','rows.csv:2');
INSERT INTO "specs" VALUES(2,'id:r2','r2','616e9002ac1ec2f0d4cda1561189bca9','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 2"}','r2','{"prompt":"thing 2"}','{}','[]','rows.csv:3');
INSERT INTO "specs" VALUES(3,'id:r3','r3','b906e5999a115353f71cd0bedc45d010','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 3"}','r3','{"prompt":"thing 3"}','{}','[]','rows.csv:4');
INSERT INTO "specs" VALUES(4,'id:r4','r4','74c270ac858a74da027cebf7f151a3b2','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 4"}','r4','{"prompt":"thing 4"}','{}','[]','rows.csv:5');
INSERT INTO "specs" VALUES(5,'id:r5','r5','fcc32f88b033b9b45dfa7bd896cbd76c','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 5"}','r5','{"prompt":"thing 5"}','{}','[]','rows.csv:6');
INSERT INTO "specs" VALUES(6,'id:r6','r6','97f986eabe46d0e156c560a1cd3229a6','text_to_image','google/nano-banana-2-lite/text-to-image','{"prompt":"thing 6"}','r6','{"prompt":"thing 6"}','{}','[]','rows.csv:7');
CREATE TABLE tallies (
    state    TEXT PRIMARY KEY,
    rows     INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "tallies" VALUES('planned',0,0.0);
INSERT INTO "tallies" VALUES('submitting',0,0.0);
INSERT INTO "tallies" VALUES('in_doubt',1,0.0);
INSERT INTO "tallies" VALUES('submitted',0,0.0);
INSERT INTO "tallies" VALUES('produced',0,-1.38777878078144567552e-17);
INSERT INTO "tallies" VALUES('done',4,0.144);
INSERT INTO "tallies" VALUES('failed',1,0.0);
INSERT INTO "tallies" VALUES('cancelled',0,0.0);
CREATE INDEX specs_row_id ON specs (row_id);
CREATE INDEX specs_stem ON specs (stem COLLATE NOCASE);
CREATE INDEX jobs_state ON jobs (state, position);
CREATE INDEX jobs_waiting ON jobs (state, not_before) WHERE not_before > 0;
CREATE INDEX jobs_position ON jobs (position);
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('specs',6);
COMMIT;
