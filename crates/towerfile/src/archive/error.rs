//! Why an archive is refused.

use std::io;

use crate::near::shown;
use crate::path::{LinkFault, PathFault};

/// Why an archive is refused, or could not be read or unpacked.
///
/// Names are quoted, escaped and cut in messages. [`Self::is_io`] tells our own troubles from the archive's faults.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes could not be read.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// A file could not be written while unpacking.
    #[error("cannot unpack {}", shown(path))]
    Write {
        /// Where, relative to the destination; `.` is the destination itself.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The folder to unpack into holds something already.
    #[error("cannot unpack: the destination is not an empty folder")]
    DestinationNotEmpty,
    /// The first bytes are not those of gzip.
    #[error("the archive is not gzip-compressed: make it with `tar -czf`")]
    NotGzip,
    /// What is compressed is not a tar archive.
    #[error("the archive is gzip-compressed, but it does not hold a tar archive: make it with `tar -czf`")]
    NotTar,
    /// It ends too early.
    #[error("the archive is cut short: make or send it again")]
    Truncated,
    /// Compressed data or a header is damaged.
    #[error("the archive is damaged: {0}")]
    Corrupt(String),
    /// Something follows the archive's end.
    #[error("the archive is followed by other data: send one archive alone")]
    TrailingData,
    /// More entries than allowed.
    #[error("the archive has more than {limit} files and folders: leave some out with .towerignore")]
    TooManyEntries {
        /// Most entries.
        limit: u64,
    },
    /// It unpacks to more bytes than allowed.
    #[error("the archive unpacks to more than {limit} bytes: leave large files out with .towerignore")]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
    /// It unpacks to too many times its size.
    #[error("the archive unpacks to more than {limit} times its size, as decompression bombs do")]
    Ratio {
        /// Most unpacked bytes for one packed byte.
        limit: u64,
    },
    /// An extended header is longer than allowed.
    #[error("the archive has an extended header of {bytes} bytes; at most {limit} are allowed")]
    ExtensionTooLarge {
        /// Its length.
        bytes: u64,
        /// Most bytes.
        limit: u64,
    },
    /// A name or link target is no UTF-8.
    #[error("the archive has a name that is not UTF-8: {}", shown(name))]
    NotUtf8 {
        /// The name, with replacement characters.
        name: String,
    },
    /// A name breaks a rule.
    #[error("the path {} in the archive {fault}", shown(name))]
    Path {
        /// The name.
        name: String,
        /// The rule.
        fault: PathFault,
    },
    /// A link's target breaks a rule.
    #[error("the link {} in the archive is refused: its target {} {fault}", shown(name), shown(target))]
    Link {
        /// The link's path.
        name: String,
        /// Its target.
        target: String,
        /// The rule.
        fault: LinkFault,
    },
    /// A hard link names something that is no file before it in the archive.
    #[error(
        "the hard link {} in the archive is refused: {} is not another file that comes before it",
        shown(name),
        shown(target)
    )]
    HardLink {
        /// The link's path.
        name: String,
        /// Its target.
        target: String,
    },
    /// An entry lies behind a link or a file.
    #[error(
        "the path {} in the archive leads through {}, which is not a folder",
        shown(name),
        shown(through)
    )]
    Through {
        /// The entry's path.
        name: String,
        /// The link or file in its way.
        through: String,
    },
    /// A folder and something else share a path.
    #[error("the path {} is in the archive both as a folder and as something else", shown(name))]
    Conflict {
        /// The path.
        name: String,
    },
    /// Something that is neither file, folder nor link.
    #[error("{} in the archive is {what}: only files, folders and links are allowed", shown(name))]
    Unsupported {
        /// The entry's path.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// More than one Towerfile.
    #[error("the archive has more than one Towerfile at its root")]
    SecondTowerfile,
    /// The Towerfile is a folder or a link.
    #[error("the Towerfile in the archive is not a regular file")]
    TowerfileNotAFile,
    /// The Towerfile is longer than allowed.
    #[error("the Towerfile in the archive has {bytes} bytes; at most {limit} are allowed")]
    TowerfileTooLarge {
        /// Its length.
        bytes: u64,
        /// Most bytes.
        limit: u64,
    },
    /// The Towerfile is no UTF-8.
    #[error("the Towerfile in the archive is not UTF-8: save it as UTF-8")]
    TowerfileNotUtf8,
}

impl ArchiveError {
    /// Whether the archive is not to blame: its bytes could not be read, or its files not be written.
    pub const fn is_io(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write { .. } | Self::DestinationNotEmpty)
    }

    /// Whether the Towerfile in the archive is to blame, not the archive.
    pub const fn is_towerfile(&self) -> bool {
        matches!(
            self,
            Self::SecondTowerfile
                | Self::TowerfileNotAFile
                | Self::TowerfileTooLarge { .. }
                | Self::TowerfileNotUtf8
        )
    }
}
