//! How much one run may leave behind. The lease tells the runner, which keeps to it; what is said to be checked here is checked by the
//! server too.

/// Most bytes of a run's log: 256 MiB. The runner keeps the beginning and the end of a longer one.
pub const LOG_BYTES: u64 = 256 << 20;
/// Most bytes of one artifact: 100 MiB, as of an uploaded version. Checked.
pub const ARTIFACT_BYTES: u64 = 100 << 20;
/// Most bytes of all artifacts of a run: 1 GiB. Checked.
pub const ARTIFACTS_BYTES: u64 = 1 << 30;
/// Most artifacts of a run. Checked.
pub const ARTIFACTS: u64 = 1000;
/// Most bytes of a run's output, as JSON text: 256 KiB. It is in every answer about the run, and a page holds a hundred runs. Checked.
pub const OUTPUT_BYTES: usize = 256 << 10;
