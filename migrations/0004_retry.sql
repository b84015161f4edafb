-- A run's own timeout and retry policy. `retry_on` holds the failures that are retried, separated by commas; NULL: losses only, at once.
ALTER TABLE runs ADD COLUMN timeout_seconds INTEGER CHECK (timeout_seconds >= 1);
ALTER TABLE runs ADD COLUMN retry_on TEXT CHECK (retry_on <> '');
ALTER TABLE runs ADD COLUMN backoff_initial_ms INTEGER
    CHECK ((backoff_initial_ms IS NULL) = (retry_on IS NULL) AND (backoff_initial_ms IS NULL OR backoff_initial_ms >= 0));
-- Thousandths of the factor from one backoff to the next.
ALTER TABLE runs ADD COLUMN backoff_multiplier INTEGER
    CHECK ((backoff_multiplier IS NULL) = (retry_on IS NULL) AND (backoff_multiplier IS NULL OR backoff_multiplier >= 1000));
ALTER TABLE runs ADD COLUMN backoff_max_ms INTEGER
    CHECK ((backoff_max_ms IS NULL) = (retry_on IS NULL) AND (backoff_max_ms IS NULL OR backoff_max_ms >= 0));
-- The end of a queued run's backoff. It is blocked exactly as long as it has one.
ALTER TABLE runs ADD COLUMN not_before INTEGER
    CHECK ((not_before IS NOT NULL) = (blocked_by IS 'backoff') AND (not_before IS NULL OR status = 'queued'));
CREATE INDEX runs_by_not_before ON runs (not_before) WHERE not_before IS NOT NULL;
