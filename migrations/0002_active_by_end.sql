-- What is active has no end: the same rows as by their status, which the table's CHECK asserts, without SQLite building the list of an IN anew for
-- each index each time an attempt is written.
DROP INDEX one_active_attempt_per_run;
DROP INDEX one_active_attempt_per_runner;
DROP INDEX run_attempts_by_expiry;
CREATE UNIQUE INDEX one_active_attempt_per_run ON run_attempts (run_id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX one_active_attempt_per_runner ON run_attempts (runner_id) WHERE finished_at IS NULL;
CREATE INDEX run_attempts_by_expiry ON run_attempts (lease_expires_at) WHERE finished_at IS NULL;

DROP TRIGGER ended_runs_are_final;
CREATE TRIGGER ended_runs_are_final
BEFORE UPDATE OF status, retry_count, queued_at, started_at, finished_at, exit_code, error_message, cancel_requested ON runs
WHEN OLD.finished_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an ended run never changes');
END;
DROP TRIGGER ended_attempts_are_final;
CREATE TRIGGER ended_attempts_are_final
BEFORE UPDATE OF status, lease_token_hash, lease_expires_at, started_at, finished_at, ended_by, exit_code, error_message, reason
ON run_attempts
WHEN OLD.finished_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an ended attempt never changes');
END;
