//! What the server's transactions do with the rules' decisions.

use minitower_rules::domain::after::{self, After, Verdict};
use minitower_rules::domain::gates::{AppRules, Asking, Gates, Standing, unsettles};
use minitower_rules::domain::lease;
use minitower_rules::domain::run::{Concurrency, RunEnd, RunProgress, RunState, Wait};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use super::promises::Promise;
use super::{Action, Event, Row, Share, Step, Walk, Work};

const TEAM: TeamId = TeamId(1);
const APP: AppId = AppId(1);
const KEY: &str = "k";
/// The time of every step; whatever is in the queue came before.
const NOW: Timestamp = Timestamp(1_000);

impl Step<'_> {
    /// Takes a step. None: it cannot be taken here.
    pub(super) fn act(&mut self, action: Action) -> Option<()> {
        match action {
            Action::Create(run) => return self.create(run),
            Action::Cancel(run) => self.cancel(run),
            Action::Disable(disabled) => {
                self.state.disabled = disabled;
                self.ruled();
            }
            Action::Limit(limit) => {
                self.state.limit = limit;
                self.ruled();
            }
            Action::Poll(environment) => return self.poll(environment),
            Action::End(run, status) => {
                let end = ended(&self.progress(run).state, None);
                let state = if status == RunStatus::Completed {
                    RunState::Completed(end)
                } else {
                    RunState::Failed(end)
                };
                self.save(run, |progress| progress.into_state(state));
            }
            Action::Release(run) => self.enter(run, RunProgress::into_state),
            Action::Lose(run) => self.enter(run, |mut progress, state| {
                (progress.retries.used, progress.queued_at) = (progress.retries.used + 1, NOW);
                progress.into_state(state)
            }),
            Action::BackOff(run) => self.save(run, |mut progress| {
                (progress.retries.used, progress.queued_at) = (progress.retries.used + 1, NOW);
                let first_started_at = progress.state.first_started_at();
                progress.into_state(RunState::Queued { wait: Wait::Until(Timestamp(0)), first_started_at })
            }),
            Action::Wake(run) => {
                let ready = lease::wake(self.progress(run), NOW)?;
                self.enter(run, |_, _| ready);
            }
            Action::LookAtKey => self.look_at_key(),
            Action::LookAtTeam => {
                self.state.work.team = false;
                self.state.work.key |= !self.gates().waiting_keys(TEAM).is_empty();
            }
            Action::FindOfApp => self.find_of_app(),
            Action::LookAtApp => self.look_at_app(),
            Action::LookBehind(run) => self.look_behind(run),
            Action::Restart => self.restart(),
        }
        Some(())
    }

    pub(super) fn progress(&self, run: u8) -> &RunProgress {
        let row = self.state.runs[usize::from(run)].as_ref();
        &row.expect("the run was created").progress
    }

    pub(super) fn row(&mut self, run: u8) -> &mut Row {
        self.state.runs[usize::from(run)].as_mut().expect("the run was created")
    }

    fn share(&self, run: u8) -> Option<Concurrency> {
        let max = match self.model.config.runs[usize::from(run)].share {
            Share::Nothing => return None,
            Share::Own(max) => Some(max),
            Share::App => None,
        };
        Some(Concurrency { key: KEY.to_owned(), max })
    }

    /// What the mirrors of the rows say.
    fn gates(&self) -> Gates {
        let mut gates = Gates::default();
        let concurrency = Some(Concurrency { key: KEY.to_owned(), max: Some(self.state.limit) });
        gates.rule(APP, AppRules { disabled: self.state.disabled, concurrency, log_bytes: None });
        for (row, plan) in self.state.runs.iter().zip(self.model.config.runs) {
            if let Some(row) = row.as_ref().filter(|_| plan.share != Share::Nothing) {
                gates.add(TEAM, KEY, plan.environment, Standing::of(&row.progress.state), 1);
            }
        }
        gates
    }

    /// Asks the gates about a run.
    fn ask<T>(&self, run: u8, ask: impl FnOnce(&Gates, Asking<'_>) -> T) -> T {
        let concurrency = self.share(run);
        let plan = &self.model.config.runs[usize::from(run)];
        let row = self.state.runs[usize::from(run)].as_ref();
        let leaves = row.is_some_and(|row| row.progress.status().is_active());
        let asking = Asking {
            team: TEAM,
            app: APP,
            environment: plan.environment,
            concurrency: concurrency.as_ref(),
            leaves,
        };
        ask(&self.gates(), asking)
    }

    /// Saves a run, and notes what is to be looked at because of it.
    fn save(&mut self, run: u8, change: impl FnOnce(RunProgress) -> RunProgress) {
        let before = self.progress(run).clone();
        let after = change(before.clone());
        self.row(run).progress = after.clone();
        self.moved(run, Some(&before), &after);
    }

    fn moved(&mut self, run: u8, before: Option<&RunProgress>, after: &RunProgress) {
        let before = before.map(|progress| Standing::of(&progress.state));
        let keyed = self.model.config.runs[usize::from(run)].share != Share::Nothing;
        self.state.work.key |= keyed && unsettles(before, Standing::of(&after.state));
        let waits = |row: &Option<Row>, after: &[(u8, after::Until)]| {
            let mut unmet = after.iter().zip(0..).filter(|((other, _), _)| *other == run);
            row.as_ref().is_some_and(|row| unmet.any(|(_, bit)| row.met & 1 << bit == 0))
        };
        let mut rows = self.state.runs.iter().zip(self.model.config.runs);
        if after.state.end().is_some() && rows.any(|(row, plan)| waits(row, plan.after)) {
            self.state.work.ended |= 1 << run;
        }
    }

    fn ruled(&mut self) {
        // What was under way is begun anew.
        self.state.work.app = Some(Walk::default());
        self.state.work.team = true;
    }

    /// A held run comes into the queue again.
    fn enter(&mut self, run: u8, change: impl FnOnce(RunProgress, RunState) -> RunProgress) {
        let wait = self.ask(run, Gates::enter);
        let first_started_at = self.progress(run).state.first_started_at();
        self.save(run, |progress| {
            let ready = change(progress, RunState::Queued { wait: Wait::Nothing, first_started_at });
            ready.into_state(RunState::Queued { wait, first_started_at })
        });
        self.check_turn(run, wait);
        self.told_to_wait(wait);
    }

    fn told_to_wait(&self, wait: Wait) {
        match wait {
            Wait::Limit => self.model.meet(Event::Held),
            Wait::Disabled => self.model.meet(Event::Shut),
            _ => {}
        }
    }

    fn create(&mut self, run: u8) -> Option<()> {
        let config = &self.model.config;
        let plan = &config.runs[usize::from(run)];
        // The one is refused, the other names runs that there are not.
        if self.state.disabled
            || plan.after.iter().any(|(other, _)| self.state.runs[usize::from(*other)].is_none())
        {
            return None;
        }
        let judged: Vec<_> = plan.after.iter().map(|after| self.judge(*after)).collect();
        let never = judged.contains(&Verdict::Never);
        let met = judged
            .iter()
            .zip(0..)
            .map(|(verdict, bit)| u8::from(never || *verdict == Verdict::Met) << bit)
            .sum();
        let wait = if judged.iter().any(|verdict| *verdict != Verdict::Met) {
            Wait::After
        } else {
            let wait = self.ask(run, Gates::enter);
            self.told_to_wait(wait);
            wait
        };
        self.check_turn(run, wait);
        let fresh = RunProgress::queued(config.retries, NOW);
        let fresh = fresh.into_state(RunState::Queued { wait, first_started_at: None });
        self.moved(run, None, &fresh);
        self.state.runs[usize::from(run)] = Some(Row { progress: fresh, met });
        if never {
            self.save(run, |progress| after::give_up(progress, String::new(), NOW));
            self.model.meet(Event::GivenUpAtOnce);
        }
        Some(())
    }

    fn cancel(&mut self, run: u8) {
        if self.progress(run).status().is_active() {
            let end = ended(&self.progress(run).state, None);
            self.save(run, |progress| progress.into_state(RunState::Cancelled { requested: true, end }));
        } else {
            self.save(run, |progress| lease::cancel_unheld(progress, NOW).expect("nobody holds it"));
        }
    }

    /// A runner takes the first ready run that may start, and sends back those that may not.
    fn poll(&mut self, environment: &str) -> Option<()> {
        let mut sent_back = false;
        loop {
            let ready = |run: &u8| self.progress(*run).state.is_ready();
            let Some(run) = self.queue(environment).into_iter().find(ready) else {
                return sent_back.then_some(());
            };
            let Some(wait) = self.ask(run, Gates::start) else {
                self.check_start(run);
                let first_started_at =
                    Some(self.progress(run).state.first_started_at().unwrap_or(Timestamp(0)));
                self.save(run, |progress| progress.into_state(RunState::Leased { first_started_at }));
                return Some(());
            };
            self.keep(run, wait);
            self.model.meet(Event::SentBack);
            sent_back = true;
        }
    }

    /// Saves what a queued run waits for.
    fn keep(&mut self, run: u8, wait: Wait) {
        let first_started_at = self.progress(run).state.first_started_at();
        self.save(run, |progress| progress.into_state(RunState::Queued { wait, first_started_at }));
    }

    fn look_at_key(&mut self) {
        for environment in self.gates().waiting(TEAM, KEY) {
            let held = |run: &u8| self.progress(*run).state.wait() == Some(Wait::Limit);
            let first = self.queue(&environment).into_iter().find(held);
            let first = first.expect("one is counted");
            let wait = self.ask(first, Gates::next);
            if wait != Wait::Limit {
                self.check_first(first);
                self.keep(first, wait);
                self.model.meet(Event::Filled);
                return;
            }
        }
        self.state.work.key = false;
    }

    fn find_of_app(&mut self) {
        let Walk { seen, .. } = self.state.work.app.clone().expect("it is looked at");
        let waits = |run: &u8| {
            let row = self.state.runs[usize::from(*run)].as_ref();
            let wait = row.and_then(|row| row.progress.state.wait());
            matches!(wait, Some(Wait::Nothing | Wait::Limit))
        };
        let places = seen..u8::try_from(self.state.runs.len()).expect("there are few runs");
        let found = if self.state.disabled { places.into_iter().find(waits) } else { None };
        match found {
            Some(found) => self.state.work.app = Some(Walk { seen, found: Some(found) }),
            None if self.state.disabled => self.state.work.app = None,
            // Of one that is enabled whoever waits is looked for in the transaction.
            None => self.let_go(),
        }
    }

    fn look_at_app(&mut self) {
        let Some(Walk { found: Some(run), .. }) = self.state.work.app.clone() else { return };
        if matches!(self.progress(run).state.wait(), Some(Wait::Nothing | Wait::Limit)) && self.state.disabled
        {
            self.keep(run, Wait::Disabled);
            self.model.meet(Event::Shut);
        }
        self.state.work.app = Some(Walk { seen: run + 1, found: None });
    }

    fn let_go(&mut self) {
        let mut first = None;
        for environment in self.environments() {
            let waits = |run: &u8| self.progress(*run).state.wait() == Some(Wait::Disabled);
            first = first.or_else(|| self.queue(environment).into_iter().find(waits));
        }
        let Some(run) = first else {
            self.state.work.app = None;
            return;
        };
        let wait = self.ask(run, Gates::enter);
        self.check_turn(run, wait);
        self.keep(run, wait);
        self.told_to_wait(wait);
        self.model.meet(Event::LetGo);
    }

    fn look_behind(&mut self, other: u8) {
        let mut runs = (0..).zip(self.model.config.runs);
        let waits = runs.find(|(run, plan)| {
            let row = self.state.runs[usize::from(*run)].as_ref();
            let mut bits = plan.after.iter().zip(0..).filter(|((of, _), _)| *of == other);
            row.is_some_and(|row| bits.any(|(_, bit)| row.met & 1 << bit == 0))
        });
        match waits {
            None => self.state.work.ended &= !(1 << other),
            Some((run, _)) if self.progress(run).state.wait() == Some(Wait::After) => {
                self.look_at_what_it_waits_for(run);
            }
            // Cancelled while it waited.
            Some((run, _)) => self.row(run).met = u8::MAX,
        }
    }

    fn look_at_what_it_waits_for(&mut self, run: u8) {
        let plan = &self.model.config.runs[usize::from(run)];
        let mut open = false;
        for (after, bit) in plan.after.iter().zip(0..) {
            match self.judge(*after) {
                Verdict::Met => self.row(run).met |= 1 << bit,
                Verdict::Open => open = true,
                Verdict::Never => {
                    self.row(run).met = u8::MAX;
                    self.save(run, |progress| after::give_up(progress, String::new(), NOW));
                    self.model.meet(Event::GivenUp);
                    return;
                }
            }
        }
        if !open {
            let wait = self.ask(run, Gates::enter);
            self.check_turn(run, wait);
            self.keep(run, wait);
            self.told_to_wait(wait);
            self.model.meet(Event::Freed);
        }
    }

    fn judge(&self, (other, until): (u8, after::Until)) -> Verdict {
        After { run: RunId(other.into()), until }.judge(Some(self.progress(other).status()))
    }

    /// Memory is lost, and the rows say what may have been left undone.
    fn restart(&mut self) {
        let mut work = Work::default();
        let rows = || self.state.runs.iter().zip(self.model.config.runs);
        let keyed = |row: &Row| Standing::of(&row.progress.state) != Standing::Aside;
        work.key = rows().any(|(row, plan)| plan.share != Share::Nothing && row.as_ref().is_some_and(keyed));
        let shut = |row: &Row| row.progress.state.wait() == Some(Wait::Disabled);
        let holds = rows().any(|(row, _)| row.as_ref().is_some_and(shut));
        work.app = (self.state.disabled || holds).then(Walk::default);
        for (row, plan) in rows() {
            let Some(Row { met, .. }) = row else { continue };
            for ((other, _), bit) in plan.after.iter().zip(0..) {
                if met & 1 << bit == 0 && self.progress(*other).state.end().is_some() {
                    work.ended |= 1 << other;
                }
            }
        }
        self.state.work = work;
    }

    pub(super) fn environments(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = self.model.config.runs.iter().map(|plan| plan.environment).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The queued runs of an environment, in their order.
    pub(super) fn queue(&self, environment: &str) -> Vec<u8> {
        let plan = |run: u8| &self.model.config.runs[usize::from(run)];
        let waits = |run: &u8| {
            let row = self.state.runs[usize::from(*run)].as_ref();
            row.is_some_and(|row| row.progress.status() == RunStatus::Queued)
                && plan(*run).environment == environment
        };
        let mut queue: Vec<u8> = (0..).take(self.state.runs.len()).filter(waits).collect();
        queue.sort_by_key(|run| (-plan(*run).priority, self.progress(*run).queued_at, *run));
        queue
    }

    pub(super) fn breaks(&mut self, promise: Promise) {
        self.state.broken.get_or_insert(promise);
    }

    /// Places in the queue count only against each other, and of what has ended nothing but how.
    pub(super) fn rank(&mut self) {
        let rows = || self.state.runs.iter().flatten().map(|row| &row.progress);
        let open = rows().filter(|progress| progress.state.end().is_none());
        let mut times: Vec<_> = open.map(|progress| progress.queued_at).collect();
        times.sort_unstable();
        times.dedup();
        for Row { progress, .. } in self.state.runs.iter_mut().flatten() {
            let at = times.binary_search(&progress.queued_at).unwrap_or(0);
            progress.queued_at = Timestamp(i64::try_from(at).expect("there are few"));
            if progress.state.end().is_some() {
                (progress.queued_at, progress.retries.used) = (Timestamp(0), 0);
            }
        }
    }
}

fn ended(state: &RunState, error_message: Option<String>) -> RunEnd {
    let first_started_at = state.first_started_at();
    RunEnd { first_started_at, finished_at: NOW, exit_code: None, error_message }
}
