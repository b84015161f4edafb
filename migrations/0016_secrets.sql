-- What teams keep secret: values that are encrypted with a key of their team, which is encrypted with a key that lies in a file outside of
-- the database.

-- Which key that is, by the SHA-256 of it: a server that was given another one says so, instead of finding every value damaged.
CREATE TABLE master_keys (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    key_id   BLOB NOT NULL CHECK (length(key_id) = 32)
) STRICT;

-- A team's key: a nonce of 12 bytes, the key's 32, a tag of 16.
CREATE TABLE team_keys (
    team_id INTEGER PRIMARY KEY REFERENCES teams (id) ON DELETE CASCADE,
    wrapped BLOB NOT NULL CHECK (length(wrapped) = 60)
) STRICT;

-- A secret: its value with a nonce of 12 bytes in front and a tag of 16 behind.
CREATE TABLE team_secrets (
    id             INTEGER PRIMARY KEY,
    environment_id INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL CHECK (
        length(name) BETWEEN 1 AND 128 AND name NOT GLOB '*[^A-Za-z0-9_]*' AND name NOT GLOB '[0-9]*'
    ),
    sealed         BLOB    NOT NULL CHECK (length(sealed) BETWEEN 32 AND 32796),
    updated_at     INTEGER NOT NULL,
    UNIQUE (environment_id, name)
) STRICT;

-- The names of the secrets that a version's runs get, a JSON array; NULL: none. No CHECK: adding one would read every version there is.
ALTER TABLE app_versions ADD COLUMN secrets TEXT;
