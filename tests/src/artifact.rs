//! Archives made in memory, honest and hostile ones, and the multipart bodies that carry them.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// A tar archive being put together.
#[must_use]
pub struct Artifact {
    tar: tar::Builder<Vec<u8>>,
}

impl Default for Artifact {
    fn default() -> Self {
        Self::new()
    }
}

impl Artifact {
    /// An empty archive.
    pub fn new() -> Self {
        Self { tar: tar::Builder::new(Vec::new()) }
    }

    /// The gzipped archive of one `main.py`.
    pub fn python(code: &str) -> Vec<u8> {
        Self::new().file("main.py", code).gzip()
    }

    /// Adds a regular file, mode 0644.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path, "", content.as_ref())
    }

    /// Adds an entry whose path and link are written as they are, whatever they say.
    pub fn entry(mut self, kind: EntryType, path: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        let raw = header.as_old_mut();
        raw.name[..path.len()].copy_from_slice(path.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
        self
    }

    /// The archive without compression.
    pub fn plain(self) -> Vec<u8> {
        self.tar.into_inner().unwrap()
    }

    /// The gzipped archive.
    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.plain())
    }
}

/// Any bytes, gzipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// SHA-256 as lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// A `multipart/form-data` body: its content type and its bytes.
pub fn multipart(file: Option<&[u8]>, fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "minitower-test-boundary-7d93b1";
    let mut body = Vec::new();
    if let Some(file) = file {
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"artifact\"; filename=\"job.tar.gz\"\r\n\
                 Content-Type: application/gzip\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    for (name, value) in fields {
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .as_bytes(),
        );
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
