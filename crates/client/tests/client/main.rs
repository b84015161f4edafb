//! The client against a real control plane, whose answers are changed or lost where a test is about that.
#![allow(missing_docs, clippy::unwrap_used)]

mod artifacts;
mod coverage;
mod metrics;
mod pages;
mod runner;
mod team;
mod tls;

use minitower_client::TeamClient;
use minitower_test_plane::{Plane, Team};

/// A control plane, its team with the app `hello`, and that team's calls.
fn plane() -> (Plane, Team, TeamClient) {
    let plane = Plane::start();
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    let client = TeamClient::new(&plane.config(), &team.token).unwrap();
    (plane, team, client)
}

/// Text that does not compress, so that an archive of it comes in many pieces.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let next = || {
        // Knuth's linear congruential generator, as in MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + u8::try_from(state >> 57).unwrap() % 95)
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
