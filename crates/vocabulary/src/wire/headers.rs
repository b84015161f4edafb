//! Names of the headers that belong to the contract.

/// Carries the lease token of an attempt call.
pub const LEASE_TOKEN: &str = "x-lease-token";
/// SHA-256 of a downloaded artifact, lower-case hexadecimal.
pub const ARTIFACT_SHA256: &str = "x-artifact-sha256";
/// The file a downloaded artifact is started with.
pub const ENTRYPOINT: &str = "x-entrypoint";
/// Seconds a run of the downloaded version may take; absent: the runner's default.
pub const TIMEOUT_SECONDS: &str = "x-timeout-seconds";
/// JSON array of directories put in front of `PYTHONPATH`; non-ASCII as `\u` escapes.
pub const IMPORT_PATHS: &str = "x-import-paths";
/// Identifies a request in logs; echoed when the caller sends one.
pub const REQUEST_ID: &str = "x-request-id";
