//! Archives from strangers: inspection and unpacking agree, limits hold, and nothing is written outside the destination.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use minitower_towerfile::{Limits, inspect, unpack};

/// Small, so that they are met often.
const LIMITS: Limits = Limits {
    entries: 200,
    total_bytes: 256 << 10,
    ratio: 50,
    ratio_floor_bytes: 64 << 10,
    extension_bytes: 4 << 10,
    towerfile_bytes: 4 << 10,
    towerfile_within: 5,
};

/// The first byte says what the others are: a compressed archive; a tar archive; or a tar archive whose headers get right checksums first,
/// since no fuzzer finds those by itself.
pub fn run(data: &[u8]) {
    let Some((what, bytes)) = data.split_first() else { return };
    match what % 3 {
        0 => check(bytes, &LIMITS),
        1 => check(&compressed(bytes), &LIMITS),
        _ => check(&compressed(&with_checksums(bytes)), &LIMITS),
    }
}

/// Inspects an archive, and unpacks it beside a file that must not change.
pub fn check(archive: &[u8], limits: &Limits) {
    let yard = tempfile::tempdir().expect("a temporary folder");
    let (victim, dest) = (yard.path().join("victim"), yard.path().join("dest"));
    fs::write(&victim, "untouched").expect("a file in it");

    let unpacked = unpack(archive, &dest, limits);
    let inspected = inspect(archive, limits);
    match (&unpacked, &inspected) {
        (Ok(unpacked), Ok(inspected)) => {
            assert_eq!(
                (unpacked.entries, unpacked.total_bytes),
                (inspected.entries, inspected.total_bytes),
                "unpacking and inspection count alike"
            );
            let mut found = Found::default();
            visit(&dest, &dest.canonicalize().expect("the destination"), &mut found);
            assert!(found.nodes <= limits.entries, "{} things were unpacked", found.nodes);
            assert!(found.bytes <= limits.total_bytes, "{} bytes were unpacked", found.bytes);
        }
        (Err(unpacked), Err(inspected)) => {
            assert!(!unpacked.is_io(), "a fault of the archive, not of the disk: {unpacked}");
            let message = inspected.to_string();
            // A bad Towerfile matters to those who read it only; the others come to what is wrong behind it.
            assert!(inspected.is_towerfile() || message == unpacked.to_string(), "{message}, but {unpacked}");
            assert!(
                message.len() < 2048 && !message.contains(char::is_control),
                "one readable line: {message:?}"
            );
        }
        (Ok(_), Err(inspected)) => assert!(inspected.is_towerfile(), "inspect: {inspected}"),
        (Err(unpacked), Ok(_)) => panic!("unpack: {unpacked}, inspect finds nothing"),
    }

    let mut names: Vec<_> = fs::read_dir(yard.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert!(names.iter().all(|name| name == "dest" || name == "victim"), "beside the destination: {names:?}");
    assert_eq!(fs::read(&victim).expect("the file"), b"untouched");
    assert_eq!(fs::metadata(&victim).expect("the file").permissions().mode() & 0o111, 0);
}

/// What was unpacked.
#[derive(Default)]
struct Found {
    nodes: u64,
    bytes: u64,
}

/// Only files, folders and links, without special rights; every link that leads somewhere leads inside.
fn visit(folder: &Path, root: &Path, found: &mut Found) {
    for entry in fs::read_dir(folder).expect("an unpacked folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("its metadata");
        found.nodes += 1;
        if metadata.is_symlink() {
            if let Ok(real) = path.canonicalize() {
                assert!(real.starts_with(root), "{} leads to {}", path.display(), real.display());
            }
            continue;
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o755, "{}", path.display());
            visit(&path, root, found);
        } else {
            assert!(metadata.is_file(), "{} is neither file, folder nor link", path.display());
            assert!(mode == 0o644 || mode == 0o755, "{} has the mode {mode:o}", path.display());
            found.bytes += metadata.len();
        }
    }
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

/// The same tar archive, each block where a header has to be with the checksum of its content.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut tar = tar.to_vec();
    let mut at: usize = 0;
    while let Some(block) = at.checked_add(BLOCK).and_then(|end| tar.get_mut(at..end)) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let content = header.entry_size().ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        at = at.saturating_add(content.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX));
    }
    tar
}
