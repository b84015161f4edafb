//! The `RunnerPool` resource: what a person may write, and what the operator answers.
