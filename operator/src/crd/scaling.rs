//! How the size follows the queue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{MAX_RUNNERS, MAX_WINDOW_SECONDS};

/// How the size follows the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Scaling {
    /// How many queued runs one runner is expected to take: the pool grows by one runner for this many queued runs.
    #[schemars(range(min = 1, max = 1000))]
    pub runs_per_runner: u32,

    /// How the pool grows.
    pub scale_up: ScaleUp,

    /// How the pool shrinks. Only idle runners go.
    pub scale_down: ScaleDown,

    /// How often demand is read, in seconds. At most 30: a reading counts for 60 s, so one reading may fail without consequences.
    #[schemars(range(min = 1, max = 30))]
    pub poll_seconds: u32,
}

/// How the pool grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaleUp {
    /// The pool grows only to the lowest size that was wanted within this many seconds. 0: it grows at once.
    #[schemars(range(min = 0, max = MAX_WINDOW_SECONDS))]
    pub stabilization_seconds: u32,

    /// The most runners that one decision may add. If it is absent, there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_RUNNERS))]
    pub max_step: Option<u32>,
}

/// How the pool shrinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaleDown {
    /// The pool shrinks only to the highest size that was wanted within this many seconds. 0: it shrinks at once.
    #[schemars(range(min = 0, max = MAX_WINDOW_SECONDS))]
    pub stabilization_seconds: u32,

    /// The most runners that one decision may take away. If it is absent, there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_RUNNERS))]
    pub max_step: Option<u32>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            runs_per_runner: 1,
            scale_up: ScaleUp::default(),
            scale_down: ScaleDown::default(),
            poll_seconds: 1,
        }
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self { stabilization_seconds: 60, max_step: None }
    }
}
