-- Inputs of more than 64 KiB lie beside their runs: a run's row is written whenever the run moves, and read with every list.
CREATE TABLE run_inputs (
    run_id INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    input  TEXT    NOT NULL CHECK (octet_length(input) > 65536)
) STRICT;

-- The bytes of such an input; NULL: the run has none, or has it in its row. No CHECK: adding one would read every run there is.
ALTER TABLE runs ADD COLUMN large_input_bytes INTEGER;

CREATE TRIGGER inputs_are_final
BEFORE UPDATE ON run_inputs
BEGIN
    SELECT RAISE(ABORT, 'the input of a run never changes');
END;
