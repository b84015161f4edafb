//! The outer layer: a gzip stream of one member or several, decompressed within bounds, and nothing behind it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use super::{ArchiveError, Limits};

/// Bytes read from the source at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Decompresses a gzip stream, counting both sides.
pub(super) struct Gunzip<R> {
    decoder: MultiGzDecoder<Metered<R>>,
    /// Whether a member's header has been read: what is no header after that is data behind the stream.
    begun: bool,
    produced: u64,
    total_bytes: u64,
    ratio: u64,
    ratio_floor_bytes: u64,
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(source: R, limits: &Limits) -> Self {
        let source =
            Metered { inner: BufReader::with_capacity(BUFFER_BYTES, source), consumed: 0, failed: false };
        let decoder = MultiGzDecoder::new(source);
        Self {
            begun: decoder.header().is_some(),
            decoder,
            produced: 0,
            total_bytes: limits.total_bytes,
            ratio: limits.ratio,
            ratio_floor_bytes: limits.ratio_floor_bytes,
        }
    }

    /// Unpacked bytes that may still come.
    pub(super) fn allowance(&self) -> u64 {
        self.total_bytes - self.produced
    }

    pub(super) fn too_large(&self) -> ArchiveError {
        ArchiveError::TooLarge { limit: self.total_bytes }
    }

    /// Reads some unpacked bytes; 0 at the end of the last member. The checksum and length of each are then right.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, ArchiveError> {
        let read = loop {
            match self.decoder.read(into) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let read = read.map_err(|error| self.explain(error))?;
        self.begun |= self.decoder.header().is_some();
        let produced = self.produced + read as u64;
        if produced > self.total_bytes {
            return Err(self.too_large());
        }
        self.produced = produced;
        let consumed = self.decoder.get_ref().consumed;
        if produced > self.ratio_floor_bytes && produced / self.ratio.max(1) > consumed {
            return Err(ArchiveError::Ratio { limit: self.ratio });
        }
        Ok(read)
    }

    /// Makes sure that nothing follows the last member. Only meaningful after [`Self::read`] has returned 0.
    pub(super) fn expect_end(&mut self) -> Result<(), ArchiveError> {
        loop {
            match self.decoder.get_mut().fill_buf() {
                Ok([]) => return Ok(()),
                Ok(_) => return Err(ArchiveError::TrailingData),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
    }

    /// flate2 reports damage as I/O errors; those of the source itself are told apart by [`Metered::failed`].
    fn explain(&self, error: io::Error) -> ArchiveError {
        let source = self.decoder.get_ref();
        let in_header = self.decoder.header().is_none();
        match error.kind() {
            _ if source.failed => ArchiveError::Read(error),
            _ if in_header && self.begun => ArchiveError::TrailingData,
            ErrorKind::UnexpectedEof if in_header && source.consumed < 2 => ArchiveError::NotGzip,
            ErrorKind::UnexpectedEof => ArchiveError::Truncated,
            _ if in_header => ArchiveError::NotGzip,
            _ => ArchiveError::Corrupt(error.to_string()),
        }
    }
}

/// Counts the bytes that were used, not those read ahead, so that the ratio does not depend on how the source
/// happens to hand them out.
struct Metered<R> {
    inner: BufReader<R>,
    consumed: u64,
    failed: bool,
}

impl<R: Read> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Self { inner, failed, .. } = self;
        inner.fill_buf().inspect_err(|error| *failed = error.kind() != ErrorKind::Interrupted)
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.inner.consume(amount);
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let amount = ready.len().min(into.len());
        into[..amount].copy_from_slice(&ready[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}
