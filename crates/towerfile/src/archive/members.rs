//! The middle layer: tar headers, one after the other, up to a proper end.

use std::io::Read;

use tar::{EntryType, Header};

use super::extensions::{Extensions, check_global_pax};
use super::gunzip::Gunzip;
use super::{ArchiveError, Limits};
use crate::path::{MAX_PATH_BYTES, PathFault};

/// Tar's unit.
const BLOCK_BYTES: usize = 512;

/// An entry as its headers describe it; names are not checked yet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: MemberKind,
}

#[derive(Debug)]
pub(super) enum MemberKind {
    File { bytes: u64, executable: bool },
    Folder,
    Symlink { target: String },
    HardLink { target: String },
}

/// Reads the members of an archive.
pub(super) struct Members<R> {
    stream: Gunzip<R>,
    limits: Limits,
    /// Bytes of the current content that have not been read, and the padding behind them.
    content_left: u64,
    padding_left: u64,
    /// Headers that were counted as entries: members and global extensions.
    entries: u64,
    first: bool,
}

impl<R: Read> Members<R> {
    pub(super) fn new(source: R, limits: &Limits) -> Self {
        Self {
            stream: Gunzip::new(source, limits),
            limits: limits.clone(),
            content_left: 0,
            padding_left: 0,
            entries: 0,
            first: true,
        }
    }

