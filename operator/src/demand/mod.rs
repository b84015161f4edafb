//! What a control plane says: how many runs wait, and what its runners do.
