//! Memory that is given back.
//!
//! The allocator of glibc keeps what a program has freed, except at the end of its heap. After a flood of requests that is nearly all of
//! what the flood took, and it would stay for good.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Bytes of the process that are resident; none where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}

/// Gives back what the program has freed and the allocator still keeps. It takes some milliseconds, in which other threads may wait for memory.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a call of the C library that no safe crate offers")]
    // SAFETY: malloc_trim(3) takes a number, may be called at any time from any thread, and touches freed memory only.
    let _something_was_given_back = unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_is_given_back() {
        // Small pieces, each second one kept for a while, so that the heap cannot shrink from its end.
        let mut pieces: Vec<Option<Box<[u8]>>> =
            (0..64 * 1024).map(|_| Some(vec![1_u8; 1024].into_boxed_slice())).collect();
        let full = resident_bytes().unwrap();
        let last = pieces.pop();
        drop(pieces);
        give_back();
        let left = resident_bytes().unwrap();
        assert!(left + 48 * 1024 * 1024 < full, "{left} of {full} bytes are still resident");
        drop(last);
    }
}
