//! Which part of a list is asked for.

/// Most items on a page.
const MAX_LIMIT: i64 = 1000;

/// A page of a list. Whoever wants all asks again from behind the last item of a page, until one is empty: a page may be shorter than
/// its limit although more items follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// What identifies the item behind which the page begins; none: the list's beginning.
    pub cursor: Option<C>,
    /// At most so many items.
    pub limit: i64,
}

/// A limit that no page may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit must be between 1 and {MAX_LIMIT}, not {limit}")]
pub struct LimitError {
    /// The limit that was asked for.
    pub limit: i64,
}

impl<C> Page<C> {
    /// A page from behind a cursor. The limit must be between 1 and 1000; none is 1000.
    pub fn new(cursor: Option<C>, limit: Option<i64>) -> Result<Self, LimitError> {
        match limit.unwrap_or(MAX_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(Self { cursor, limit }),
            limit => Err(LimitError { limit }),
        }
    }
}

impl<C> Default for Page<C> {
    fn default() -> Self {
        Self { cursor: None, limit: MAX_LIMIT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_out_of_range_is_refused_by_name() {
        for limit in [0, -1, 1001, i64::MIN, i64::MAX] {
            let message = Page::<i64>::new(None, Some(limit)).unwrap_err().to_string();
            assert!(message.contains("limit") && message.contains(&limit.to_string()), "{message}");
        }
        for limit in [1, 1000] {
            assert_eq!(Page::new(Some(7), Some(limit)).unwrap(), Page { cursor: Some(7), limit });
        }
        assert_eq!(Page::<i64>::new(None, None).unwrap(), Page::default());
    }
}
