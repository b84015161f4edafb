-- 1: registered with a token that is bound to its pool, so that nobody else can have named the pool. Which token the runners of today have
-- registered with is not known: they are certain once they register again.
ALTER TABLE runners ADD COLUMN bound INTEGER NOT NULL DEFAULT 0 CHECK (bound IN (0, 1));

-- The operator asks for the runners of a pool, and a team's are counted whenever one is added.
CREATE INDEX runners_by_pool ON runners (pool, name) WHERE pool IS NOT NULL;
CREATE INDEX runners_by_team ON runners (team_id) WHERE team_id IS NOT NULL;
