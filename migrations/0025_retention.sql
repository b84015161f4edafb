-- How long a team keeps what has ended, as far as it says so: 0 seconds is for ever. An app may say otherwise for itself.
CREATE TABLE team_retention (
    team_id      INTEGER PRIMARY KEY REFERENCES teams (id) ON DELETE CASCADE,
    keep_seconds INTEGER CHECK (keep_seconds = 0 OR keep_seconds BETWEEN 3600 AND 3153600000),
    keep_last    INTEGER CHECK (keep_last BETWEEN 0 AND 1000000),
    CHECK (keep_seconds IS NOT NULL OR keep_last IS NOT NULL)
) STRICT;

ALTER TABLE apps ADD COLUMN keep_seconds INTEGER CHECK (keep_seconds = 0 OR keep_seconds BETWEEN 3600 AND 3153600000);
ALTER TABLE apps ADD COLUMN keep_last INTEGER CHECK (keep_last BETWEEN 0 AND 1000000);
