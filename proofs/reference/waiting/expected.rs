//! What has to be so of runs that wait, written once more from the API's description: plain maps, and no rule of the program's.

use std::collections::{BTreeMap, BTreeSet};

use crate::vocabulary::Status;

/// A place in the queue: the first of several comes first.
type Place = (i64, i64, i64);

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) app: &'static str,
    pub(super) environment: &'static str,
    pub(super) priority: i64,
    /// The key that it shares, and how many may be active when it starts.
    pub(super) shares: Option<(&'static str, i64)>,
    /// The runs that it comes after and that have not come to that; true: whatever their end.
    pub(super) after: Vec<(i64, bool)>,
    /// It waits for none of them any more.
    pub(super) free: bool,
    pub(super) status: Status,
    /// How often it may still be lost.
    pub(super) retries: i64,
    pub(super) queued_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) retry_of: Option<i64>,
}

/// A run as SQLite has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) status: Status,
    pub(super) blocked_by: Option<String>,
    pub(super) queued_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) retry_of: Option<i64>,
}

/// The runs that SQLite has, by id.
pub(super) type Rows = BTreeMap<i64, Found>;

/// The runs of the team.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub(super) runs: BTreeMap<i64, Known>,
    pub(super) disabled: BTreeSet<&'static str>,
}

impl Expected {
    /// A run is made. It may never start.
    pub(super) fn make(&mut self, id: i64, run: Known, now: i64) {
        self.runs.insert(id, run);
        self.settle(now);
    }

    /// A run ends or goes back into the queue.
    pub(super) fn moves(&mut self, id: i64, status: Status, now: i64) {
        let run = self.runs.get_mut(&id).unwrap();
        run.status = status;
        run.finished_at = status.is_terminal().then_some(now);
        self.settle(now);
    }

    /// The runners of all runs that are held are lost.
    pub(super) fn lose_all(&mut self, now: i64) {
        for run in self.runs.values_mut().filter(|run| run.status.is_active()) {
            run.status = match (run.status, run.retries) {
                (Status::Cancelling, _) => Status::Cancelled,
                (_, 0) => Status::Dead,
                (_, left) => {
                    (run.retries, run.queued_at) = (left - 1, now);
                    Status::Queued
                }
            };
            run.finished_at = run.status.is_terminal().then_some(now);
        }
        self.settle(now);
    }

    /// A cancel of one run.
    pub(super) fn cancel(&mut self, id: i64, now: i64) {
        match self.runs[&id].status {
            Status::Queued => self.moves(id, Status::Cancelled, now),
            Status::Leased | Status::Running => self.moves(id, Status::Cancelling, now),
            _ => {}
        }
    }

    /// Frees those that wait no more for others, and cancels those that would wait for ever.
    fn settle(&mut self, now: i64) {
        loop {
            let statuses: BTreeMap<i64, Status> =
                self.runs.iter().map(|(id, run)| (*id, run.status)).collect();
            let is_so = |(other, any): &(i64, bool)| match statuses.get(other) {
                Some(Status::Completed) => true,
                Some(status) => *any && status.is_terminal(),
                None => *any,
            };
            let never = |after: &(i64, bool)| {
                !is_so(after) && statuses.get(&after.0).is_none_or(|status| status.is_terminal())
            };
            let mut settled = true;
            for run in self.runs.values_mut().filter(|run| run.status == Status::Queued && !run.free) {
                // What was so once stays so, also when the other run is no more.
                run.after.retain(|after| !is_so(after));
                if run.after.iter().any(never) {
                    (run.status, run.finished_at) = (Status::Cancelled, Some(now));
                    settled = false;
                } else if run.after.is_empty() {
                    run.free = true;
                }
            }
            if settled {
                return;
            }
        }
    }

    /// Old runs go, but for the newest of each app. Answers them.
    pub(super) fn old(&self, before: i64, last: usize) -> BTreeSet<i64> {
        let mut old = BTreeSet::new();
        for app in super::APPS {
            let of_app = self.runs.iter().rev().filter(|(_, run)| run.app == app).skip(last);
            let went = of_app.filter(|(_, run)| run.finished_at.is_some_and(|at| at < before));
            old.extend(went.map(|(id, _)| *id));
        }
        old
    }

