//! What the fuzz targets do with their input, as functions, so that the tests of the workspace run the same over the seeds and over what
//! was once found.
//!
//! | module | what comes from a stranger |
//! |---|---|
//! | [`archive`] | an archive to inspect and unpack |
//! | [`towerfile`] | a Towerfile |
//! | `bodies` | the JSON bodies of the runner protocol and of new runs, through the whole HTTP service |
//!
//! Each takes bytes and panics when something is not as promised. Nothing of libFuzzer lives here: that is in `fuzz_targets`.

pub mod archive;
#[cfg(feature = "bodies")]
pub mod bodies;
pub mod towerfile;
