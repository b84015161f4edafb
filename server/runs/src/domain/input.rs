//! The input of a run: a JSON object as text. A large one lies beside the run's row.

/// Most bytes of an input that is kept in the run's row, written again whenever the run moves, and read with every list.
pub const SMALL_BYTES: usize = 64 * 1024;

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Its text is at hand.
    Text(String),
    /// It is a large one that was not read.
    Apart {
        /// Its bytes.
        bytes: u32,
    },
}

impl Input {
    /// Its text, if it is at hand.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Apart { .. } => None,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Apart { bytes } => *bytes as usize,
        }
    }
}

/// Whether an input lies beside its run.
pub const fn is_large(text: &str) -> bool {
    text.len() > SMALL_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_counts_the_same_wherever_it_lies() {
        let text = "x".repeat(SMALL_BYTES + 1);
        assert!(is_large(&text) && !is_large(&text[1..]));
        let bytes = u32::try_from(text.len()).unwrap();
        assert_eq!(Input::Apart { bytes }.bytes(), Input::Text(text.clone()).bytes());
        assert_eq!((Input::Text(text.clone()).text(), Input::Apart { bytes }.text()), (Some(&*text), None));
    }
}
