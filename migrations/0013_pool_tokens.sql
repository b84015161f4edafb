-- Registration tokens that the control plane makes for one pool each: they register the runners of that pool, in one environment and for
-- one team or the platform, and no others.
CREATE TABLE pool_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The pool as its runners name it: its namespace, a slash, its name.
    pool         TEXT    NOT NULL CHECK (octet_length(pool) BETWEEN 3 AND 127),
    environment  TEXT    NOT NULL,
    -- None: the platform's.
    team_id      INTEGER REFERENCES teams (id),
    token_hash   BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    -- Set once a newer one of the pool is used.
    valid_until  INTEGER
) STRICT;
CREATE INDEX pool_tokens_by_pool ON pool_tokens (pool, id);
