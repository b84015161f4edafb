//! The real control plane in the test's own process, behind a proxy that makes trouble on demand.
//!
//! [`Plane::start`] runs `minitowerd`'s server on a free loopback port with a temporary folder. The program under test
//! is given [`Plane::url`]: a proxy that forwards each request to the real server, records it, and changes what the
//! test tells it to change. A test therefore never describes an answer that the server would not give, unless that is
//! the point of the test.
//!
//! ```ignore
//! let plane = Plane::start();
//! let team = plane.team("acme");
//! team.script("hello", "print('hello')");
//! plane.once("POST /runs/*/heartbeat", Answer::cut());
//! let run = team.run("hello");
//! // … start the program under test at `plane.url()` …
//! let polls = plane.seen("POST /runs/lease", 2).await;
//! ```
//!
//! [`Team`] and [`Runner`] prepare what a test needs. They speak to the server directly: the proxy does not see them.
//! They block the calling thread, and work both in plain tests and in those of tokio: the server has threads of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a helper of a test fails by panicking"
)]

mod answer;
mod plane;
mod proxy;
mod record;
mod runner;
mod team;

pub use answer::{Answer, Gate, Whole};
pub use plane::{BOOTSTRAP_TOKEN, OPERATOR_TOKEN, Plane, REGISTRATION_TOKEN};
pub use record::{Call, Request, Rule};
pub use runner::Runner;
pub use team::{Project, Team, archive};
