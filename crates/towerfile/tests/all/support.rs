//! Archives made by hand, and folders compared.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use minitower_towerfile::{ArchiveError, Limits, PackReport, Towerfile, inspect, pack, plan, unpack};
use tar::{EntryType, Header};

/// The Towerfile of [`project`].
pub const TOWERFILE: &str = "[app]\nname = \"my-app\"\nscript = \"main.py\"\n";

/// A folder with a Towerfile, `main.py` and these files.
pub fn project(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("Towerfile"), TOWERFILE).unwrap();
    for file in ["main.py"].iter().chain(files) {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {file}\n")).unwrap();
    }
    root
}

/// The Towerfile of [`project`] with further lines in `[app]`.
pub fn towerfile(lines: &str) -> Towerfile {
    Towerfile::parse(&format!("{TOWERFILE}{lines}\n")).unwrap().0
}

/// The paths that would be packed.
pub fn planned(root: &Path, lines: &str) -> Vec<String> {
    plan(root, &towerfile(lines)).unwrap().entries.into_iter().map(|entry| entry.path).collect()
}

/// The archive of a folder.
pub fn packed(root: &Path, towerfile: &Towerfile) -> (Vec<u8>, PackReport) {
    let mut archive = Vec::new();
    let report = pack(root, towerfile, &mut archive, |_| {}).unwrap();
    (archive, report)
}

/// A tar archive, header by header, with no rule obeyed.
#[derive(Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// An entry whose name and target go into the header's fields as they are, at most 100 bytes of each.
    pub fn entry(self, kind: EntryType, name: impl AsRef<[u8]>, target: &str, content: &[u8]) -> Self {
        let mut header = header(kind, name.as_ref(), target.as_bytes(), content.len() as u64);
        header.set_cksum();
        self.raw(&header, content)
    }

    pub fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(header.as_bytes());
        self.content(content)
    }

    pub fn content(mut self, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", content)
    }

    pub fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let content: String = records.iter().map(|(key, value)| pax_record(key, value)).collect();
        self.entry(EntryType::XHeader, "PaxHeaders/x", "", content.as_bytes())
    }

    /// The tar archive with its end.
    pub fn tar(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    /// The archive, compressed.
    pub fn gz(self) -> Vec<u8> {
        gz(&self.tar())
    }

    /// The archive without its end, compressed.
    pub fn gz_endless(self) -> Vec<u8> {
        gz(&self.bytes)
    }
}

pub fn header(kind: EntryType, name: &[u8], target: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name);
    fields.linkname[..target.len()].copy_from_slice(target);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

pub fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What is at a path: its mode and content, its target, or a folder's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File(u32, Vec<u8>),
    Link(String),
    Folder(u32),
}

/// Everything below a folder.
pub fn tree(root: &Path) -> BTreeMap<String, Node> {
    fn visit(root: &Path, folder: &Path, found: &mut BTreeMap<String, Node>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_symlink() {
                found.insert(name, Node::Link(fs::read_link(&path).unwrap().to_str().unwrap().to_owned()));
            } else if metadata.is_dir() {
                found.insert(name, Node::Folder(mode));
                visit(root, &path, found);
            } else {
                found.insert(name, Node::File(mode, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(root, root, &mut found);
    found
}

/// Inspects and unpacks, which must agree, and makes sure that nothing beside the destination changes.
pub fn refused(archive: &[u8], limits: &Limits) -> ArchiveError {
    let yard = tempfile::tempdir().unwrap();
    fs::write(yard.path().join("victim"), "untouched").unwrap();
    fs::create_dir(yard.path().join("neighbour")).unwrap();
    let before = tree(yard.path());

    let inspected = inspect(archive, limits).expect_err("inspect accepts the archive");
    let dest = yard.path().join("dest");
    let unpacked = unpack(archive, &dest, limits).expect_err("unpack accepts the archive");
    assert_eq!(inspected.to_string(), unpacked.to_string());

    let _ = fs::remove_dir_all(&dest);
    assert_eq!(tree(yard.path()), before, "something outside the destination changed");
    inspected
}

/// Inspects and unpacks, and returns what is there then.
pub fn accepted(archive: &[u8]) -> BTreeMap<String, Node> {
    let inspection = inspect(archive, &Limits::default()).unwrap();
    let yard = tempfile::tempdir().unwrap();
    let dest = yard.path().join("dest");
    let report = unpack(archive, &dest, &Limits::default()).unwrap();
    assert_eq!((report.entries, report.total_bytes), (inspection.entries, inspection.total_bytes));
    tree(&dest)
}
