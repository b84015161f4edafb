//! Packing that stops as soon as the archive is larger than the server takes.

use std::borrow::Cow;
use std::io::{self, Write};

use minitower_towerfile::pack::PlannedKind;
use minitower_towerfile::pack::{PackPlan, PackReport};

use crate::failure::{Explained, Failure};
use crate::output::bytes;

/// Most files that the error names.
const MOST_NAMED: usize = 3;
/// gzip makes no file smaller than by this factor (<https://www.zlib.net/zlib_tech.html>): what is larger need not be
/// packed.
const MOST_COMPRESSED: u64 = 1032;

/// The archive would be larger than the server takes.
#[derive(Debug, thiserror::Error)]
#[error("{} of files make an archive of more than {}, which the server does not take", bytes(*total), bytes(*limit))]
struct TooLarge {
    total: u64,
    limit: u64,
    largest: Vec<(String, u64)>,
}

impl Explained for TooLarge {
    fn help(&self) -> Option<Cow<'static, str>> {
        let named: Vec<_> =
            self.largest.iter().map(|(path, size)| format!("{path} ({})", bytes(*size))).collect();
        Some(
            format!(
                "leave large files out with a .towerignore, or ask for a higher MINITOWER_MAX_ARTIFACT_SIZE; the largest \
                 are {}",
                named.join(", ")
            )
            .into(),
        )
    }
}

/// Writes the archive of at most `limit` bytes.
pub(super) fn write(
    plan: &PackPlan,
    archive: impl Write,
    limit: Option<u64>,
    progress: impl FnMut(u64),
) -> Result<PackReport, Failure> {
    let limit = limit.unwrap_or(u64::MAX);
    if plan.total_bytes / MOST_COMPRESSED > limit {
        return Err(too_large(plan, limit).into());
    }
    let mut bounded = Bounded { inner: archive, left: limit, is_full: false };
    let packed = plan.write(&mut bounded, progress);
    if bounded.is_full {
        return Err(too_large(plan, limit).into());
    }
    packed.map_err(Failure::of)
}

fn too_large(plan: &PackPlan, limit: u64) -> TooLarge {
    let mut files: Vec<_> = plan
        .entries
        .iter()
        .filter_map(|entry| match entry.kind {
            PlannedKind::File { bytes, .. } => Some((entry.path.clone(), bytes)),
            PlannedKind::Symlink { .. } | PlannedKind::EmptyFolder => None,
        })
        .collect();
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    files.truncate(MOST_NAMED);
    TooLarge { total: plan.total_bytes, limit, largest: files }
}

/// Takes so many bytes and no more.
struct Bounded<W> {
    inner: W,
    left: u64,
    is_full: bool,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if from.len() as u64 > self.left {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let written = self.inner.write(from)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use minitower_towerfile::{Towerfile, plan};

    use super::*;

    #[test]
    fn an_archive_of_just_the_limit_is_packed_and_one_byte_less_is_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[app]\nname = 'hello'\nscript = 'main.py'\n";
        for (name, text) in [("Towerfile", text), ("main.py", ""), ("data.bin", "0123456789")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let plan = plan(folder.path(), &Towerfile::parse(text).unwrap().0).unwrap();
        let size = write(&plan, Vec::new(), None, |_| ()).unwrap().bytes;
        assert_eq!(write(&plan, Vec::new(), Some(size), |_| ()).unwrap().bytes, size);
        let failure = write(&plan, Vec::new(), Some(size - 1), |_| ()).unwrap_err().to_string();
        assert!(
            failure.contains("which the server does not take") && failure.contains("data.bin (10 B)"),
            "{failure}"
        );
    }
}
