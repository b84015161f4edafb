//! Apps.

use crate::domain::app::{App as DomainApp, Change, Version};
use crate::domain::gates::AppRules;
use crate::domain::run::Concurrency;
use crate::store::{apps, versions};
use minitower_kernel::{Db, StoreError};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names::{self, Slug};

use crate::waiting::checked_limit;
use crate::{Absent, Apps, Error, Field, retention};
use minitower_kernel::page::Page;

/// The least limit of a log that is of use: its beginning and its end are kept.
const LEAST_LOG_BYTES: i64 = 1024;
/// The largest number that JSON carries everywhere.
const MOST_LOG_BYTES: i64 = 9_007_199_254_740_991;
/// Longest time that a run may be expected to take or to wait: a year.
const MAX_EXPECTED: i64 = 31_536_000;
/// Longest description, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 4096;
/// Most bytes of Towerfiles and schemas on a page of versions, however few versions they are: each may have half a MiB.
const MAX_VERSIONS_BYTES: usize = 8 * 1024 * 1024;

impl Apps {
    /// Makes an app.
    pub async fn create_app(
        &self,
        by: &TeamPrincipal,
        slug: &str,
        description: Option<String>,
    ) -> Result<DomainApp, Error> {
        let slug = Slug::parse(slug)?;
        let description = description.filter(|d| !d.is_empty());
        if let Some(description) = &description {
            check_description(description)?;
        }
        let (now, team) = (self.0.clock.now(), by.team_id);
        let limits = self.0.teams.limits(team);
        self.0
            .store
            .write(move |tx| {
                let before = apps::count(tx, team, limits.count(LimitName::Apps))?;
                let made = apps::insert(tx, team, slug.as_str(), description.as_deref(), now);
                let app = made.map_err(|error| match error {
                    StoreError::Taken => Error::AppExists(slug.as_str().to_owned()),
                    other => other.into(),
                })?;
                limits.take(LimitName::Apps, before.unsigned_abs())?;
                Ok(app)
            })
            .await
    }

    /// Changes what an app says. From then on a disabled one gets no runs, and none of its runs is leased.
    pub async fn change_app(
        &self,
        by: &TeamPrincipal,
        slug: String,
        change: Change,
    ) -> Result<DomainApp, Error> {
        // It decides what is deleted, as only an admin may.
        if change.retention.is_some() && !by.is_admin() {
            return Err(Error::AdminsField("retention"));
        }
        let change = checked(change, &slug)?;
        let (now, team) = (self.0.clock.now(), by.team_id);
        self.0
            .store
            .write_upkeep(move |tx| {
                let before = find(tx, team, &slug)?;
                let after = changed(before.clone(), change);
                let after = if after == before { after } else { DomainApp { updated_at: now, ..after } };
                Ok(apps::save(tx, before, after)?)
            })
            .await
    }

    /// A team's apps by slug; the cursor is a slug.
    pub async fn apps(&self, by: &TeamPrincipal, page: Page<String>) -> Result<Vec<DomainApp>, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| Ok(apps::list(db, team, page.cursor.as_deref(), page.limit)?)).await
    }

    /// The team's app of that slug.
    pub async fn app(&self, by: &TeamPrincipal, slug: String) -> Result<DomainApp, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| find(db, team, &slug)).await
    }

    /// An app's versions, newest first; the cursor is a version's number.
    pub async fn versions(
        &self,
        by: &TeamPrincipal,
        slug: String,
        page: Page<i64>,
    ) -> Result<Vec<Version>, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                let app = find(db, team, &slug)?;
                Ok(versions::list(db, app.id, page.cursor, page.limit, MAX_VERSIONS_BYTES)?)
            })
            .await
    }

    /// The app's version of that number.
    pub async fn version(&self, by: &TeamPrincipal, slug: String, number: i64) -> Result<Version, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                let app = find(db, team, &slug)?;
                versions::by_number(db, app.id, number)?
                    .ok_or_else(|| Absent::Version { app: slug, number }.into())
            })
            .await
    }
}

/// A change whose values are checked.
#[expect(clippy::option_option, reason = "it stays, is cleared, or is set")]
struct Checked {
    change: Change,
    concurrency: Option<Option<Concurrency>>,
}

fn checked(change: Change, slug: &str) -> Result<Checked, Error> {
    if let Some(Some(description)) = &change.description {
        check_description(description)?;
    }
    let least_and_most = [
        ("log_limits.bytes_per_run", change.log_bytes, LEAST_LOG_BYTES, MOST_LOG_BYTES),
        ("expect_seconds", change.expect_seconds, 1, MAX_EXPECTED),
        ("expect_wait_seconds", change.expect_wait_seconds, 1, MAX_EXPECTED),
    ];
    for (name, value, least, most) in least_and_most {
        if let Some(found) = value.flatten().filter(|value| !(least..=most).contains(value)) {
            return Err(Error::field(name, Field::NotBetween { least, most, found: Some(found) }));
        }
    }
    if let Some(change) = &change.retention {
        retention::check(change, ["retention.keep_seconds", "retention.keep_last"])?;
    }
    let wanted = change.concurrency.clone();
    let concurrency = wanted.map(|wanted| checked_limit(wanted, slug)).transpose()?;
    Ok(Checked { change, concurrency })
}

fn changed(app: DomainApp, Checked { change, concurrency }: Checked) -> DomainApp {
    let rules = AppRules {
        disabled: change.disabled.map_or(app.rules.disabled, Option::unwrap_or_default),
        concurrency: concurrency.unwrap_or(app.rules.concurrency),
        log_bytes: change.log_bytes.unwrap_or(app.rules.log_bytes),
    };
    DomainApp {
        description: change.description.map_or(app.description, |text| text.filter(|text| !text.is_empty())),
        rules,
        retention: change.retention.map_or(app.retention, |change| app.retention.after(change)),
        expect_seconds: change.expect_seconds.unwrap_or(app.expect_seconds),
        expect_wait_seconds: change.expect_wait_seconds.unwrap_or(app.expect_wait_seconds),
        ..app
    }
}

pub(crate) fn check_description(description: &str) -> Result<(), Error> {
    names::check_lines(description, MAX_DESCRIPTION)
        .map_err(|problem| Error::field("description", Field::Text(problem)))
}

pub(crate) fn find(db: &Db, team: TeamId, slug: &str) -> Result<DomainApp, Error> {
    apps::by_slug(db, team, slug)?.ok_or_else(|| {
        let shown: String = slug.chars().take(64).collect();
        Absent::App(shown).into()
    })
}
