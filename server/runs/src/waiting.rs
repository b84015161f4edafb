//! What a new run has to wait for besides a runner: a place under its key, and the runs that it comes after.

use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::names;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::domain::after::{self, After, Verdict};
use crate::domain::app::Version;
use crate::domain::gates::AppRules;
use crate::domain::run::{Concurrency, Run};
use crate::store::{dependencies, runs};
use crate::{Error, Field, runs as use_cases};

/// Longest key, in bytes.
pub(crate) const MAX_KEY: usize = 200;
/// Most runs of one key that may be active.
pub(crate) const MAX_PLACES: i64 = minitower_towerfile::MAX_CONCURRENCY;

/// A limit of active runs as it is asked for: its key, none: the app's slug, and how many.
pub(crate) fn checked_limit(
    wanted: Option<(Option<String>, i64)>,
    slug: &str,
) -> Result<Option<Concurrency>, Error> {
    let Some((key, max)) = wanted else { return Ok(None) };
    if !(1..=MAX_PLACES).contains(&max) {
        let problem = Field::NotBetween { least: 1, most: MAX_PLACES, found: Some(max) };
        return Err(Error::field("concurrency.max", problem));
    }
    if let Some(key) = &key {
        if key.is_empty() {
            return Err(Error::field("concurrency.key", Field::Missing));
        }
        names::check_line(key, MAX_KEY)
            .map_err(|problem| Error::field("concurrency.key", Field::Text(problem)))?;
    }
    Ok(Some(Concurrency { key: key.unwrap_or_else(|| slug.to_owned()), max: Some(max) }))
}

/// Refuses more runs than one may come after, and the same one twice.
pub(crate) fn check_after(after: &[After]) -> Result<(), Error> {
    if after.len() > after::MOST {
        return Err(Error::field("after", Field::Runs { found: after.len(), most: after::MOST }));
    }
    let mut ids: Vec<_> = after.iter().map(|after| after.run).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::field("after", Field::RunTwice(pair[0]))),
        None => Ok(()),
    }
}

/// What a run shares with others: as it asks for itself, else as its app says now, else as its version says.
pub(crate) fn shared(
    own: Option<Concurrency>,
    rules: AppRules,
    (slug, version): (&str, &Version),
) -> Option<Concurrency> {
    let of_app = || rules.concurrency.map(|of_app| Concurrency { max: None, ..of_app });
    let of_version = || {
        let (key, max) = version.concurrency.clone()?;
        Some(Concurrency { key: key.unwrap_or_else(|| slug.to_owned()), max: Some(max) })
    };
    own.or_else(of_app).or_else(of_version)
}

/// A run that is waited for, what is to be said of it, and its status.
type Judged = (After, Verdict, RunStatus);

/// Judges the runs that a new one comes after, all of its team.
pub(crate) fn judged(tx: &Tx<'_>, team: TeamId, after: &[After]) -> Result<Vec<Judged>, Error> {
    let judge = |after: &After| {
        let status = use_cases::find(tx, team, after.run)?.status();
        Ok((*after, after.judge(Some(status)), status))
    };
    after.iter().map(judge).collect()
}

/// Keeps what a new run comes after. One that would never start is cancelled at once.
pub(crate) fn come_after(
    tx: &Tx<'_>,
    run: Run,
    judged: &[Judged],
    now: Timestamp,
) -> Result<Run, StoreError> {
    let never = judged.iter().find(|(_, verdict, _)| *verdict == Verdict::Never);
    let kept: Vec<_> = judged
        .iter()
        .map(|(after, verdict, _)| (*after, never.is_some() || *verdict == Verdict::Met))
        .collect();
    dependencies::insert(tx, run.id, &kept)?;
    let Some((after, _, status)) = never else { return Ok(run) };
    let given_up = after::give_up(run.progress.clone(), after.never(Some(*status)), now);
    runs::save(tx, run, given_up, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minitower_vocabulary::ids::RunId;

    use crate::domain::after::Until;

    fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_limit_needs_a_number_and_takes_the_slug_for_its_key() {
        let checked = |key: Option<&str>, max| checked_limit(Some((key.map(str::to_owned), max)), "jobs");
        let limit = |key: &str, max| Concurrency { key: key.to_owned(), max: Some(max) };
        assert_eq!(checked(None, 1).unwrap(), Some(limit("jobs", 1)));
        assert_eq!(checked(Some("db"), MAX_PLACES).unwrap(), Some(limit("db", MAX_PLACES)));
        assert_eq!(checked_limit(None, "jobs").unwrap(), None);
        for max in [0, -1, MAX_PLACES + 1] {
            assert!(problem(checked(None, max)).starts_with("concurrency.max "), "{max}");
        }
        for key in ["", "a\nb", &"k".repeat(MAX_KEY + 1)] {
            assert!(problem(checked(Some(key), 1)).starts_with("concurrency.key "), "{key:?}");
        }
    }

    #[test]
    fn so_many_runs_may_come_before_one_each_of_them_once() {
        let after = |ids: std::ops::RangeInclusive<i64>| -> Vec<_> {
            ids.map(|id| After { run: RunId(id), until: Until::Ended }).collect()
        };
        assert!(check_after(&after(1..=32)).is_ok());
        assert!(problem(check_after(&after(1..=33))).contains("32"));
        let twice = [after(7..=9), after(8..=8)].concat();
        assert_eq!(problem(check_after(&twice)), "after names run 8 twice: name each run once");
    }
}