    /// The next member, or `None` at the archive's end, behind which there is nothing. What the caller has not read
    /// of the former member's content is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                return Err(ArchiveError::Corrupt("an extended header without an entry".to_owned()));
            };
            self.begin_content(size(&header)?)?;
            match header.entry_type() {
                EntryType::XHeader => extensions.pax(&self.extension()?)?,
                EntryType::GNULongName => extensions.gnu_long_name(&self.long_name()?)?,
                EntryType::GNULongLink => extensions.gnu_long_link(&self.long_name()?)?,
                EntryType::XGlobalHeader => {
                    self.count_entry()?;
                    check_global_pax(&self.extension()?)?;
                }
                _ => {
                    self.count_entry()?;
                    return member(&header, extensions, self.content_left).map(Some);
                }
            }
        }
    }

    /// Reads some of the current member's content; 0 at its end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, ArchiveError> {
        let most = usize::try_from(self.content_left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        match self.stream.read(&mut into[..most])? {
            0 => Err(ArchiveError::Truncated),
            read => {
                self.content_left -= read as u64;
                Ok(read)
            }
        }
    }

    fn count_entry(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooManyEntries { limit: self.limits.entries });
        }
        Ok(())
    }

    /// The next header, or `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let read = self.fill(header.as_mut_bytes())?;
        let first = std::mem::take(&mut self.first);
        if read < BLOCK_BYTES {
            return Err(if first { ArchiveError::NotTar } else { ArchiveError::Truncated });
        }
        if is_zero(header.as_bytes()) {
            self.end()?;
            return Ok(None);
        }
        let stated = header.cksum().ok();
        if stated != Some(checksum(header.as_bytes())) {
            return Err(if first {
                ArchiveError::NotTar
            } else {
                ArchiveError::Corrupt("a header's checksum is wrong".to_owned())
            });
        }
        Ok(Some(header))
    }

    /// Behind the first block of zeros: another one, then any number of zeros, then nothing.
    fn end(&mut self) -> Result<(), ArchiveError> {
        let mut block = [0; BLOCK_BYTES];
        if self.fill(&mut block)? < BLOCK_BYTES {
            return Err(ArchiveError::Truncated);
        }
        loop {
            if !is_zero(&block) {
                return Err(ArchiveError::TrailingData);
            }
            block.fill(0);
            if self.fill(&mut block)? == 0 {
                return self.stream.expect_end();
            }
        }
    }

    /// Announces `bytes` of content. What can not fit is refused before it is read.
    fn begin_content(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        if bytes > self.stream.allowance() {
            return Err(self.stream.too_large());
        }
        self.content_left = bytes;
        self.padding_left = bytes.next_multiple_of(BLOCK_BYTES as u64) - bytes;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), ArchiveError> {
        let mut scrap = [0; 16 * 1024];
        while self.read(&mut scrap)? > 0 {}
        self.content_left = std::mem::take(&mut self.padding_left);
        while self.read(&mut scrap)? > 0 {}
        Ok(())
    }

    /// The content of a PAX header.
    fn extension(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let (bytes, limit) = (self.content_left, self.limits.extension_bytes);
        if bytes > limit {
            return Err(ArchiveError::ExtensionTooLarge { bytes, limit });
        }
        self.content()
    }

    /// The content of a GNU long name, which ends in a NUL byte or two.
    fn long_name(&mut self) -> Result<Vec<u8>, ArchiveError> {
        const MOST_BYTES: u64 = MAX_PATH_BYTES as u64 + 2;
        if self.content_left > MOST_BYTES {
            let mut beginning = vec![0; 64];
            let read = self.fill_content(&mut beginning)?;
            let name = format!("{}…", String::from_utf8_lossy(&beginning[..read]));
            return Err(ArchiveError::Path { name, fault: PathFault::TooLong });
        }
        self.content()
    }

    /// The rest of the current content, whose length the caller has checked.
    fn content(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut content = vec![0; usize::try_from(self.content_left).map_err(|_| self.stream.too_large())?];
        self.fill_content(&mut content)?;
        Ok(content)
    }

    fn fill_content(&mut self, into: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut filled = 0;
        loop {
            match self.read(&mut into[filled..])? {
                0 => return Ok(filled),
                read => filled += read,
            }
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut filled = 0;
        while filled < into.len() {
            match self.stream.read(&mut into[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

fn member(header: &Header, extensions: Extensions, bytes: u64) -> Result<Member, ArchiveError> {
    let name = text(extensions.path.unwrap_or_else(|| header.path_bytes().into_owned()))?;
    if extensions.size.is_some_and(|size| size != bytes) {
        return Err(ArchiveError::Corrupt("an extended header contradicts an entry's size".to_owned()));
    }
    let target = || {
        let plain = || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        text(extensions.link_path.unwrap_or_else(plain))
    };
    let unsupported = |what| ArchiveError::Unsupported { name: name.clone(), what };
    let kind = match header.entry_type() {
        EntryType::Regular => {
            let mode = header
                .mode()
                // The cause would quote the name as it is, control characters included.
                .map_err(|_| ArchiveError::Corrupt("an entry's mode is not a number".to_owned()))?;
            MemberKind::File { bytes, executable: mode & 0o100 != 0 }
        }
        EntryType::Directory => MemberKind::Folder,
        EntryType::Symlink => MemberKind::Symlink { target: target()? },
        EntryType::Link => MemberKind::HardLink { target: target()? },
        EntryType::Char | EntryType::Block => return Err(unsupported("a device")),
        EntryType::Fifo => return Err(unsupported("a named pipe")),
        EntryType::GNUSparse => return Err(unsupported("a sparse file")),
        _ => return Err(unsupported("of an unknown kind")),
    };
    // Some readers skip such content and others take it for the next header.
    if bytes != 0 && !matches!(kind, MemberKind::File { .. }) {
        return Err(ArchiveError::Corrupt("a folder or link with content".to_owned()));
    }
    // Tar's first edition marked folders so; readers disagree on what it is.
    if name.ends_with('/') && !matches!(kind, MemberKind::Folder) {
        return Err(unsupported("a file or link with a folder's name"));
    }
    Ok(Member { name, kind })
}

fn text(bytes: Vec<u8>) -> Result<String, ArchiveError> {
    String::from_utf8(bytes).map_err(|error| ArchiveError::NotUtf8 {
        name: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The size field: octal, or binary with the first bit set, of which the `tar` crate reads the low 64 bits only.
fn size(header: &Header) -> Result<u64, ArchiveError> {
    let field = &header.as_old().size;
    let fits = field[0] & 0x80 == 0 || (field[0] == 0x80 && field[1..4] == [0, 0, 0]);
    header
        .entry_size()
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| ArchiveError::Corrupt("an entry's size is not a number".to_owned()))
}

/// The sum of all bytes, those of the checksum field counted as spaces.
fn checksum(block: &[u8]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}
