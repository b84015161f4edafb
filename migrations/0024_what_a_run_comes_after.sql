-- What a run comes after, as its answers show it: a JSON array, so that no list has to look for it; NULL: nothing. It never changes. No
-- CHECK: adding one would read every run there is.
ALTER TABLE runs ADD COLUMN comes_after TEXT;
UPDATE runs
SET comes_after = (
    SELECT json_group_array(json_object('on', until, 'run_id', after_run_id) ORDER BY after_run_id)
    FROM run_dependencies WHERE run_id = runs.id
)
WHERE id IN (SELECT run_id FROM run_dependencies);
