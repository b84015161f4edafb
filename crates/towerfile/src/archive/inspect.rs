//! What an uploaded archive holds, without unpacking it.

use std::io::Read;

use super::tree::Tree;
use super::walk::{EntryKind, Walk};
use super::{ArchiveError, Limits};
use crate::TOWERFILE;
use crate::path::normalise;

/// What an archive holds that obeys all rules.
#[derive(Debug)]
pub struct Inspection {
    /// The Towerfile's text, when there is one at the root within the first entries.
    pub towerfile: Option<String>,
    /// Files, folders and links, as often as they are listed.
    pub entries: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    tree: Tree,
}

impl Inspection {
    /// Whether the archive holds a regular file at `path`, or a link that leads to one inside of it; `./main.py` and
    /// `main.py` are the same.
    pub fn has_file(&self, path: &str) -> bool {
        normalise(path).is_ok_and(|path| self.tree.leads_to_file(&path))
    }
}

/// Reads an archive from beginning to end and checks everything [`super::unpack`] will check.
///
/// At most the Towerfile, one extension header and the names are held in memory.
pub fn inspect(read: impl Read, limits: &Limits) -> Result<Inspection, ArchiveError> {
    let mut walk = Walk::new(read, limits);
    let mut towerfile = None;
    let mut towerfile_seen = false;
    let mut entries = 0;
    let mut total_bytes = 0;
    while let Some(entry) = walk.next()? {
        entries += 1;
        if let EntryKind::File { bytes, .. } = entry.kind {
            total_bytes += bytes;
        }
        if entry.path == TOWERFILE {
            // The later of two would win on unpacking, and might not be the one read here.
            if std::mem::replace(&mut towerfile_seen, true) {
                return Err(ArchiveError::SecondTowerfile);
            }
            if entries <= limits.towerfile_within {
                towerfile = Some(read_towerfile(&mut walk, &entry.kind, limits)?);
            }
        }
    }
    Ok(Inspection { towerfile, entries, total_bytes, tree: walk.into_tree() })
}

fn read_towerfile(
    walk: &mut Walk<impl Read>,
    kind: &EntryKind,
    limits: &Limits,
) -> Result<String, ArchiveError> {
    let EntryKind::File { bytes, .. } = *kind else { return Err(ArchiveError::TowerfileNotAFile) };
    let limit = limits.towerfile_bytes;
    if bytes > limit {
        return Err(ArchiveError::TowerfileTooLarge { bytes, limit });
    }
    let mut text = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        match walk.read(&mut buffer)? {
            0 => break,
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(text).map_err(|_| ArchiveError::TowerfileNotUtf8)
}
