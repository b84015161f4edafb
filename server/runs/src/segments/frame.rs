//! A frame: consecutive lines of one attempt, compressed. Pure.
//!
//! Inside is the number of the format, then line after line: its number less that of the line before, whether it came from standard error,
//! its time less that of the line before, the length of its text, and the text. Numbers are LEB128, times zigzag.

use crate::store::logs::LogLine;
use minitower_vocabulary::time::Timestamp;

/// The only format there is.
const FORMAT: u8 = 1;
/// How hard to compress: more is slower, and gains little on short texts.
const LEVEL: i32 = 3;
/// Most bytes inside a frame, whatever it says of itself.
const MOST_BYTES: usize = 4 << 20;

/// A frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFrame {
    /// It does not decompress.
    #[error("it does not decompress")]
    Compression(#[source] std::io::Error),
    /// It is not what was written.
    #[error("it is not in a known format")]
    Format,
}

/// Puts lines into a frame.
pub(crate) fn pack(lines: &[LogLine]) -> std::io::Result<Vec<u8>> {
    let mut plain = vec![FORMAT];
    let (mut seq, mut at) = (0, 0);
    for line in lines {
        // Numbers ascend.
        put(&mut plain, line.seq.wrapping_sub(seq).cast_unsigned());
        plain.push(u8::from(line.stderr));
        let later = line.logged_at.0.wrapping_sub(at);
        put(&mut plain, ((later << 1) ^ (later >> 63)).cast_unsigned());
        put(&mut plain, line.line.len() as u64);
        plain.extend_from_slice(line.line.as_bytes());
        (seq, at) = (line.seq, line.logged_at.0);
    }
    zstd::bulk::compress(&plain, LEVEL)
}

/// The lines of a frame.
pub(crate) fn unpack(frame: &[u8]) -> Result<Vec<LogLine>, BadFrame> {
    let plain = zstd::bulk::decompress(frame, MOST_BYTES).map_err(BadFrame::Compression)?;
    let (format, mut rest) = plain.split_first().ok_or(BadFrame::Format)?;
    if *format != FORMAT {
        return Err(BadFrame::Format);
    }
    let (mut lines, mut seq, mut at) = (Vec::new(), 0_i64, 0_i64);
    while !rest.is_empty() {
        seq = seq.wrapping_add(take(&mut rest)?.cast_signed());
        let (stream, behind) = rest.split_first().ok_or(BadFrame::Format)?;
        rest = behind;
        let later = take(&mut rest)?;
        at = at.wrapping_add((later >> 1).cast_signed() ^ -((later & 1).cast_signed()));
        let bytes = usize::try_from(take(&mut rest)?).map_err(|_| BadFrame::Format)?;
        let (text, behind) = rest.split_at_checked(bytes).ok_or(BadFrame::Format)?;
        rest = behind;
        let line = std::str::from_utf8(text).map_err(|_| BadFrame::Format)?.to_owned();
        lines.push(LogLine { seq, stderr: *stream == 1, line, logged_at: Timestamp(at) });
    }
    Ok(lines)
}

fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn take(from: &mut &[u8]) -> Result<u64, BadFrame> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = from.split_first().ok_or(BadFrame::Format)?;
        *from = rest;
        if shift > 63 {
            return Err(BadFrame::Format);
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            parts in prop::collection::vec((1_i64..1000, any::<bool>(), ".{0,40}", any::<i64>()), 1..40)
        ) {
            let mut seq = 0;
            let lines: Vec<_> = parts.into_iter().map(|(more, stderr, line, at)| {
                seq += more;
                LogLine { seq, stderr, line, logged_at: Timestamp(at) }
            }).collect();
            prop_assert_eq!(unpack(&pack(&lines).unwrap()).unwrap(), lines);
        }

        #[test]
        fn nonsense_is_refused_in_bounded_memory(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
            let mut plain = vec![FORMAT];
            plain.extend_from_slice(&bytes);
            let _ = unpack(&zstd::bulk::compress(&plain, 1).unwrap());
        }
    }

    #[test]
    fn lines_that_are_alike_take_little() {
        let line = |seq| LogLine {
            seq,
            stderr: false,
            line: format!("2026-11-30 12:00:{seq:02} INFO worker: processed batch {seq} of 10"),
            logged_at: Timestamp(1_700_000_000_000 + seq),
        };
        let lines: Vec<_> = (1..=10).map(line).collect();
        assert!(pack(&lines).unwrap().len() < 200);
    }
}
