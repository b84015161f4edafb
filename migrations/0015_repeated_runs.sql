-- The run that a run repeats; NULL: none. It may have been deleted meanwhile. No CHECK: adding one would read every run there is.
ALTER TABLE runs ADD COLUMN retry_of INTEGER;

-- Whether a run was repeated. Runs that repeat none cost it nothing.
CREATE INDEX runs_by_retry_of ON runs (retry_of) WHERE retry_of IS NOT NULL;

CREATE TRIGGER a_run_repeats_an_older_one
AFTER INSERT ON runs
WHEN NEW.retry_of >= NEW.id
BEGIN
    SELECT RAISE(ABORT, 'a run repeats an older one');
END;
