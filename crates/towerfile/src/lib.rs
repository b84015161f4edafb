//! Towerfiles and the archives that carry them: parse, validate, pack, inspect, unpack.
//!
//! | module | what |
//! |---|---|
//! | [`towerfile`] | the typed Towerfile and its parser |
//! | [`source`] | which paths a Towerfile's `source` patterns select |
//! | [`slug`] | the rule for names of apps and teams |
//! | [`near`] | how words of strangers are shown, and what was probably meant |
//! | [`shell`] | words that a person can paste into a shell |
//! | [`python`] | the Pythons that a project asks for |
//! | [`variables`] | the names that no app may give to a variable |
//! | [`path`] | the rule for paths and link targets, one for packing and unpacking |
//! | [`mod@pack`] | a project's folder becomes a deterministic `.tar.gz` |
//! | [`archive`] | a hostile `.tar.gz` is inspected, or unpacked into a folder |
//!
//! Everything is synchronous and knows neither network nor configuration; what an error means to a client of the
//! API, or where files are kept, is decided by the callers.

pub mod archive;
pub mod near;
pub mod pack;
pub mod path;
pub mod python;
pub mod shell;
pub mod slug;
pub mod source;
pub mod towerfile;
pub mod variables;

pub use archive::{ArchiveError, Inspection, Limits, UnpackReport, inspect, unpack, unpack_into};
pub use pack::{PackError, PackPlan, PackReport, pack, plan};
pub use towerfile::{
    Concurrency, Error, LogOrder, MAX_CONCURRENCY, MAX_RETRIES, Parameter, ParameterType, Start, Towerfile,
    Warning, name_in, renamed,
};

/// The name of a Towerfile, at the project's root.
pub const TOWERFILE: &str = "Towerfile";
