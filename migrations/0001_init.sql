-- The whole state of a control plane. A CHECK of more than two values is a chain of ORs: SQLite builds a list anew for each IN, each time a row is
-- written. Times are milliseconds since the Unix epoch, by the server's clock.
-- Every invariant that SQLite can hold by itself is held here; see docs/architecture.md.

CREATE TABLE teams (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    slug          TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    password_hash TEXT,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE team_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id      INTEGER NOT NULL REFERENCES teams (id),
    name         TEXT,
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'member')),
    token_hash   BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

-- A team's own tokens for registering runners; the platform's token is configuration.
CREATE TABLE registration_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id      INTEGER NOT NULL REFERENCES teams (id),
    -- Made by bootstrap: replaced by the next bootstrap.
    bootstrap    INTEGER NOT NULL DEFAULT 0 CHECK (bootstrap IN (0, 1)),
    token_hash   BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX registration_tokens_by_team ON registration_tokens (team_id, id);

CREATE TABLE environments (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id    INTEGER NOT NULL REFERENCES teams (id),
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (team_id, name),
    -- Target of the composite foreign key of runs, which carry the name for the queue of platform runners.
    UNIQUE (id, team_id, name)
) STRICT;

CREATE TABLE apps (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id         INTEGER NOT NULL REFERENCES teams (id),
    slug            TEXT    NOT NULL,
    description     TEXT,
    disabled        INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    last_run_no     INTEGER NOT NULL DEFAULT 0,
    last_version_no INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (team_id, slug),
    UNIQUE (id, team_id)
) STRICT;

CREATE TABLE app_versions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id          INTEGER NOT NULL REFERENCES apps (id),
    version_no      INTEGER NOT NULL CHECK (version_no >= 1),
    entrypoint      TEXT    NOT NULL,
    timeout_seconds INTEGER CHECK (timeout_seconds >= 1),
    params_schema   TEXT,
    artifact_sha256 TEXT    NOT NULL CHECK (length(artifact_sha256) = 64),
    artifact_bytes  INTEGER NOT NULL CHECK (artifact_bytes >= 0),
    towerfile_toml  TEXT,
    import_paths    TEXT,
    max_retries     INTEGER NOT NULL DEFAULT 0 CHECK (max_retries >= 0),
    created_at      INTEGER NOT NULL,
    UNIQUE (app_id, version_no),
    UNIQUE (id, app_id)
) STRICT;
CREATE INDEX app_versions_by_artifact ON app_versions (artifact_sha256);

