//! Scenarios that change what all share, one after another. Each puts back what it took away, also when it fails.

mod without_operator;
mod without_policy;
