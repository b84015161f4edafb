-- Labels of runs, and keys that make creating a run repeatable. Runs without them cost nothing more.

-- A JSON object of strings; NULL: none. No CHECK: adding one would read every run there is.
ALTER TABLE runs ADD COLUMN labels TEXT;

-- The same labels, for lists: newest first within one label.
CREATE TABLE run_labels (
    team_id INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    run_id  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    PRIMARY KEY (team_id, key, value, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_labels_by_run ON run_labels (run_id);

-- The run that a key made, and a hash of what was asked for with it. Kept for a day.
CREATE TABLE idempotency_keys (
    team_id      INTEGER NOT NULL REFERENCES teams (id),
    key          TEXT    NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    request_hash BLOB    NOT NULL CHECK (length(request_hash) = 32),
    run_id       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (team_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_run ON idempotency_keys (run_id);