CREATE TABLE runners (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    -- NULL: registered with the platform's token, serves its environment name across teams.
    team_id       INTEGER REFERENCES teams (id),
    environment   TEXT    NOT NULL,
    pool          TEXT,
    labels        TEXT,
    token_hash    BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    instance_id   TEXT,
    registered_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX runners_by_last_seen ON runners (last_seen_at);

-- Fences are held on names: a pod is fenced before it has ever registered.
CREATE TABLE runner_fences (
    runner_name    TEXT    NOT NULL,
    -- 0: the operator; else the id of the team whose admin holds it.
    holder_team_id INTEGER NOT NULL,
    owner          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (runner_name, holder_team_id, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id          INTEGER NOT NULL REFERENCES teams (id),
    app_id           INTEGER NOT NULL,
    environment_id   INTEGER NOT NULL,
    environment_name TEXT    NOT NULL,
    app_version_id   INTEGER NOT NULL,
    run_no           INTEGER NOT NULL CHECK (run_no >= 1),
    status           TEXT    NOT NULL CHECK (
        status = 'queued' OR status = 'leased' OR status = 'running' OR status = 'cancelling'
        OR status = 'completed' OR status = 'failed' OR status = 'cancelled' OR status = 'dead'),
    -- Why a queued run may not be leased yet; NULL: it is ready. Rows that are not ready leave the queue's indexes.
    blocked_by       TEXT    CHECK (blocked_by = 'backoff' OR blocked_by = 'limit' OR blocked_by = 'disabled'),
    input            TEXT    CHECK (input IS NULL OR json_valid(input)),
    priority         INTEGER NOT NULL DEFAULT 0,
    max_retries      INTEGER NOT NULL CHECK (max_retries >= 0),
    retry_count      INTEGER NOT NULL DEFAULT 0 CHECK (retry_count BETWEEN 0 AND max_retries),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    runner_name      TEXT,
    exit_code        INTEGER,
    error_message    TEXT,
    created_at       INTEGER NOT NULL,
    queued_at        INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    attempt_count    INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    row_version      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app_id, run_no),
    FOREIGN KEY (app_id, team_id) REFERENCES apps (id, team_id),
    FOREIGN KEY (environment_id, team_id, environment_name) REFERENCES environments (id, team_id, name),
    FOREIGN KEY (app_version_id, app_id) REFERENCES app_versions (id, app_id),
    CHECK ((finished_at IS NOT NULL)
        = (status = 'completed' OR status = 'failed' OR status = 'cancelled' OR status = 'dead')),
    CHECK (status <> 'cancelling' OR cancel_requested = 1)
) STRICT;
-- The queue: platform runners serve an environment name across teams, team runners one team's.
CREATE INDEX runs_queue_of_name ON runs (environment_name, priority DESC, queued_at, id)
    WHERE status = 'queued' AND blocked_by IS NULL;
CREATE INDEX runs_queue_of_team ON runs (team_id, environment_name, priority DESC, queued_at, id)
    WHERE status = 'queued' AND blocked_by IS NULL;
-- Lists, newest first; those of one app go by the unique (app_id, run_no).
CREATE INDEX runs_by_team ON runs (team_id, id);
CREATE INDEX runs_by_team_status ON runs (team_id, status, id);

CREATE TABLE run_attempts (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id           INTEGER NOT NULL REFERENCES runs (id),
    attempt_no       INTEGER NOT NULL CHECK (attempt_no >= 1),
    -- NULL once the runner was forgotten; its name stays.
    runner_id        INTEGER REFERENCES runners (id) ON DELETE SET NULL,
    runner_name      TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (
        status = 'leased' OR status = 'running' OR status = 'cancelling' OR status = 'completed'
        OR status = 'failed' OR status = 'cancelled' OR status = 'expired' OR status = 'released'),
    lease_token_hash BLOB    NOT NULL UNIQUE CHECK (length(lease_token_hash) = 32),
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
    UNIQUE (run_id, attempt_no),
    CHECK ((finished_at IS NULL) = (status = 'leased' OR status = 'running' OR status = 'cancelling')),
    CHECK ((ended_by IS NULL) = (finished_at IS NULL)),
    CHECK (finished_at IS NOT NULL OR runner_id IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX one_active_attempt_per_run ON run_attempts (run_id)
    WHERE status IN ('leased', 'running', 'cancelling');
CREATE UNIQUE INDEX one_active_attempt_per_runner ON run_attempts (runner_id)
    WHERE status IN ('leased', 'running', 'cancelling');
CREATE INDEX run_attempts_by_expiry ON run_attempts (lease_expires_at)
    WHERE status IN ('leased', 'running', 'cancelling');
CREATE INDEX run_attempts_by_runner ON run_attempts (runner_id, id);

CREATE TABLE run_logs (
    run_attempt_id INTEGER NOT NULL REFERENCES run_attempts (id),
    seq            INTEGER NOT NULL CHECK (seq >= 1),
    stream         TEXT    NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    line           TEXT    NOT NULL,
    logged_at      INTEGER NOT NULL,
    -- One b-tree: a batch costs one write where the lines are, not a second one into an index.
    PRIMARY KEY (run_attempt_id, seq)
) STRICT, WITHOUT ROWID;

-- What has ended never changes, whatever a program does.
CREATE TRIGGER ended_runs_are_final
BEFORE UPDATE OF status, retry_count, queued_at, started_at, finished_at, exit_code, error_message, cancel_requested ON runs
WHEN OLD.status IN ('completed', 'failed', 'cancelled', 'dead')
BEGIN
    SELECT RAISE(ABORT, 'an ended run never changes');
END;
CREATE TRIGGER ended_attempts_are_final
BEFORE UPDATE OF status, lease_token_hash, lease_expires_at, started_at, finished_at, ended_by, exit_code, error_message, reason
ON run_attempts
WHEN OLD.status NOT IN ('leased', 'running', 'cancelling')
BEGIN
    SELECT RAISE(ABORT, 'an ended attempt never changes');
END;

-- How many runs are where: changed in the transaction that moves a run, so that no scrape and no summary ever counts rows.
CREATE TABLE run_counts (
    team_id        INTEGER NOT NULL,
    app_id         INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    status         TEXT    NOT NULL,
    n              INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (team_id, app_id, environment_id, status),
    FOREIGN KEY (app_id, team_id) REFERENCES apps (id, team_id),
    FOREIGN KEY (environment_id) REFERENCES environments (id)
) STRICT, WITHOUT ROWID;
