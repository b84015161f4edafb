-- Whose the bucket of the objects is. The same text stands in the bucket, so that no control plane removes what belongs to another one.

CREATE TABLE object_store (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL CHECK (length(owner) = 32)
) STRICT;
