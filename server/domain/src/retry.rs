//! What becomes of a run whose runner was lost.

/// How often a run may start again, and how often it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Most retries; 0: the first loss is final.
    pub max: i64,
    /// Retries used.
    pub used: i64,
}

/// What the budget says to a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLoss {
    /// Once more, and this is the budget then.
    Again(RetryBudget),
    /// Used up: the run is dead.
    Dead,
}

impl RetryBudget {
    /// A fresh budget of `max` retries.
    pub const fn new(max: i64) -> Self {
        Self { max, used: 0 }
    }

    /// Decides on a loss.
    pub const fn after_loss(self) -> AfterLoss {
        if self.used < self.max {
            AfterLoss::Again(Self { max: self.max, used: self.used + 1 })
        } else {
            AfterLoss::Dead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_n_allows_exactly_n_more_starts() {
        for max in 0..5 {
            let mut budget = RetryBudget::new(max);
            let mut again = 0;
            while let AfterLoss::Again(next) = budget.after_loss() {
                budget = next;
                again += 1;
            }
            assert_eq!(again, max);
        }
    }
}
