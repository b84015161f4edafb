-- Who changed what, when and from where. It is written by temporary triggers of the server's own connection, in the transaction of the
-- change (server/teams/src/store/audit.rs): here is only where it goes.

CREATE TABLE audit_events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The team that it concerns; NULL: the platform. No foreign key: it outlives what it is about.
    team_id  INTEGER,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    token_id INTEGER,
    address  TEXT,
    action   TEXT    NOT NULL CHECK (action <> ''),
    object   TEXT    NOT NULL CHECK (object <> ''),
    before   TEXT    CHECK (before IS NULL OR json_valid(before)),
    after    TEXT    CHECK (after IS NULL OR json_valid(after)),
    CHECK (before IS NOT NULL OR after IS NOT NULL)
) STRICT;
CREATE INDEX audit_events_by_team ON audit_events (team_id, id);
CREATE INDEX audit_events_by_age ON audit_events (at);

CREATE TRIGGER audit_events_are_final
BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'an audit event never changes');
END;
