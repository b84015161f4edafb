-- A commit writes whole pages. Two indexes of attempts took a page of their own for nearly each lease: that of the lease tokens' hashes, which
-- are random, and that by runner, where each runner has its own place. Together they were a third of all that a run writes. A lease token is
-- looked up among the attempts at its run, and what the second was for stands in the runner's own row.
--
-- SQLite cannot take UNIQUE or REFERENCES off a column, so the table is made anew (https://sqlite.org/lang_altertable.html#otheralter). This
-- step runs without foreign keys, which are checked at its end.
ALTER TABLE runners ADD COLUMN last_finished_at INTEGER;
UPDATE runners SET last_finished_at = (
    SELECT finished_at FROM run_attempts WHERE runner_id = runners.id AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1);

CREATE TABLE attempts_made_anew (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id           INTEGER NOT NULL REFERENCES runs (id),
    attempt_no       INTEGER NOT NULL CHECK (attempt_no >= 1),
    -- Stays when the runner is forgotten: ids are not used twice. NULL: the runner was forgotten before this step.
    runner_id        INTEGER,
    runner_name      TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (
        status = 'leased' OR status = 'running' OR status = 'cancelling' OR status = 'completed'
        OR status = 'failed' OR status = 'cancelled' OR status = 'expired' OR status = 'released'),
    lease_token_hash BLOB    NOT NULL CHECK (length(lease_token_hash) = 32),
    lease_expires_at INTEGER NOT NULL,
    lease_ttl_ms     INTEGER NOT NULL CHECK (lease_ttl_ms > 0),
    instance_id      TEXT,
    request_id       TEXT,
    leased_at        INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    ended_by         TEXT    CHECK (
        ended_by = 'result' OR ended_by = 'expiry' OR ended_by = 'release' OR ended_by = 'process_end'),
    exit_code        INTEGER,
    error_message    TEXT,
    reason           TEXT    CHECK (
        reason = 'exit' OR reason = 'signal' OR reason = 'timeout' OR reason = 'setup'),
    row_version      INTEGER NOT NULL DEFAULT 0,
    api_token_hash   BLOB    CHECK (api_token_hash IS NULL OR length(api_token_hash) = 32),
    UNIQUE (run_id, attempt_no),
    CHECK ((finished_at IS NULL) = (status = 'leased' OR status = 'running' OR status = 'cancelling')),
    CHECK ((ended_by IS NULL) = (finished_at IS NULL)),
    CHECK (finished_at IS NOT NULL OR runner_id IS NOT NULL)
) STRICT;
INSERT INTO attempts_made_anew (id, run_id, attempt_no, runner_id, runner_name, status, lease_token_hash, lease_expires_at, lease_ttl_ms,
    instance_id, request_id, leased_at, started_at, finished_at, ended_by, exit_code, error_message, reason, row_version, api_token_hash)
SELECT id, run_id, attempt_no, runner_id, runner_name, status, lease_token_hash, lease_expires_at, lease_ttl_ms,
    instance_id, request_id, leased_at, started_at, finished_at, ended_by, exit_code, error_message, reason, row_version, api_token_hash
FROM run_attempts ORDER BY id;
-- Ids go on where they were: after a restore that is beyond the greatest one.
DELETE FROM sqlite_sequence WHERE name = 'attempts_made_anew';
INSERT INTO sqlite_sequence (name, seq) SELECT 'attempts_made_anew', seq FROM sqlite_sequence WHERE name = 'run_attempts';
DROP TABLE run_attempts;
ALTER TABLE attempts_made_anew RENAME TO run_attempts;

CREATE UNIQUE INDEX one_active_attempt_per_run ON run_attempts (run_id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX one_active_attempt_per_runner ON run_attempts (runner_id) WHERE finished_at IS NULL;
CREATE INDEX run_attempts_by_expiry ON run_attempts (lease_expires_at) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX run_attempts_by_api_token ON run_attempts (api_token_hash) WHERE api_token_hash IS NOT NULL;

CREATE TRIGGER ended_attempts_are_final
BEFORE UPDATE OF status, lease_token_hash, lease_expires_at, started_at, finished_at, ended_by, exit_code, error_message, reason
ON run_attempts
WHEN OLD.finished_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an ended attempt never changes');
END;
-- What the reference to the runner held, as long as the attempt is active.
CREATE TRIGGER an_attempt_begins_with_a_runner
BEFORE INSERT ON run_attempts
WHEN NEW.finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM runners WHERE id = NEW.runner_id)
BEGIN
    SELECT RAISE(ABORT, 'an active attempt has a runner');
END;
CREATE TRIGGER a_busy_runner_is_not_forgotten
BEFORE DELETE ON runners
WHEN EXISTS (SELECT 1 FROM run_attempts WHERE runner_id = OLD.id AND finished_at IS NULL)
BEGIN
    SELECT RAISE(ABORT, 'a runner with an active attempt is not forgotten');
END;
