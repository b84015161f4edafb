-- What a job leaves behind, and what its version says about it.

-- The JSON that the job wrote, of the attempt that ended the run.
ALTER TABLE runs ADD COLUMN output TEXT CHECK (output IS NULL OR json_valid(output));

-- Whether the runs of a version get a token for the API, and a JSON array of the parameters whose values are shown to nobody; NULL: none.
ALTER TABLE app_versions ADD COLUMN api INTEGER NOT NULL DEFAULT 0 CHECK (api = 0 OR api = 1);
ALTER TABLE app_versions ADD COLUMN hidden_parameters TEXT CHECK (hidden_parameters IS NULL OR json_valid(hidden_parameters));

-- The hash of an attempt's API token. It opens nothing once the attempt has ended. Most attempts have none, and cost the index nothing.
ALTER TABLE run_attempts ADD COLUMN api_token_hash BLOB CHECK (api_token_hash IS NULL OR length(api_token_hash) = 32);
CREATE UNIQUE INDEX run_attempts_by_api_token ON run_attempts (api_token_hash) WHERE api_token_hash IS NOT NULL;

-- Files that jobs left behind. Their content lies in the object store under its hash.
CREATE TABLE run_artifacts (
    run_id     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path       TEXT    NOT NULL CHECK (octet_length(path) BETWEEN 1 AND 1024),
    sha256     TEXT    NOT NULL CHECK (length(sha256) = 64),
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_artifacts_by_sha256 ON run_artifacts (sha256);

DROP TRIGGER ended_runs_are_final;
CREATE TRIGGER ended_runs_are_final
BEFORE UPDATE OF status, retry_count, queued_at, started_at, finished_at, exit_code, error_message, cancel_requested, output ON runs
WHEN OLD.finished_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an ended run never changes');
END;
