-- Notifications: of which runs a team is told and how, and the outbox of what it is told.

CREATE TABLE notifications (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id     INTEGER NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- Of what it tells, in the order of the vocabulary, separated by commas.
    occasions   TEXT    NOT NULL CHECK (occasions <> '' AND occasions NOT GLOB '*[^a-z,]*'),
    -- Of which runs. The slug of an app, so that it outlives an app that is made anew.
    app         TEXT    CHECK (app <> ''),
    environment TEXT    CHECK (environment <> ''),
    label       TEXT    CHECK (label LIKE '_%=%'),
    kind        TEXT    NOT NULL CHECK (kind = 'webhook' OR kind = 'slack' OR kind = 'email'),
    -- Where to: the URL of a webhook, the origin of Slack's, or the address of an email.
    shown       TEXT    NOT NULL CHECK (octet_length(shown) BETWEEN 1 AND 2048),
    -- What nobody is shown, sealed: the key of a webhook's signatures, the whole URL of Slack's.
    secret      BLOB    CHECK (length(secret) BETWEEN 1 AND 4096),
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (team_id, name),
    CHECK ((kind = 'email') = (secret IS NULL))
) STRICT;

-- What changes with every delivery is kept apart from what people set.
CREATE TABLE notification_counts (
    notification_id INTEGER PRIMARY KEY REFERENCES notifications (id) ON DELETE CASCADE,
    -- Deliveries that are to be sent.
    waiting         INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    -- Those that were not made because too many waited, since this was last told; and since when.
    dropped         INTEGER NOT NULL DEFAULT 0 CHECK (dropped >= 0),
    dropped_since   INTEGER,
    CHECK ((dropped = 0) = (dropped_since IS NULL))
) STRICT;
CREATE TRIGGER notification_counts_are_made
AFTER INSERT ON notifications
BEGIN
    INSERT INTO notification_counts (notification_id) VALUES (NEW.id);
END;

CREATE TABLE notification_deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    notification_id INTEGER NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    -- The same for all attempts, so that the receiver knows it again.
    webhook_id      TEXT    NOT NULL UNIQUE,
    event           TEXT    NOT NULL CHECK (event <> ''),
    -- No foreign key: it outlives the run.
    run_id          INTEGER,
    -- What is told, as it was then.
    data            TEXT    NOT NULL CHECK (json_valid(data) AND octet_length(data) <= 65536),
    status          TEXT    NOT NULL CHECK (status = 'waiting' OR status = 'delivered' OR status = 'failed'),
    -- Attempts in all, and since it was last asked for: these bound how long it is tried.
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    tries           INTEGER NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND attempts),
    created_at      INTEGER NOT NULL,
    next_at         INTEGER,
    ended_at        INTEGER,
    CHECK ((status = 'waiting') = (next_at IS NOT NULL) AND (status = 'waiting') = (ended_at IS NULL))
) STRICT;
CREATE INDEX notification_deliveries_by_notification ON notification_deliveries (notification_id, id);
CREATE INDEX notification_deliveries_waiting ON notification_deliveries (notification_id, next_at, id)
    WHERE status = 'waiting';
CREATE INDEX notification_deliveries_ended ON notification_deliveries (ended_at) WHERE ended_at IS NOT NULL;
-- Whoever looks again at a run that is late does not tell it again.
CREATE UNIQUE INDEX notification_deliveries_once ON notification_deliveries (notification_id, run_id, event)
    WHERE event IN ('run.late', 'run.waiting');

CREATE TRIGGER notification_deliveries_wait
AFTER INSERT ON notification_deliveries WHEN NEW.status = 'waiting'
BEGIN
    UPDATE notification_counts SET waiting = waiting + 1 WHERE notification_id = NEW.notification_id;
END;
CREATE TRIGGER notification_deliveries_change
AFTER UPDATE OF status ON notification_deliveries WHEN NEW.status <> OLD.status
BEGIN
    UPDATE notification_counts SET waiting = waiting + (NEW.status = 'waiting') - (OLD.status = 'waiting')
    WHERE notification_id = NEW.notification_id;
END;
CREATE TRIGGER notification_deliveries_go
AFTER DELETE ON notification_deliveries WHEN OLD.status = 'waiting'
BEGIN
    UPDATE notification_counts SET waiting = waiting - 1 WHERE notification_id = OLD.notification_id;
END;

CREATE TABLE notification_attempts (
    delivery_id INTEGER NOT NULL REFERENCES notification_deliveries (id) ON DELETE CASCADE,
    attempt_no  INTEGER NOT NULL CHECK (attempt_no >= 1),
    -- When it ended, and how long it took.
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL CHECK (duration_ms >= 0),
    -- The status of the answer, or the code of the mail server.
    code        INTEGER,
    error       TEXT    CHECK (octet_length(error) BETWEEN 1 AND 2048),
    PRIMARY KEY (delivery_id, attempt_no)
) STRICT, WITHOUT ROWID;
