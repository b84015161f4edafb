//! What other subjects may know of runs inside their own transactions: whoever follows them sees what is not committed yet.

use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::RunId;

use crate::domain::run::Run;
use crate::store::runs;

pub use crate::store::events::{AppChanged, RunMoved};
pub use crate::store::followed::{Expectation, Unfinished, expectation, expectations, of_status};

/// A run, whoever's it is, even if it was deleted and is still there.
pub fn run(db: &Db, id: RunId) -> Result<Option<Run>, StoreError> {
    runs::by_id(db, id)
}
