//! How much of an archive is too much.

/// Bounds on what an archive may cost those who read it.
///
/// Packing keeps within the defaults too, so that nobody uploads what a runner would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most entries, and most files, folders and links they add up to.
    pub entries: u64,
    /// Most bytes of the unpacked tar stream, its headers included.
    pub total_bytes: u64,
    /// Most unpacked bytes for one packed byte, once [`Self::ratio_floor_bytes`] have been unpacked.
    pub ratio: u64,
    /// Unpacked bytes up to which the ratio does not matter, because so few do no harm.
    pub ratio_floor_bytes: u64,
    /// Most bytes of one PAX extended header.
    pub extension_bytes: u64,
    /// Most bytes of the Towerfile.
    pub towerfile_bytes: u64,
    /// The Towerfile is looked for in this many entries.
    pub towerfile_within: u64,
}

impl Limits {
    /// As many files as a large repository has; each costs about 150 bytes and its name while an archive is read.
    pub const ENTRIES: u64 = 100_000;
    /// 2 GiB: data belongs into a store, not beside the code; a runner's disk holds a few of these.
    pub const TOTAL_BYTES: u64 = 2 << 30;
    /// Source code packs about 1:5, repetitive logs and tables up to about 1:100; DEFLATE's best, a bomb, is 1:1032.
    pub const RATIO: u64 = 200;
    /// 64 MiB.
    pub const RATIO_FLOOR_BYTES: u64 = 64 << 20;
    /// 256 KiB: room for extended attributes that some tars write, all of which are ignored.
    pub const EXTENSION_BYTES: u64 = 256 << 10;
    /// 256 KiB.
    pub const TOWERFILE_BYTES: u64 = crate::towerfile::MAX_BYTES as u64;
    /// 50.
    pub const TOWERFILE_WITHIN: u64 = 50;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: Self::ENTRIES,
            total_bytes: Self::TOTAL_BYTES,
            ratio: Self::RATIO,
            ratio_floor_bytes: Self::RATIO_FLOOR_BYTES,
            extension_bytes: Self::EXTENSION_BYTES,
            towerfile_bytes: Self::TOWERFILE_BYTES,
            towerfile_within: Self::TOWERFILE_WITHIN,
        }
    }
}
