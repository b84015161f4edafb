//! A random load on several pools at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::{Scene, verdict};

/// How long a storm goes on, and over which pools.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'p> {
    /// The pools of the load.
    pub(crate) pools: &'p [&'p str],
    /// How many scale-downs are enough.
    pub(crate) scale_downs: usize,
    /// How long it goes on at most.
    pub(crate) limit: Duration,
}

/// The longest run of the load in seconds, and the shortest.
const RUN_SECONDS: (f64, f64) = (0.1, 20.0);

/// Keeps every pool under a load that comes in waves of 1 to 4 runs of 0.1 to 20 s, many short and few long, until there were as many
/// scale-downs as asked for or the time is over, and yields how many there were. `meanwhile` is called every so often.
pub(crate) fn storm(scene: &Scene, shape: Shape<'_>, mut meanwhile: impl FnMut(usize)) -> usize {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Ends the load also when `meanwhile` panics.
        let _end = Over(&over);
        for &pool in shape.pools {
            let over = &over;
            scope.spawn(move || load(scene, pool, over));
        }
        let deadline = Instant::now() + shape.limit;
        loop {
            let count = verdict::scale_downs(scene);
            if count >= shape.scale_downs || Instant::now() >= deadline {
                return count;
            }
            meanwhile(count);
            thread::sleep(Duration::from_secs(1));
        }
    })
}

struct Over<'f>(&'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn load(scene: &Scene, pool: &str, over: &AtomicBool) {
    let mut random = rand::rng();
    while !over.load(Ordering::Relaxed) {
        for _ in 0..random.random_range(1..=4) {
            // Evenly over the orders of magnitude: as many between 0.1 and 1 as between 1 and 10.
            let (shortest, longest) = RUN_SECONDS;
            let seconds = shortest * (longest / shortest).powf(random.random::<f64>());
            scene.run(pool, seconds);
        }
        let pause = Instant::now() + Duration::from_millis(random.random_range(1000..9000));
        while Instant::now() < pause && !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
    }
}
