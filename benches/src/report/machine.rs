//! What was measured on, and how noisy it was meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs,
};

use super::numbers::{figure, mib};
use crate::BenchError;
use crate::stats::{Figures, Samples, millis};

/// Durable writes of one look at the disk.
const WRITES: usize = 300;
/// A page of the database.
const PAGE: usize = 4096;
/// Rounds of the arithmetic that shows how fast the processor is.
const ROUNDS: u64 = 100_000_000;

/// Plain facts.
#[derive(Debug)]
pub(super) struct Machine {
    cores: usize,
    memory: String,
    kernel: String,
    filesystem: &'static str,
}

impl Machine {
    /// Looks at this one, and at what the folder lies on.
    pub(super) fn look(folder: &Path) -> Result<Self, BenchError> {
        let read = |path: &str| fs::read_to_string(path).map_err(BenchError::io(path.to_owned()));
        let kernel = read("/proc/sys/kernel/osrelease")?;
        let total = read("/proc/meminfo")?;
        let total: u64 = total
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or_default();
        let kind = statfs(folder)
            .map_err(|error| BenchError::Io { what: "statfs".to_owned(), source: error.into() })?
            .filesystem_type();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: format!("{} GiB", figure(mib(total) / 1024.0)),
            // The version without what a distributor appends.
            kernel: kernel.trim().split('-').next().unwrap_or_default().to_owned(),
            filesystem: name(kind),
        })
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let Self { cores, memory, kernel, filesystem } = self;
        format!("{cores} cores, {memory} of memory, Linux {kernel}, database on {filesystem}")
    }
}

fn name(kind: FsType) -> &'static str {
    match kind {
        EXT4_SUPER_MAGIC => "ext4",
        XFS_SUPER_MAGIC => "xfs",
        BTRFS_SUPER_MAGIC => "btrfs",
        OVERLAYFS_SUPER_MAGIC => "overlayfs",
        TMPFS_MAGIC => "tmpfs (in memory: durable writes cost nothing there)",
        _ => "another file system",
    }
}

/// How fast disk and processor were at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// A page appended and synced, one at a time.
    pub(super) durable_write: Figures,
    /// A fixed piece of arithmetic, in milliseconds.
    pub(super) arithmetic: f64,
}

impl Noise {
    /// Looks.
    pub(super) fn measure(folder: &Path) -> Result<Self, BenchError> {
        let failed = "cannot probe the disk";
        let path = folder.join("probe");
        let file = File::create(&path).map_err(BenchError::io(failed))?;
        let page = [7; PAGE];
        let mut samples = Samples::default();
        for number in 0..WRITES {
            let began = Instant::now();
            file.write_all_at(&page, (number * PAGE) as u64).map_err(BenchError::io(failed))?;
            file.sync_data().map_err(BenchError::io(failed))?;
            samples.push(began.elapsed());
        }
        fs::remove_file(&path).map_err(BenchError::io(failed))?;
        let began = Instant::now();
        // Xorshift64 (Marsaglia, Xorshift RNGs, 2003): each round needs the one before.
        let state = (0..ROUNDS).fold(0x2545_f491_4f6c_dd1d_u64, |mut state, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^ (state << 17)
        });
        std::hint::black_box(state);
        Ok(Self { durable_write: samples.figures(), arithmetic: millis(began.elapsed()) })
    }
}
