-- The fewest active runs decide between teams, so the queue is read team by team (server/runs/src/domain/turns.rs): no query walks
-- through the runs of an environment name across teams any more.
DROP INDEX runs_queue_of_name;
