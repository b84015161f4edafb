//! What lies in a folder that an installer has filled. Nothing runs there any more, and no link is followed.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// How a tree is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// What it takes on disk.
    pub(super) bytes: u64,
    /// Digest over names, sizes, inodes and times of change, which nobody but the kernel sets.
    pub(super) digest: String,
}

/// Every entry below `root`, itself included, in a fixed order.
fn entries(root: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut found = vec![(root.to_owned(), fs::symlink_metadata(root)?)];
    let mut next = 0;
    while next < found.len() {
        if found[next].1.is_dir() {
            let mut below: Vec<PathBuf> =
                fs::read_dir(&found[next].0)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
            below.sort();
            for path in below {
                let metadata = fs::symlink_metadata(&path)?;
                found.push((path, metadata));
            }
        }
        next += 1;
    }
    Ok(found)
}

/// Takes all rights to write away, and the set-user-id bits. Refuses what no package contains: devices, pipes, and files that
/// have another name elsewhere, whose rights are not ours to change.
pub(super) fn make_read_only(root: &Path) -> io::Result<()> {
    for (path, metadata) in entries(root)? {
        if metadata.is_symlink() {
            continue;
        }
        let kind = metadata.file_type();
        let odd = kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket();
        if odd || (metadata.is_file() && metadata.nlink() > 1) {
            let what = if odd { "a device, pipe or socket" } else { "a file with a second name" };
            return Err(io::Error::other(format!("the installer left {what}: {}", path.display())));
        }
        fs::set_permissions(&path, Permissions::from_mode(metadata.mode() & 0o555))?;
    }
    Ok(())
}

/// Looks at every entry.
pub(super) fn state(root: &Path) -> io::Result<State> {
    let mut digest = Sha256::new();
    let mut bytes = 0;
    for (path, metadata) in entries(root)? {
        digest.update(path.as_os_str().as_encoded_bytes());
        for number in [
            metadata.ino(),
            metadata.size(),
            u64::from(metadata.mode()),
            metadata.ctime().cast_unsigned(),
            metadata.ctime_nsec().cast_unsigned(),
        ] {
            digest.update(number.to_le_bytes());
        }
        bytes += metadata.blocks() * 512;
    }
    Ok(State { bytes, digest: HEXLOWER.encode(&digest.finalize()) })
}

/// Whether its owner may use all of it: enter and change every folder, read every file.
pub(super) fn is_open(root: &Path) -> bool {
    entries(root).is_ok_and(|found| {
        found.iter().all(|(_, metadata)| {
            let needed = if metadata.is_dir() { 0o700 } else { 0o400 };
            metadata.is_symlink() || metadata.mode() & needed == needed
        })
    })
}

/// Copies a project: folders, files with their modes, links as links. Anything else is left out.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for (path, metadata) in entries(from)? {
        let below = path.strip_prefix(from).map_err(io::Error::other)?;
        let target = to.join(below);
        if metadata.is_dir() {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, Permissions::from_mode(metadata.mode() | 0o700))?;
        } else if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
        } else if metadata.is_file() {
            fs::copy(&path, &target)?;
            fs::set_permissions(&target, Permissions::from_mode((metadata.mode() & 0o777) | 0o600))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_package_contains_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("env"), folder.path().join("token"));
        fs::create_dir(&inside).unwrap();
        fs::write(&outside, "secret").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        make_read_only(&inside).unwrap();
        assert_ne!(fs::metadata(&outside).unwrap().mode() & 0o200, 0, "no link is followed");
        fs::set_permissions(&inside, Permissions::from_mode(0o700)).unwrap();
        fs::hard_link(&outside, inside.join("hard")).unwrap();
        assert!(make_read_only(&inside).unwrap_err().to_string().contains("second name"));
        fs::remove_file(inside.join("hard")).unwrap();
        nix::unistd::mkfifo(&inside.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(make_read_only(&inside).unwrap_err().to_string().contains("pipe"));
    }

    #[test]
    fn a_copy_is_whole_and_writable() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::write(from.join("d/x.sh"), "x").unwrap();
        fs::set_permissions(from.join("d/x.sh"), Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(from.join("d"), Permissions::from_mode(0o555)).unwrap();
        std::os::unix::fs::symlink("d/x.sh", from.join("l")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("l")).unwrap(), "x");
        assert_eq!(fs::metadata(to.join("d/x.sh")).unwrap().mode() & 0o777, 0o755);
        fs::write(to.join("d/new"), "").unwrap();
    }
}
