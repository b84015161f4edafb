//! The program stays as small as what it holds.

use std::time::Duration;

use minitower_daemon::memory;
use tokio::time::sleep;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest pause, where what the program holds is in use.
const LONG_PAUSE: Duration = Duration::from_secs(40);
/// Growth that is worth a call to the allocator, in bytes.
const GROWTH_BYTES: u64 = 4 * 1024 * 1024;

/// Gives memory back whenever the program has grown, for as long as it is polled.
pub(crate) async fn keep_small() {
    let Some(mut smallest) = memory::resident_bytes() else { return std::future::pending().await };
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        let Some(now) = memory::resident_bytes() else { continue };
        smallest = smallest.min(now);
        if now < smallest + GROWTH_BYTES {
            pause = PAUSE;
            continue;
        }
        // On a thread of its own: it takes as long as there is much to give back.
        let given = tokio::task::spawn_blocking(|| {
            memory::give_back();
            memory::resident_bytes()
        });
        let left = given.await.ok().flatten().unwrap_or(now);
        // What is in use now may be freed at any time, which nothing tells: so it is tried again, but less often.
        pause = if left + GROWTH_BYTES < now { PAUSE } else { (pause * 2).min(LONG_PAUSE) };
    }
}
