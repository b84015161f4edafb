//! What a run is.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::archive;

/// The app of all runs.
pub(crate) const APP: &str = "tested";

/// What a smuggled job is uploaded with.
const PLACEHOLDER: &str = "placeholder.sh";

/// A run to be, and the version it is of.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) archive: Vec<u8>,
    pub(crate) entrypoint: &'static str,
    /// Whether the archive says by a Towerfile what is started.
    has_towerfile: bool,
    pub(crate) input: Value,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) import_paths: Option<&'static str>,
    /// What the server says instead of the archive's real digest.
    pub(crate) sha256: Option<String>,
    /// The server refuses it: its archive is served in the place of another one.
    pub(crate) smuggled: bool,
    /// Further fields of the lease.
    pub(crate) lease: Value,
    /// Whose run it is, by number.
    pub(crate) team: i64,
    version: i64,
}

/// What differs from what the server serves by itself.
pub(super) struct Served {
    pub(super) archive: Option<Vec<u8>>,
    pub(super) sha256: Option<String>,
    pub(super) import_paths: Option<&'static str>,
}

impl Job {
    /// A project of one file.
    pub(crate) fn script(entrypoint: &'static str, text: &str) -> Self {
        Self::project(entrypoint, &[(entrypoint, text)])
    }

    /// A project.
    pub(crate) fn project(entrypoint: &'static str, files: &[(&str, &str)]) -> Self {
        let has_towerfile = files.iter().any(|(name, _)| *name == "Towerfile");
        let is_known =
            entrypoint.starts_with("-m ") || [".py", ".sh"].iter().any(|end| entrypoint.ends_with(end));
        Self {
            archive: archive(files),
            entrypoint,
            has_towerfile,
            input: Value::Null,
            timeout_seconds: None,
            import_paths: None,
            sha256: None,
            // Without a Towerfile the server takes only what it knows how to start.
            smuggled: !has_towerfile && !is_known,
            team: 1,
            version: 1,
            lease: Value::Null,
        }
    }

    /// The same as a version of a team's.
    pub(crate) fn of(self, team: i64, version: i64) -> Self {
        Self { team, version, ..self }
    }

    /// Whether the other is a run of the same version.
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        let of = |job: &Self| (job.team, job.version, job.entrypoint, job.smuggled);
        of(self) == of(other) && self.archive == other.archive
    }

    /// The entrypoint for the upload; a Towerfile says it itself.
    pub(super) fn named_entrypoint(&self) -> Option<String> {
        let named = if self.smuggled { PLACEHOLDER } else { self.entrypoint };
        (!self.has_towerfile).then(|| named.to_owned())
    }

    /// The archive that is uploaded.
    pub(super) fn uploaded(&self) -> Vec<u8> {
        if self.smuggled { archive(&[(PLACEHOLDER, "")]) } else { self.archive.clone() }
    }

    /// What its lease says besides what the server does.
    pub(super) fn into_lease(self) -> Value {
        let mut lease = self.lease;
        if self.smuggled {
            lease["entrypoint"] = self.entrypoint.into();
        }
        lease
    }

    /// How its archive is served, if not as it was uploaded.
    pub(super) fn served(&self) -> Option<Served> {
        if !self.smuggled && self.sha256.is_none() && self.import_paths.is_none() {
            return None;
        }
        let archive = self.smuggled.then(|| self.archive.clone());
        let digest = archive.as_ref().map(|archive| HEXLOWER.encode(&Sha256::digest(archive)));
        let sha256 = self.sha256.clone().or(digest);
        Some(Served { archive, sha256, import_paths: self.import_paths })
    }
}
