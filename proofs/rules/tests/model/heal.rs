//! No run is stuck: from every state, a system in which nothing goes wrong any more ends every run.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::canon::canonical;
use crate::checker::{Protocol, Step};
use crate::config::{Config, Met};
use crate::state::{Phase, State};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};

/// Rounds after which a run counts as stuck. Each does what is due on every runner and then lets a tick pass; the longest way is that of
/// a lease nobody knows of, which has to run out, for each run in turn.
const ROUNDS: usize = 64;

/// Whether every run ends once messages arrive, dead agents have successors and fences are lifted.
pub(crate) fn finishes(model: &Protocol, state: &State) -> bool {
    if state.broken.is_some() || ended(state) {
        return true;
    }
    let config = Config { attempts: None, ..model.config.clone() };
    let mut healed = state.clone();
    healed.messages.clear();
    for runner in &mut healed.runners {
        runner.fences = 0;
    }
    for attempt in &mut healed.attempts {
        attempt.unheard = false;
    }
    let healed = canonical(healed, &config);
    let mut hasher = DefaultHasher::new();
    healed.hash(&mut hasher);
    let digest = hasher.finish();
    if model.healed.lock().expect("no thread panics here").contains(&digest) {
        return true;
    }
    let met = Met::new();
    let mut step = Step { config: &config, met: &met, state: healed };
    for _ in 0..ROUNDS {
        if ended(&step.state) {
            model.healed.lock().expect("no thread panics here").insert(digest);
            return true;
        }
        step.round();
        step.state = canonical(step.state, &config);
    }
    false
}

fn ended(state: &State) -> bool {
    state.runs.iter().all(|run| run.status.is_none_or(RunStatus::is_terminal))
}

impl Step<'_> {
    fn round(&mut self) {
        for at in 0..self.state.attempts.len() {
            if self.state.attempts[at].status.is_active() {
                // Refused while the lease is valid.
                let _not_due = self.reap(at);
            }
        }
        for (run, row) in (0..).zip(self.state.runs.clone()) {
            if row.waits == Some(0) {
                self.wake(run).expect("what is due wakes");
            }
        }
        for name in 0..self.config.runners {
            let phase = self.state.runners[usize::from(name)].process.as_ref().map(|p| p.phase);
            let done = match phase {
                None => self.begin(name),
                Some(Phase::Idle) => self.ask_for_work(name, self.config.starts.contains(&true)),
                Some(Phase::Executing { .. }) => self.job_ends(name, ResultStatus::Completed),
                Some(_) => self.call_server(name),
            };
            done.expect("what is due can be done");
            while let Some(message) = self.state.messages.first().cloned() {
                let _irrelevant = self.deliver(&message, false, false);
            }
            // A lease of two ticks is only long enough for a job that ends before the next one.
            let _none_executes = self.job_ends(name, ResultStatus::Completed);
        }
        let _drift = self.tick([1, 1]);
    }
}
