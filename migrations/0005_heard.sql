-- An active attempt's `request_id` names the poll that may be asked again. Once an attempt is started and heard of, there is none.
UPDATE run_attempts SET request_id = NULL WHERE finished_at IS NULL AND started_at IS NOT NULL;
