-- What a person thinks of the result of a row, the last word only. Of which result: a mark says nothing about what another request made.
CREATE TABLE reviews (
    seq        INTEGER PRIMARY KEY REFERENCES specs (seq) ON DELETE CASCADE,
    verdict    TEXT NOT NULL CHECK (verdict IN ('accepted', 'rejected', 'redo')),
    note       TEXT NOT NULL,
    at         REAL NOT NULL,
    request_id TEXT NOT NULL,
    sha256     TEXT NOT NULL
) STRICT;

-- Rows whose request a person changed after the manifest was planned, each with the fingerprint of the request that the manifest asks for.
CREATE TABLE revisions (
    seq     INTEGER PRIMARY KEY REFERENCES specs (seq) ON DELETE CASCADE,
    planned TEXT NOT NULL
) STRICT;
