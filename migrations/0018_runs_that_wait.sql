-- Runs that wait: for other runs, for their app to be enabled, or for a place among the active runs of their concurrency key.

-- One more reason for which a queued run is not ready. A CHECK of a table that exists is changed as the page of ALTER TABLE describes it for
-- changes that leave the content as it is (https://www.sqlite.org/lang_altertable.html#otheralter): no row is written. The statements behind it
-- change the schema's number, so that every connection reads the new text.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'blocked_by = ''backoff'' OR', 'blocked_by = ''after'' OR blocked_by = ''backoff'' OR')
WHERE type = 'table' AND name = 'runs';
PRAGMA writable_schema = RESET;

-- A version's limit of active runs, by its Towerfile; none of both: it has none. No key: the slug of the app.
ALTER TABLE app_versions ADD COLUMN concurrency_max INTEGER CHECK (concurrency_max BETWEEN 1 AND 1000000);
ALTER TABLE app_versions ADD COLUMN concurrency_key TEXT
    CHECK (concurrency_key IS NULL OR (concurrency_max IS NOT NULL AND octet_length(concurrency_key) BETWEEN 1 AND 200));

-- What an app says for all of its versions.
ALTER TABLE apps ADD COLUMN concurrency_max INTEGER CHECK (concurrency_max BETWEEN 1 AND 1000000);
ALTER TABLE apps ADD COLUMN concurrency_key TEXT
    CHECK (concurrency_key IS NULL OR (concurrency_max IS NOT NULL AND octet_length(concurrency_key) BETWEEN 1 AND 200));
-- Most bytes of the log of a run; NULL: as many as the team's limits allow.
ALTER TABLE apps ADD COLUMN log_bytes INTEGER CHECK (log_bytes BETWEEN 1 AND 9007199254740991);
-- How long its runs usually take and wait at most, for those who are to be told of others.
ALTER TABLE apps ADD COLUMN expect_seconds INTEGER CHECK (expect_seconds BETWEEN 1 AND 31536000);
ALTER TABLE apps ADD COLUMN expect_wait_seconds INTEGER CHECK (expect_wait_seconds BETWEEN 1 AND 31536000);

-- The runs of a team with the same key share a limit of active ones. It is the run's own, or, if it has none, what its app says now.
ALTER TABLE runs ADD COLUMN concurrency_key TEXT
    CHECK ((concurrency_key IS NULL OR octet_length(concurrency_key) BETWEEN 1 AND 200)
        AND (blocked_by IS NULL OR status = 'queued') AND (blocked_by IS NOT 'limit' OR concurrency_key IS NOT NULL));
ALTER TABLE runs ADD COLUMN concurrency_max INTEGER
    CHECK (concurrency_max IS NULL OR (concurrency_key IS NOT NULL AND concurrency_max BETWEEN 1 AND 1000000));
-- Whether other runs come after it: the end of one that nobody waits for is nothing to look at.
ALTER TABLE runs ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0 CHECK (awaited IN (0, 1));

-- Runs that come after others. An id stays when the run it names is deleted: no other run ever gets it.
CREATE TABLE run_dependencies (
    run_id       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    after_run_id INTEGER NOT NULL CHECK (after_run_id < run_id),
    -- What the other run has to have come to.
    until        TEXT    NOT NULL CHECK (until IN ('completed', 'ended')),
    met          INTEGER NOT NULL DEFAULT 0 CHECK (met IN (0, 1)),
    PRIMARY KEY (run_id, after_run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_dependencies_unmet ON run_dependencies (after_run_id, run_id) WHERE met = 0;

-- Those that wait for a place, in the order of the queue.
CREATE INDEX runs_waiting_for_key ON runs (team_id, concurrency_key, environment_name, priority DESC, queued_at, id)
    WHERE blocked_by = 'limit';
-- Those that have a place, or may have one at the next poll: never many more than the limit.
CREATE INDEX runs_at_key ON runs (team_id, concurrency_key, environment_name, status, id)
    WHERE concurrency_key IS NOT NULL AND blocked_by IS NULL AND finished_at IS NULL;
-- Those of disabled apps, in the order of the queue.
CREATE INDEX runs_of_disabled_apps ON runs (app_id, priority DESC, queued_at, id) WHERE blocked_by = 'disabled';