    /// How many runs of a key are active.
    fn active(&self, key: &str) -> i64 {
        let shares = |run: &&Known| run.shares.is_some_and(|(of, _)| of == key);
        let active = self.runs.values().filter(shares).filter(|run| run.status.is_active());
        i64::try_from(active.count()).unwrap()
    }

    fn place(&self, id: i64) -> Place {
        let run = &self.runs[&id];
        (-run.priority, run.queued_at, id)
    }

    /// The runs of an environment that SQLite has as that, in the order of the queue.
    fn queue(&self, rows: &Rows, environment: &str, blocked_by: Option<&str>) -> Vec<i64> {
        let here = |id: &&i64| self.runs[*id].environment == environment;
        let is =
            |id: &&i64| rows[*id].status == Status::Queued && rows[*id].blocked_by.as_deref() == blocked_by;
        let mut queue: Vec<i64> = rows.keys().filter(here).filter(is).copied().collect();
        queue.sort_by_key(|id| self.place(*id));
        queue
    }

    /// What is wrong with what SQLite has once everything was looked at; none: nothing.
    pub(super) fn problem(&self, rows: &Rows) -> Option<String> {
        if !rows.keys().eq(self.runs.keys()) {
            return Some(format!("there are {:?}, not {:?}", rows.keys(), self.runs.keys()));
        }
        self.runs.iter().find_map(|(id, run)| {
            let found = &rows[id];
            let plain = (found.status, found.queued_at, found.finished_at, found.retry_of);
            if plain != (run.status, run.queued_at, run.finished_at, run.retry_of) {
                return Some(format!("run {id}: {found:?}, not {run:?}"));
            }
            let wait = found.blocked_by.as_deref();
            let fits = match wait {
                _ if run.status != Status::Queued => wait.is_none(),
                _ if !run.free => wait == Some("after"),
                _ if self.disabled.contains(run.app) => wait == Some("disabled"),
                Some("limit") => self.is_held(*id, rows),
                wait => wait.is_none() && self.is_ready(*id, rows),
            };
            (!fits).then(|| format!("run {id} waits for {wait:?}: {run:?}"))
        })
    }

    /// Whether the first of its key that waits for a place there finds none.
    fn is_held(&self, id: i64, rows: &Rows) -> bool {
        let run = &self.runs[&id];
        let Some((key, _)) = run.shares else { return false };
        let shares = |id: &i64| self.runs[id].shares.filter(|(of, _)| *of == key);
        let held = self.queue(rows, run.environment, Some("limit"));
        let Some((_, most)) = held.iter().find_map(shares) else { return false };
        let ready = self.queue(rows, run.environment, None).iter().filter_map(shares).count();
        self.active(key) + i64::try_from(ready).unwrap() >= most
    }

    /// Whether no more of its key are ready there than one of these allows.
    fn is_ready(&self, id: i64, rows: &Rows) -> bool {
        let run = &self.runs[&id];
        let Some((key, _)) = run.shares else { return true };
        let shares = |id: &i64| self.runs[id].shares.filter(|(of, _)| *of == key);
        let most: Vec<i64> =
            self.queue(rows, run.environment, None).iter().filter_map(shares).map(|(_, most)| most).collect();
        most.iter().max().is_some_and(|max| i64::try_from(most.len()).unwrap() <= *max)
    }

    /// Why a run is not running, as far as a runner would change nothing about it; none: a runner may take it.
    pub(super) fn reason(&self, id: i64, rows: &Rows) -> Option<&'static str> {
        let run = &self.runs[&id];
        let is_full = |(key, most)| self.active(key) >= most;
        match rows[&id].blocked_by.as_deref() {
            Some("after") => Some("after"),
            _ if self.disabled.contains(run.app) => Some("disabled"),
            Some("disabled") => Some("disabled"),
            Some("limit") => Some("limit"),
            _ => run.shares.is_some_and(is_full).then_some("limit"),
        }
    }

    /// The run's place among the ready ones, from 1.
    pub(super) fn position(&self, id: i64, rows: &Rows) -> Option<u64> {
        let ready = self.queue(rows, self.runs[&id].environment, None);
        let place = ready.iter().position(|of| *of == id)?;
        self.reason(id, rows).is_none_or(|reason| reason == "limit").then_some(place as u64 + 1)
    }

    /// The run that a runner of that environment has to get.
    pub(super) fn next(&self, environment: &str, rows: &Rows) -> Option<i64> {
        self.queue(rows, environment, None).into_iter().find(|id| self.reason(*id, rows).is_none())
    }
}
