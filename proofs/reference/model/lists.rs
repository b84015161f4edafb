//! What is told of the state: lists, counts, and all of it as tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Model;
use crate::database::Tables;
use crate::vocabulary::{Admin, Answer, AttemptRow, No, Op, RunRow, Status, TEAMS, Team};

impl Model {
    pub(super) fn list(&self, op: &Op) -> Answer {
        match op {
            Op::ListRuns { .. } => Answer::Runs(self.list_runs(op)),
            Op::ShowRun { team, run } => self
                .run_of_team(*team, *run)
                .map_or(Answer::Refused(No::NotFound), |run| Answer::Run(Box::new(run.clone()))),
            Op::Attempts { team, run } => match self.run_of_team(*team, *run) {
                None => Answer::Refused(No::NotFound),
                Some(run) => Answer::Attempts(self.attempts_of(run.id).cloned().collect()),
            },
            Op::Logs { team, run, after } => match self.run_of_team(*team, *run) {
                None => Answer::Refused(No::NotFound),
                Some(run) => {
                    let newest = self.attempts_of(run.id).last().map(|attempt| attempt.id);
                    let lines = self.logs.iter().filter(|((a, seq), _)| Some(*a) == newest && seq > after);
                    Answer::Lines(lines.map(|((_, seq), line)| (*seq, line.clone())).collect())
                }
            },
            Op::ListRunners { by } => Answer::Runners(self.list_runners(*by)),
            Op::Summary { team } => {
                let count = |of: &dyn Fn(Status) -> bool| {
                    let own = self.runs.iter().filter(|run| run.team == *team && of(run.status));
                    i64::try_from(own.count()).unwrap()
                };
                Answer::Summary([
                    count(&|_| true),
                    count(&Status::is_active),
                    count(&|status| status == Status::Queued),
                    count(&Status::is_terminal),
                ])
            }
            Op::Gauges => Answer::Gauges(self.gauges()),
            other => unreachable!("{other:?} lists nothing"),
        }
    }

    fn attempts_of(&self, run: i64) -> impl Iterator<Item = &AttemptRow> {
        self.all_attempts().map(|(attempt, _)| attempt).filter(move |attempt| attempt.run == run)
    }

    fn list_runs(&self, op: &Op) -> Vec<RunRow> {
        let Op::ListRuns { team, app, status, environment, before, limit, offset } = op else {
            return Vec::new();
        };
        let fits = |run: &&RunRow| {
            run.team == *team
                && app.as_ref().is_none_or(|app| *app == run.app)
                && status.is_none_or(|status| status == run.status)
                && environment.as_ref().is_none_or(|environment| *environment == run.environment)
                && before.is_none_or(|before| run.id < before)
        };
        let (skip, take) = (usize::try_from(*offset).unwrap(), usize::try_from(*limit).unwrap());
        self.runs.iter().rev().map(Arc::as_ref).filter(fits).skip(skip).take(take).cloned().collect()
    }

    fn list_runners(&self, by: Admin) -> Vec<(String, bool, Option<i64>)> {
        let visible = |of: Option<Team>| match by {
            Admin::Operator => true,
            Admin::Team(team) => of.is_none() || of == Some(team),
        };
        let told = self.runners.iter().filter(|(_, runner)| visible(runner.team)).map(|(name, runner)| {
            let held = self.active_of_runner(runner.id).map(|(a, _)| a.run);
            // A platform runner may hold another team's run.
            let run = held.filter(|_| by == Admin::Operator || runner.team.is_some());
            (name.clone(), self.is_fenced(name), run)
        });
        told.collect()
    }

    fn gauges(&self) -> Vec<(String, i64)> {
        let mut gauges: BTreeMap<String, i64> = BTreeMap::new();
        for run in &self.runs {
            let labels = format!("app={},environment={},team={}", run.app, run.environment, TEAMS[run.team]);
            if run.not_before.is_some() {
                let labels = labels.replace(",team=", ",reason=backoff,team=");
                *gauges.entry(format!("minitower_runs_blocked {labels}")).or_default() += 1;
            }
            if run.status.is_active() {
                *gauges.entry(format!("minitower_runs_active {labels}")).or_default() += 1;
                let busy = format!("minitower_runners_busy environment={}", run.environment);
                *gauges.entry(busy).or_default() += 1;
            }
        }
        for (team, slug) in TEAMS.iter().enumerate() {
            let ready = |run: &&Arc<RunRow>| {
                run.team == team && run.status == Status::Queued && run.not_before.is_none()
            };
            let ready = self.runs.iter().filter(ready).count();
            let pending = ready.min(self.room(team));
            for (what, n) in [("pending", pending), ("held", ready - pending)] {
                gauges.insert(format!("{what} {slug}"), i64::try_from(n).unwrap());
            }
        }
        gauges.into_iter().filter(|(_, n)| *n != 0).collect()
    }

    /// All of it as the tables that the database is to hold.
    pub(crate) fn tables(&self) -> Tables {
        let mut tables = Tables {
            runs: self.runs.iter().map(|run| (run.id, run.as_ref().clone())).collect(),
            attempts: self.all_attempts().map(|(attempt, _)| (attempt.id, attempt.clone())).collect(),
            logs: self.logs.as_ref().clone(),
            fences: self.fences.as_ref().clone(),
            environments: self.environments.as_ref().clone(),
            apps: self.apps.as_ref().clone(),
            ..Tables::default()
        };
        for run in &self.runs {
            let counted = if run.not_before.is_some() { "backoff".to_owned() } else { run.status.word() };
            let place = (run.team, run.app.clone(), run.environment.clone(), counted);
            *tables.counts.entry(place).or_default() += 1;
            let ready = run.status == Status::Queued && run.not_before.is_none();
            if ready && !tables.queue.contains_key(&run.environment) {
                let queue = self.queue(&run.environment).iter().map(|run| run.id).collect();
                tables.queue.insert(run.environment.clone(), queue);
            }
        }
        for (name, runner) in self.runners.iter() {
            let team = runner.team.map(|team| i64::try_from(team).unwrap() + 1);
            let rest = (runner.id, team, runner.environment.clone(), runner.instance.clone());
            tables.runners.insert(name.clone(), rest);
        }
        for (team, _) in self.registration_tokens.values() {
            *tables.registration_tokens.entry(*team).or_default() += 1;
        }
        tables
    }
}
