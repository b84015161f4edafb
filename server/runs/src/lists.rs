//! Many runs: the lists and the summary.

use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::RunStatus;

use crate::domain::labels::{self, Label};
use crate::domain::run::Run;
use crate::store::counts;
use crate::store::run_lists::{self, Filter};
use crate::{Error, Runs, apps};

/// Which runs to list; the caller has checked the numbers.
#[derive(Debug, Clone, Default)]
pub struct ListRuns {
    /// Only this app's; unknown: none.
    pub app: Option<String>,
    /// Only in this state.
    pub status: Option<RunStatus>,
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only those that have all of these labels, each `key=value`.
    pub labels: Vec<String>,
    /// Only older ones than this.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: i64,
    /// Leave out so many first.
    pub offset: i64,
}

/// How many runs a team has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// All.
    pub total: i64,
    /// Leased, running or cancelling.
    pub active: i64,
    /// Queued.
    pub queued: i64,
    /// Ended.
    pub terminal: i64,
}

impl Summary {
    /// The sums of these counts.
    pub(crate) fn of(counts: impl IntoIterator<Item = (RunStatus, i64)>) -> Self {
        let mut summary = Self::default();
        for (status, n) in counts {
            summary.total += n;
            summary.active += if status.is_active() { n } else { 0 };
            summary.queued += if status == RunStatus::Queued { n } else { 0 };
            summary.terminal += if status.is_terminal() { n } else { 0 };
        }
        summary
    }
}

impl Runs {
    /// Runs of the team, newest first.
    pub async fn list_runs(&self, by: &TeamPrincipal, list: ListRuns) -> Result<Vec<Run>, Error> {
        let team = by.team_id;
        if list.labels.len() > labels::MOST {
            return Err(labels::BadLabel::TooMany { found: list.labels.len() }.into());
        }
        let labels = list.labels.iter().map(|text| Label::parse(text)).collect::<Result<_, _>>()?;
        self.0
            .store
            .read(move |db| {
                let app = match &list.app {
                    None => None,
                    Some(slug) => match crate::store::apps::by_slug(db, team, slug)? {
                        Some(app) => Some(app.id),
                        None => return Ok(Vec::new()),
                    },
                };
                let filter = Filter {
                    app,
                    status: list.status,
                    environment: list.environment,
                    labels,
                    before: list.before,
                    limit: list.limit,
                    offset: list.offset,
                    not_repeated: false,
                };
                Ok(run_lists::list(db, team, &filter)?)
            })
            .await
    }

    /// Runs of one app, newest first; an unknown app is an error.
    pub async fn list_runs_of_app(
        &self,
        by: &TeamPrincipal,
        app_slug: String,
        list: ListRuns,
    ) -> Result<Vec<Run>, Error> {
        let (team, slug) = (by.team_id, app_slug.clone());
        self.0.store.read(move |db| apps::find(db, team, &slug)).await?;
        self.list_runs(by, ListRuns { app: Some(app_slug), ..list }).await
    }

    /// How many runs the team has that lists can show. They are known from the commits, and counted only while some that were
    /// deleted are not gone yet.
    pub async fn runs_summary(&self, by: &TeamPrincipal) -> Result<Summary, Error> {
        let team = by.team_id;
        if self.0.memory.hidden.is_any() {
            let counts = self.0.store.read(move |db| Ok::<_, Error>(counts::shown(db, team)?)).await?;
            return Ok(Summary::of(counts));
        }
        let summary = self.0.memory.gauges.summary(team);
        self.0.store.durable().await;
        Ok(summary)
    }
}
