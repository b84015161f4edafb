//! How a log that is too long keeps its beginning and its end.

use minitower_vocabulary::limits::LOG_LINE_OVERHEAD;

/// What is kept of an attempt's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of all lines that are kept, as a log is measured.
    pub bytes: u64,
    /// The last line of the beginning, once that is as long as it may be.
    pub beginning_to: Option<i64>,
    /// What is missing behind it.
    pub gap: Option<Gap>,
}

/// What is missing of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The number of the first line that is missing: a line that says so stands in its place.
    pub first: i64,
    /// The number of the last one.
    pub last: i64,
    /// How many lines are missing.
    pub lines: u64,
    /// How many bytes of text they had.
    pub bytes: u64,
}

impl Kept {
    /// Whether a line of that number belongs to the beginning, or was left out. Which lines behind them are there, the database knows.
    pub fn has_had(&self, seq: i64) -> bool {
        seq <= self.dropped_to()
    }

    /// A line was added to the log.
    pub fn add(&mut self, seq: i64, text_bytes: u64, most: u64) {
        self.bytes += measured(text_bytes);
        if self.beginning_to.is_none() && self.bytes > most / 2 {
            self.beginning_to = Some(seq);
        }
    }

    /// Whether lines have to go.
    pub const fn is_too_long(&self, most: u64) -> bool {
        self.bytes > most
    }

    /// The number behind which the next line to go stands.
    pub fn dropped_to(&self) -> i64 {
        let beginning = self.beginning_to.unwrap_or(0);
        self.gap.map_or(beginning, |gap| gap.last.max(beginning))
    }

    /// The oldest line behind the beginning goes.
    pub fn drop_line(&mut self, seq: i64, text_bytes: u64) {
        self.bytes = self.bytes.saturating_sub(measured(text_bytes));
        let first = self.dropped_to() + 1;
        let gap = self.gap.get_or_insert(Gap { first, last: seq, lines: 0, bytes: 0 });
        gap.last = seq;
        gap.lines += 1;
        gap.bytes += text_bytes;
    }
}

/// What a line counts.
pub const fn measured(text_bytes: u64) -> u64 {
    text_bytes + LOG_LINE_OVERHEAD
}

impl Gap {
    /// The text of the line that stands in its place.
    pub fn notice(&self) -> String {
        let Self { lines, bytes, .. } = self;
        format!(
            "minitower: {lines} lines ({bytes} bytes) are left out here: a log that is too long keeps its beginning and its end"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A log in memory, kept as the store keeps it in the database.
    fn keep(kept: &mut Kept, log: &mut Vec<(i64, u64)>, batch: &[(i64, u64)], most: u64) {
        for (seq, bytes) in batch {
            if !kept.has_had(*seq) && !log.iter().any(|(other, _)| other == seq) {
                log.push((*seq, *bytes));
                log.sort_unstable();
                kept.add(*seq, *bytes, most);
            }
        }
        while kept.is_too_long(most)
            && let Some(at) = log.iter().position(|(seq, _)| *seq > kept.dropped_to())
        {
            let (seq, bytes) = log.remove(at);
            kept.drop_line(seq, bytes);
        }
    }

    #[test]
    fn a_log_within_its_limit_is_whole() {
        let (mut kept, mut log) = (Kept::default(), Vec::new());
        let lines: Vec<_> = (1..=10).map(|seq| (seq, 68)).collect();
        keep(&mut kept, &mut log, &lines, 1_000);
        assert_eq!((log.len(), kept.bytes, kept.gap), (10, 1_000, None));
    }

    #[test]
    fn a_longer_log_keeps_its_beginning_and_its_end_and_counts_what_is_missing() {
        let (mut kept, mut log) = (Kept::default(), Vec::new());
        for seq in 1..=100 {
            keep(&mut kept, &mut log, &[(seq, 68)], 1_000);
            keep(&mut kept, &mut log, &[(seq, 68)], 1_000);
        }
        let seqs: Vec<i64> = log.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 97, 98, 99, 100]);
        let gap = Gap { first: 7, last: 96, lines: 90, bytes: 90 * 68 };
        assert_eq!(kept.gap, Some(gap));
        assert!(gap.notice().contains("90 lines (6120 bytes)"));
    }

    #[test]
    fn lines_that_were_left_out_do_not_come_back() {
        let (mut kept, mut log) = (Kept::default(), Vec::new());
        let lines: Vec<_> = (1..=100).map(|seq| (seq, 68)).collect();
        keep(&mut kept, &mut log, &lines, 1_000);
        let before = (kept, log.clone());
        keep(&mut kept, &mut log, &lines, 1_000);
        assert_eq!((kept, log), before);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_log_stays_within_its_limit(
            batches in proptest::collection::vec(proptest::collection::vec((1_i64..60, 0_u64..500), 0..12), 1..30),
            most in 2_000_u64..6_000,
        ) {
            let (mut kept, mut log) = (Kept::default(), Vec::new());
            for batch in batches {
                keep(&mut kept, &mut log, &batch, most);
                prop_assert_eq!(kept.bytes, log.iter().map(|(_, bytes)| measured(*bytes)).sum::<u64>());
                prop_assert!(kept.bytes <= most, "{:?}", kept);
            }
        }
    }
}
