//! Names of the headers that belong to the contract.

/// Carries the lease token of a call under a lease.
pub const LEASE_TOKEN: &str = "x-lease-token";
/// The SHA-256 of a downloaded archive, in lower-case hexadecimal.
pub const ARTIFACT_SHA256: &str = "x-artifact-sha256";
/// The file to start in a downloaded archive.
pub const ENTRYPOINT: &str = "x-entrypoint";
/// How long a run of the downloaded version may take, in seconds. Absent: the runner's default.
pub const TIMEOUT_SECONDS: &str = "x-timeout-seconds";
/// A JSON array of folders to put before `PYTHONPATH`, with `\u` escapes for what is not ASCII.
pub const IMPORT_PATHS: &str = "x-import-paths";
/// Identifies a request in the log. The answer repeats the one that the caller sent.
pub const REQUEST_ID: &str = "x-request-id";
/// Names the fields of a request that the server does not know and has ignored, separated by commas: `retry.on`, `logs.0.color`.
pub const IGNORED_FIELDS: &str = "x-ignored-fields";
/// Makes repeating a call safe: the same key within 24 hours gives the first answer's object again.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
