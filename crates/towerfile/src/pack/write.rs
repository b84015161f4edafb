//! The archive itself: nothing in it tells when, where or by whom it was made.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{PackError, PackPlan, PlannedKind};
use crate::TOWERFILE;

/// gzip's number for an unknown operating system (RFC 1952, section 2.3.1).
const UNKNOWN_SYSTEM: u8 = 255;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// Regular files.
    pub files: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// SHA-256 of the archive, lower-case hexadecimal.
    pub sha256: String,
}

impl PackPlan {
    /// Writes the archive.
    ///
    /// `progress` is told how many bytes of the files have been packed so far, of [`PackPlan::total_bytes`].
    pub fn write(&self, out: impl Write, mut progress: impl FnMut(u64)) -> Result<PackReport, PackError> {
        let out = Hashing { inner: out, sha256: Sha256::new(), bytes: 0 };
        let gzip = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
        let mut tar = Builder::new(gzip.write(out, Compression::default()));
        let mut files = 0;
        let mut packed = 0;
        for entry in &self.entries {
            let path = self.root.join(&entry.path);
            let name = Path::new(&entry.path);
            match &entry.kind {
                PlannedKind::File { bytes, executable } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let mut header = header(EntryType::Regular, mode, *bytes);
                    files += 1;
                    if let (Some(text), TOWERFILE) = (&self.towerfile, entry.path.as_str()) {
                        tar.append_data(&mut header, name, text.as_bytes()).map_err(PackError::Write)?;
                        packed += text.len() as u64;
                        progress(packed);
                        continue;
                    }
                    let mut content = Content::open(path, *bytes)?;
                    let counted =
                        Counted { inner: &mut content, packed: &mut packed, progress: &mut progress };
                    tar.append_data(&mut header, name, counted).map_err(|error| content.explain(error))?;
                }
                PlannedKind::Symlink { target } => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    // As it is when it fits, because the builder would tidy it up.
                    if header.set_link_name_literal(target).is_ok() {
                        tar.append_data(&mut header, name, io::empty()).map_err(PackError::Write)?;
                    } else {
                        tar.append_link(&mut header, name, target).map_err(PackError::Write)?;
                    }
                }
                PlannedKind::EmptyFolder => {
                    let mut header = header(EntryType::Directory, 0o755, 0);
                    tar.append_data(&mut header, name, io::empty()).map_err(PackError::Write)?;
                }
            }
        }
        let gzip = tar.into_inner().map_err(PackError::Write)?;
        let mut out = gzip.finish().map_err(PackError::Write)?;
        out.flush().map_err(PackError::Write)?;
        Ok(PackReport { files, bytes: out.bytes, sha256: HEXLOWER.encode(&out.sha256.finalize()) })
    }
}

fn header(kind: EntryType, mode: u32, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Exactly the bytes of a file that were planned. Whatever else it turns out to be has changed meanwhile.
struct Content {
    file: File,
    path: PathBuf,
    left: u64,
    fault: Option<Fault>,
}

enum Fault {
    Changed,
    Read,
}

impl Content {
    fn open(path: PathBuf, bytes: u64) -> Result<Self, PackError> {
        // What was a file may be a link by now, which is not followed, or a pipe, which is not waited for.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path);
        let found = opened.and_then(|file| Ok((file.metadata()?, file)));
        match found {
            Ok((metadata, file)) if metadata.is_file() && metadata.len() == bytes => {
                Ok(Self { file, path, left: bytes, fault: None })
            }
            Ok(_) => Err(PackError::Changed { path }),
            Err(source) => Err(PackError::Read { path, source }),
        }
    }

    /// Whose fault it was that the file could not be packed.
    fn explain(self, error: io::Error) -> PackError {
        match self.fault {
            Some(Fault::Changed) => PackError::Changed { path: self.path },
            Some(Fault::Read) => PackError::Read { path: self.path, source: error },
            None => PackError::Write(error),
        }
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.fault = Some(Fault::Read);
            }
        })?;
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 || into.is_empty() => {
                self.left = left;
                Ok(read)
            }
            _ => {
                self.fault = Some(Fault::Changed);
                Err(io::Error::other("the file changed"))
            }
        }
    }
}

/// Tells how far packing is.
struct Counted<'a, R, P> {
    inner: &'a mut R,
    packed: &'a mut u64,
    progress: &'a mut P,
}

impl<R: Read, P: FnMut(u64)> Read for Counted<'_, R, P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        *self.packed += read as u64;
        (self.progress)(*self.packed);
        Ok(read)
    }
}

/// Hashes and counts what passes through.
struct Hashing<W> {
    inner: W,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(from)?;
        self.sha256.update(&from[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
