//! Short names for the temporary folders of jobs.
//!
//! The path of a Unix socket has at most 107 bytes (`unix(7)`), and Python's `multiprocessing` makes sockets in the temporary
//! folder, with 30 bytes of its own. Names of runners, a pod's for example, would leave no room for them.

use std::ffi::CString;

use sha2::{Digest, Sha256};

use crate::hex;

/// Names an attempt's folder among those of all runners: eight hexadecimal digits.
pub(crate) fn name(runner_name: &str, attempt: &str) -> CString {
    let digest = Sha256::digest(format!("{runner_name}/{attempt}"));
    CString::new(hex::encode(&digest[..4])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_differ() {
        let names = [name("a", "1"), name("a", "2"), name("b", "1")];
        assert!(names.iter().all(|name| name.to_bytes().len() == 8), "{names:?}");
        assert!(names[0] != names[1] && names[0] != names[2]);
        assert_eq!(name("a", "1"), names[0], "a later process finds it again");
    }
}
