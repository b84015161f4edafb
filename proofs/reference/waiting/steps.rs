//! What is done: random steps.

use minitower_vocabulary::statuses::RunStatus;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::KEPT_MS;
use crate::vocabulary::{Status, TTL_MS};

/// Something to do; numbers choose among what there is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Create {
        app: usize,
        place: usize,
        priority: i64,
        shares: Option<(usize, i64)>,
        after: Vec<(u8, bool)>,
        retries: i64,
    },
    Poll(usize),
    End(u8, Status),
    Release(u8),
    Cancel(u8),
    CancelMany {
        app: Option<usize>,
        place: Option<usize>,
        status: Option<RunStatus>,
        before: Option<u8>,
    },
    Retry(u8),
    Disable(usize, bool),
    /// So many milliseconds pass: at least so many that all leases run out.
    Later(i64),
    Restart(bool),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        3 => Just(Vec::new()), 1 => prop::collection::vec((any::<u8>(), any::<bool>()), 1..3)
    ];
    let shares = of((0..2_usize, 1..3_i64));
    let create =
        (0..2_usize, 0..2_usize, prop_oneof![4 => Just(0), 1 => Just(1_i64)], shares, after, 0..2_i64)
            .prop_map(|(app, place, priority, shares, after, retries)| Step::Create {
                app,
                place,
                priority,
                shares,
                after,
                retries,
            });
    let statuses = vec![RunStatus::Queued, RunStatus::Leased];
    let before = prop::option::weighted(0.2, any::<u8>());
    let many = (of(0..2_usize), of(0..2_usize), of(select(statuses)), before)
        .prop_map(|(app, place, status, before)| Step::CancelMany { app, place, status, before });
    let ends = select(vec![Status::Completed, Status::Completed, Status::Failed]);
    prop_oneof![
        20 => create,
        20 => (0..3_usize).prop_map(Step::Poll),
        14 => (any::<u8>(), ends).prop_map(|(which, status)| Step::End(which, status)),
        4 => any::<u8>().prop_map(Step::Release),
        4 => any::<u8>().prop_map(Step::Cancel),
        3 => many,
        4 => any::<u8>().prop_map(Step::Retry),
        6 => (0..2_usize, prop::bool::weighted(0.4)).prop_map(|(app, shut)| Step::Disable(app, shut)),
        2 => Just(Step::Later(TTL_MS)),
        1 => Just(Step::Later(KEPT_MS + 1)),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}
