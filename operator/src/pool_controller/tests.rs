//! Reconciles against an API server in memory.
