-- Deleting an app, a version or a run hides it at once and frees its rows and files in slices. Until then its row says that it is deleted.

ALTER TABLE apps ADD COLUMN deleted_at INTEGER;
ALTER TABLE app_versions ADD COLUMN deleted_at INTEGER;
ALTER TABLE runs ADD COLUMN deleted_at INTEGER;

-- A version whose runs and archive are gone. Its row stays as long as its app: only a look at all runs of the app could let it go.
ALTER TABLE app_versions ADD COLUMN purged_at INTEGER CHECK (purged_at IS NULL OR deleted_at IS NOT NULL);

CREATE INDEX apps_deleted ON apps (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX app_versions_deleted ON app_versions (id) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX runs_deleted ON runs (id) WHERE deleted_at IS NOT NULL;
