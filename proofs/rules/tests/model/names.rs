//! Ids as the rules see them.

use crate::state::NOBODY;

const NAMES: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];

/// The text of an id; `unshared` stands for [`NOBODY`], which is never equal to another.
pub(crate) fn of(id: u8, unshared: &str) -> String {
    if id == NOBODY { unshared } else { NAMES[usize::from(id)] }.to_owned()
}
