-- Lines of attempts that have ended leave the database: they lie in segments, which are objects. A segment holds frames, each compressed by
-- itself: consecutive lines of one attempt. What is in a frame is not in run_logs any more, or about to be removed from there.

CREATE TABLE log_segments (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256     TEXT    NOT NULL CHECK (length(sha256) = 64),
    bytes      INTEGER NOT NULL CHECK (bytes > 0),
    -- Bytes of its frames that are still named below.
    live_bytes INTEGER NOT NULL CHECK (live_bytes >= 0),
    -- The attempts whose lines are in it lie between these.
    first_attempt_id INTEGER NOT NULL,
    last_attempt_id  INTEGER NOT NULL
) STRICT;
CREATE INDEX log_segments_by_sha256 ON log_segments (sha256);
CREATE INDEX log_segments_to_rewrite ON log_segments (id) WHERE live_bytes * 2 < bytes;

CREATE TABLE log_frames (
    run_attempt_id INTEGER NOT NULL REFERENCES run_attempts (id),
    first_seq      INTEGER NOT NULL CHECK (first_seq >= 1),
    last_seq       INTEGER NOT NULL CHECK (last_seq >= first_seq),
    -- How many there are, and how many of them came from standard error.
    lines          INTEGER NOT NULL CHECK (lines >= 1),
    stderr_lines   INTEGER NOT NULL CHECK (stderr_lines BETWEEN 0 AND lines),
    segment_id     INTEGER NOT NULL REFERENCES log_segments (id),
    -- Where it lies in the segment.
    at             INTEGER NOT NULL CHECK (at >= 0),
    bytes          INTEGER NOT NULL CHECK (bytes > 0),
    -- What its lines count for in what their team has stored.
    counted        INTEGER NOT NULL CHECK (counted >= 0),
    PRIMARY KEY (run_attempt_id, first_seq)
) STRICT, WITHOUT ROWID;

-- What its frames take is what is alive of a segment.
CREATE TRIGGER log_frames_are_counted AFTER INSERT ON log_frames
BEGIN
    UPDATE log_segments SET live_bytes = live_bytes + NEW.bytes WHERE id = NEW.segment_id;
END;
CREATE TRIGGER log_frames_are_discounted AFTER DELETE ON log_frames
BEGIN
    UPDATE log_segments SET live_bytes = live_bytes - OLD.bytes WHERE id = OLD.segment_id;
END;
CREATE TRIGGER log_frames_move AFTER UPDATE OF segment_id, bytes ON log_frames
BEGIN
    UPDATE log_segments SET live_bytes = live_bytes - OLD.bytes WHERE id = OLD.segment_id;
    UPDATE log_segments SET live_bytes = live_bytes + NEW.bytes WHERE id = NEW.segment_id;
END;
