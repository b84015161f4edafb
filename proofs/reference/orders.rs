//! Whether some order of operations that were under way at the same time explains how each was answered.
//!
//! Linearizability, checked by search (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; with memory of what was met, Lowe, "Testing for
//! Linearizability", 2017), but over the moves of operations, since some make several.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::Model;
use crate::model::steps::{Next, Stage};
use crate::vocabulary::{Answer, Number, Op, Patience};

/// An operation that was asked, and its answer once it is there.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) op: Op,
    pub(crate) answer: Option<Answer>,
}

impl Asked {
    /// Whether it may wait for long before it is answered.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.op, Op::Poll { patience: Patience::Long, .. })
    }
}

/// A state that the control plane may be in, and how far each unanswered operation may have come in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) open: BTreeMap<Number, Stage>,
}

impl World {
    /// Whether nothing can happen any more until something is asked: all that is open waits, and none of it can be answered.
    pub(crate) fn is_quiet(&self, asked: &BTreeMap<Number, Asked>) -> bool {
        self.open.iter().all(|(number, stage)| {
            matches!(stage, Stage::Waiting(_))
                && self.model.moves(*number, &asked[number].op, stage).is_empty()
        })
    }
}

/// A world that explains all answers that are there.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) world: World,
    /// The places of those that become this one when something that is still open moves.
    pub(crate) before: Vec<usize>,
}

/// Every world that some order of moves leads to in which all answers that are there were given as they are; none: no order explains them.
/// Worlds with more than `most_attempts` attempts are left out: SQLite has no more.
pub(crate) fn explain(
    from: &[World],
    asked: &BTreeMap<Number, Asked>,
    most_attempts: usize,
) -> Vec<Explanation> {
    let mut met: HashSet<World> = from.iter().cloned().collect();
    let mut pending: Vec<World> = from.to_vec();
    let (mut found, mut places) = (Vec::new(), HashMap::new());
    let mut place = |found: &mut Vec<Explanation>, world: &World| -> Option<usize> {
        let explains = world.open.keys().all(|number| asked[number].answer.is_none());
        explains.then(|| {
            *places.entry(settled(world)).or_insert_with_key(|world| {
                found.push(Explanation { world: world.clone(), before: Vec::new() });
                found.len() - 1
            })
        })
    };
    while let Some(world) = pending.pop() {
        let before = place(&mut found, &world);
        // What nothing else can tell from a later move needs no place in the order.
        let at_once = world.open.iter().find(|(number, stage)| is_unnoticed(**number, stage, asked));
        for (number, stage) in at_once.map_or_else(|| world.open.iter().collect(), |one| vec![one]) {
            let Asked { op, answer } = &asked[number];
            let moves = match stage {
                Stage::Unheard(given) => vec![(world.model.clone(), Next::Answer(given.clone()))],
                stage => world.model.moves(*number, op, stage),
            };
            for (model, next) in moves {
                if model.attempts.len() > most_attempts {
                    continue;
                }
                let mut open = world.open.clone();
                match (next, answer) {
                    (Next::Stage(stage), _) => open.insert(*number, stage),
                    (Next::Answer(given), None) => open.insert(*number, Stage::Unheard(given)),
                    (Next::Answer(given), Some(answer)) if given == *answer => open.remove(number),
                    (Next::Answer(_), Some(_)) => continue,
                };
                let after = World { model, open };
                if let (Some(before), Some(after)) = (before, place(&mut found, &after))
                    && before != after
                {
                    found[after].before.push(before);
                }
                if met.insert(after.clone()) {
                    pending.push(after);
                }
            }
        }
    }
    found
}

/// Whether an operation's next move changes nothing for others and depends on nothing that others do, so that it may as well be made now.
fn is_unnoticed(number: Number, stage: &Stage, asked: &BTreeMap<Number, Asked>) -> bool {
    let others = || asked.iter().filter(|(other, _)| **other != number).map(|(_, asked)| &asked.op);
    let Asked { op, answer } = &asked[&number];
    match (op, stage) {
        // Its token is looked at again after it has entered.
        (Op::Poll { .. }, Stage::Known(_)) => true,
        // What is still open may begin after something that is not asked yet.
        (_, Stage::Asked) if answer.is_none() => false,
        (Op::Poll { runner, .. }, Stage::Asked) => !others().any(|op| match op {
            // It takes the place of the same runner's poll, and only of that.
            Op::Poll { runner: other, .. } | Op::SignOff { runner: other, .. } => other == runner,
            op => matches!(op, Op::Register { .. } | Op::Forget { .. }),
        }),
        (Op::Call { .. } | Op::SignOff { .. }, Stage::Asked) => {
            !others().any(|op| matches!(op, Op::Register { .. } | Op::Forget { .. }))
        }
        (Op::CreateRun { .. }, Stage::Asked) => {
            !others().any(|op| matches!(op, Op::Upload { .. } | Op::CreateApp { .. }))
        }
        _ => false,
    }
}

