-- What teams may use, and how much of it they use where that is not known from other tables at a glance. Only the storage of versions and
-- artifacts is counted from before: to add up the logs, inputs and outputs of every run would hold up the start of a large server.

-- Limits that differ from the defaults: what the administrator allows a team, and what its admins chose within that.
CREATE TABLE team_limits (
    team_id INTEGER NOT NULL REFERENCES teams (id),
    name    TEXT    NOT NULL,
    allowed INTEGER CHECK (allowed >= 0),
    chosen  INTEGER CHECK (chosen >= 0),
    PRIMARY KEY (team_id, name)
) STRICT, WITHOUT ROWID;

-- How many tokens a team has is looked up whenever it makes one.
CREATE INDEX IF NOT EXISTS team_tokens_by_team ON team_tokens (team_id, id);

-- What a team has used, written once a batch: how many runs it has created on the newest day on which it created any (days since 1970 in
-- UTC), and the bytes of its archives, artifacts, logs, inputs and outputs.
CREATE TABLE team_usage (
    team_id INTEGER PRIMARY KEY REFERENCES teams (id),
    day     INTEGER NOT NULL,
    runs    INTEGER NOT NULL CHECK (runs >= 0),
    bytes   INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
INSERT INTO team_usage (team_id, day, runs, bytes)
SELECT t.id, 0, 0,
       (SELECT coalesce(sum(v.artifact_bytes), 0) FROM apps a JOIN app_versions v ON v.app_id = a.id WHERE a.team_id = t.id)
       + coalesce(f.bytes, 0)
FROM teams t
LEFT JOIN (SELECT r.team_id, sum(f.bytes) AS bytes FROM run_artifacts f JOIN runs r ON r.id = f.run_id GROUP BY r.team_id) f
    ON f.team_id = t.id;

-- What a log that became too long has lost: a line in its place says so.
CREATE TABLE run_log_gaps (
    run_attempt_id INTEGER PRIMARY KEY REFERENCES run_attempts (id) ON DELETE CASCADE,
    -- The first line that is missing, and the line of the log that stands in its place; the last one that is missing.
    first_seq      INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    lines          INTEGER NOT NULL,
    bytes          INTEGER NOT NULL
) STRICT;
