//! What must hold of runs that wait, said without the rules that are to keep it.

use minitower_rules::domain::after::Until;
use minitower_rules::domain::run::{RunState, Wait};
use minitower_vocabulary::statuses::RunStatus;
use stateright::Property;

use super::{Action, Row, Share, State, Step, Waiting};

/// What a step can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Promise {
    /// A run started although as many of its key were active as may be.
    Limit,
    /// A run of a disabled app started.
    Disabled,
    /// Of the runs that wait for a place a later one got it, or one that did not wait.
    Turn,
}

/// Steps in which a run that nothing keeps from its end has to come to it.
const ROUNDS: usize = 64;

impl Step<'_> {
    /// How many runs of a run's key may be active at most, by what it says itself; none: it shares nothing.
    fn most(&self, run: u8) -> Option<i64> {
        match self.model.config.runs[usize::from(run)].share {
            Share::Nothing => None,
            Share::Own(max) => Some(max),
            Share::App => Some(self.state.limit),
        }
    }

    /// The runs that share the key and are so, in one environment or in all.
    fn sharing(&self, environment: Option<&str>, is: impl Fn(&Row) -> bool) -> Vec<u8> {
        let all = (0..).zip(self.state.runs.iter().zip(self.model.config.runs));
        let found = all.filter(|(_, (row, plan))| {
            plan.share != Share::Nothing
                && environment.is_none_or(|environment| plan.environment == environment)
                && row.as_ref().is_some_and(&is)
        });
        found.map(|(run, _)| run).collect()
    }

    fn active(&self) -> i64 {
        let active = self.sharing(None, |row| row.progress.status().is_active());
        i64::try_from(active.len()).expect("there are few runs")
    }

    /// A run starts.
    pub(super) fn check_start(&mut self, run: u8) {
        if self.most(run).is_some_and(|most| self.active() >= most) {
            self.breaks(Promise::Limit);
        }
        if self.state.disabled {
            self.breaks(Promise::Disabled);
        }
    }

    /// A run comes to the queue, and has to wait so.
    pub(super) fn check_turn(&mut self, run: u8, wait: Wait) {
        let environment = self.model.config.runs[usize::from(run)].environment;
        let others = self.sharing(Some(environment), |row| row.progress.state.wait() == Some(Wait::Limit));
        if wait == Wait::Nothing && self.most(run).is_some() && others.iter().any(|other| *other != run) {
            self.breaks(Promise::Turn);
        }
    }

    /// A run that waits for a place gets it.
    pub(super) fn check_first(&mut self, run: u8) {
        let plan = |run: u8| &self.model.config.runs[usize::from(run)];
        let place = |run: u8| (-plan(run).priority, self.progress(run).queued_at, run);
        let environment = Some(plan(run).environment);
        let others = self.sharing(environment, |row| row.progress.state.wait() == Some(Wait::Limit));
        if others.into_iter().any(|other| place(other) < place(run)) {
            self.breaks(Promise::Turn);
        }
    }

    /// Whether a run that waits so has a reason to, once everything was looked at.
    fn has_reason(&self, run: u8, wait: Wait) -> bool {
        let plan = &self.model.config.runs[usize::from(run)];
        match wait {
            Wait::Nothing => !self.state.disabled,
            Wait::Until(_) => true,
            Wait::Disabled => self.state.disabled,
            Wait::After => plan.after.iter().any(|(other, _)| self.progress(*other).state.end().is_none()),
            Wait::Limit => {
                let waits = |row: &Row| row.progress.state.wait() == Some(Wait::Limit);
                let mut queue = self.queue(plan.environment).into_iter();
                let first = queue.find(|run| self.sharing(Some(plan.environment), waits).contains(run));
                let ready = self.sharing(Some(plan.environment), |row| row.progress.state.is_ready());
                let taken = self.active() + i64::try_from(ready.len()).expect("there are few runs");
                let most = first.and_then(|first| self.most(first));
                !self.state.disabled && most.is_some_and(|most| taken >= most)
            }
        }
    }
}

/// What must hold in every state.
pub(super) fn properties() -> Vec<Property<Waiting>> {
    fn step<'m>(model: &'m Waiting, state: &State) -> Step<'m> {
        Step { model, state: state.clone() }
    }
    /// A run that was made, and what it comes after.
    type Made<'s> = (u8, &'s Row, &'static [(u8, Until)]);
    fn rows<'s>(model: &Waiting, state: &'s State) -> Vec<Made<'s>> {
        let all = (0..).zip(state.runs.iter().zip(model.config.runs));
        all.filter_map(|(run, (row, plan))| Some((run, row.as_ref()?, plan.after))).collect()
    }
    vec![
        Property::always("no more runs of a key start than may be active", |_, state: &State| {
            state.broken != Some(Promise::Limit)
        }),
        Property::always("no run of a disabled app starts", |_, state: &State| {
            state.broken != Some(Promise::Disabled)
        }),
        Property::always("who waits for a place gets it in the order of the queue", |_, state: &State| {
            state.broken != Some(Promise::Turn)
        }),
        Property::always(
            "a run leaves those that it comes after only when they came to that",
            |model, state| {
                rows(model, state).into_iter().all(|(_, row, after)| {
                    let is_free = !matches!(row.progress.state.wait(), Some(Wait::After))
                        && row.progress.state.end().is_none();
                    let status = |other| step(model, state).progress(other).status();
                    let is_so = |(other, until): &(u8, Until)| match until {
                        Until::Completed => status(*other) == RunStatus::Completed,
                        Until::Ended => status(*other).is_terminal(),
                    };
                    let unasked = matches!(&row.progress.state, RunState::Cancelled { requested: false, .. });
                    let never = |(other, until): &(u8, Until)| {
                        *until == Until::Completed
                            && status(*other).is_terminal()
                            && status(*other) != RunStatus::Completed
                    };
                    (!is_free || after.iter().all(is_so)) && (!unasked || after.iter().any(never))
                })
            },
        ),
        Property::always(
            "whoever still waits when all was looked at has a reason to",
            |model, state: &State| {
                !state.work.is_empty()
                    || rows(model, state).into_iter().all(|(run, row, _)| {
                        let wait = row.progress.state.wait();
                        wait.is_none_or(|wait| step(model, state).has_reason(run, wait))
                    })
            },
        ),
        Property::always("with runners, and the app enabled, every run comes to its end", |model, state| {
            step(model, state).finishes()
        }),
    ]
}

impl Step<'_> {
    fn finishes(mut self) -> bool {
        if self.state.disabled {
            self.act(Action::Disable(false));
        }
        for _ in 0..ROUNDS {
            let mut looks = Vec::new();
            self.state.work.looks(&mut looks);
            if let Some(look) = looks.pop() {
                self.act(look);
                continue;
            }
            let open = (0..).zip(&self.state.runs).find_map(|(run, row)| {
                let progress = &row.as_ref()?.progress;
                if progress.status().is_active() {
                    return Some(Action::End(run, RunStatus::Completed));
                }
                matches!(progress.state.wait(), Some(Wait::Until(_))).then_some(Action::Wake(run))
            });
            if let Some(action) = open {
                self.act(action);
                continue;
            }
            let ended = |row: &Row| row.progress.state.end().is_some();
            if self.state.runs.iter().flatten().all(ended) {
                return true;
            }
            for environment in self.environments() {
                self.act(Action::Poll(environment));
            }
        }
        false
    }
}