/// The same world without what makes no difference any more, so that worlds that differ in nothing else are one.
fn settled(world: &World) -> World {
    let mut world = world.clone();
    world.model.forget_answered_polls(|number| world.open.contains_key(&number));
    world
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beginning;
    use crate::vocabulary::{No, Poll, Shown};

    /// Whether an order explains these answers to operations that were asked at the same time, with one run in the queue.
    fn explained(answers: Vec<(Op, Option<Answer>)>) -> bool {
        let (mut model, _, number) = beginning();
        model.carry_out(number, &create());
        let numbers = number + 1..;
        let asked: BTreeMap<Number, Asked> =
            numbers.zip(answers).map(|(number, (op, answer))| (number, Asked { op, answer })).collect();
        let open = asked.keys().map(|number| (*number, Stage::Asked)).collect();
        !explain(&[World { model, open }], &asked, 2).is_empty()
    }

    fn create() -> Op {
        Op::CreateRun {
            team: 0,
            app: "jobs".to_owned(),
            version: None,
            priority: None,
            max_retries: None,
            retry: None,
            environment: "default".to_owned(),
            input: None,
        }
    }

    fn poll(runner: Number) -> Op {
        Op::Poll { runner: Shown::whole(runner), poll: Poll::default(), patience: Patience::None }
    }

    fn granted(attempt: i64) -> Answer {
        let (run, number, version) = (1, 1, 1);
        let (queued_at, expires) = (1_000_000, 1_060_000);
        Answer::Granted { run, attempt, number, version, retry_count: 0, queued_at, expires, started: false }
    }

    #[test]
    fn one_run_goes_to_either_of_two_polls_but_not_to_both_and_not_to_neither() {
        let answers = |first, second| explained(vec![(poll(14), Some(first)), (poll(15), Some(second))]);
        assert!(answers(granted(1), Answer::Nothing));
        assert!(answers(Answer::Nothing, granted(1)));
        assert!(!answers(granted(1), granted(1)));
        assert!(!answers(granted(1), granted(2)));
        assert!(!answers(Answer::Nothing, Answer::Nothing));
    }

    #[test]
    fn a_cancel_at_the_same_time_comes_before_the_poll_or_after_it() {
        let cancel = || Op::Cancel { team: 0, run: 1 };
        let refused = || Answer::Refused(No::Conflict);
        let ended = |run: bool| {
            let (mut model, _, number) = beginning();
            model.carry_out(number, &create());
            if run {
                model.carry_out(number + 1, &poll(14));
            }
            model.carry_out(number + 2, &cancel())
        };
        assert!(explained(vec![(poll(14), Some(Answer::Nothing)), (cancel(), Some(ended(false)))]));
        assert!(explained(vec![(poll(14), Some(granted(1))), (cancel(), Some(ended(true)))]));
        assert!(!explained(vec![(poll(14), Some(granted(1))), (cancel(), Some(ended(false)))]));
        assert!(!explained(vec![(poll(14), Some(granted(1))), (cancel(), Some(refused()))]));
    }

    #[test]
    fn a_poll_that_was_asked_first_may_still_take_the_place_of_one_that_was_asked_later() {
        let long = || Op::Poll { runner: Shown::whole(14), poll: Poll::default(), patience: Patience::Long };
        let (model, _, number) = beginning();
        let mut asked = BTreeMap::from([(number, Asked { op: long(), answer: None })]);
        let open = BTreeMap::from([(number, Stage::Asked)]);
        let mut worlds = explain(&[World { model, open }], &asked, 2);
        assert!(worlds.iter().any(|explained| explained.world.is_quiet(&asked)));
        // The second is told that there is nothing, and the first goes on waiting.
        asked.insert(number + 1, Asked { op: long(), answer: Some(Answer::Nothing) });
        worlds.retain(|explained| explained.before.is_empty());
        assert_eq!(worlds.len(), 1, "the others follow from the one in which it has not begun");
        let mut worlds: Vec<World> = worlds.into_iter().map(|explained| explained.world).collect();
        worlds[0].open.insert(number + 1, Stage::Asked);
        assert!(explain(&worlds, &asked, 2).iter().any(|explained| explained.world.is_quiet(&asked)));
    }
}
