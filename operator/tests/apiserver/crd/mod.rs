//! What a real API server makes of the definition of `RunnerPool` through `kubectl`, as a person uses it (`accepted`, `refused`,
//! `subresources`), and the program that applies the pools of a `ConfigMap` (`pools`).
//!
//! `MINITOWER_TEST_KUBECONFIG` names a cluster to use instead of an API server of the tests' own; the definition stays there.

mod accepted;
mod objects;
mod pools;
mod refused;
mod subresources;
