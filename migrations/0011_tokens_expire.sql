-- Team tokens that expire, and a team's tokens by age.
ALTER TABLE team_tokens ADD COLUMN expires_at INTEGER;
CREATE INDEX team_tokens_by_team ON team_tokens (team_id, id);
