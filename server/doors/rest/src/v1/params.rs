//! Parameters that several endpoints share.

use crate::ApiError;
use minitower_runs::Unfinished;
use minitower_runs::domain::artifact;
use minitower_runs::domain::attempt::Attempt;
use minitower_vocabulary::ids::RunId;
use serde::Deserialize;
use utoipa::IntoParams;

/// Runs on a page unless the caller asks for fewer.
pub(crate) const PAGE: i64 = 50;
/// Most runs on a page.
pub(crate) const PAGE_MAX: i64 = 100;

/// `{app}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AppPath {
    /// The app's slug.
    pub(crate) app: String,
}

/// `{env}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EnvironmentPath {
    /// The environment's name.
    pub(crate) env: String,
}

/// `{env}` and `{secret}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SecretPath {
    /// The environment's name.
    pub(crate) env: String,
    /// The secret's name.
    pub(crate) secret: String,
}

/// `{slug}` of a team.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TeamPath {
    /// The team's slug.
    pub(crate) slug: String,
}

/// `{app}` and `{no}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VersionPath {
    /// The app's slug.
    pub(crate) app: String,
    /// The version's number within the app.
    pub(crate) no: i64,
}

/// `{run}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    /// The run's id.
    run: i64,
}

impl RunPath {
    /// The run, noted for the log lines of this request.
    pub(crate) fn id(&self) -> RunId {
        tracing::Span::current().record("run_id", self.run);
        RunId(self.run)
    }
}

/// `{run}` and `{*path}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ArtifactPath {
    /// The run's id.
    run: i64,
    /// The artifact's path. It may contain `/`.
    path: String,
}

impl ArtifactPath {
    /// The run, noted for the log lines of this request, and the artifact's path.
    pub(crate) fn parse(&self) -> Result<(RunId, artifact::ArtifactPath), ApiError> {
        tracing::Span::current().record("run_id", self.run);
        let path = artifact::ArtifactPath::parse(&self.path).map_err(minitower_runs::Error::from)?;
        Ok((RunId(self.run), path))
    }
}

/// Notes the attempt for the log lines of this request.
pub(crate) fn note_attempt(attempt: &Attempt) {
    tracing::Span::current().record("run_id", attempt.run_id.0).record("attempt_id", attempt.id.0);
}

/// `{id}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct IdPath {
    /// The id of the token.
    pub(crate) id: i64,
}

/// `{name}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct NamePath {
    /// The runner's name.
    pub(crate) name: String,
}

/// `{namespace}` and `{pool}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PoolPath {
    /// The pool's namespace.
    pub(crate) namespace: String,
    /// The pool's name.
    pub(crate) pool: String,
}

/// The query of a deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deletion {
    /// Whether runs that have not ended are cancelled first. They are deleted when they have ended.
    force: Option<bool>,
}

impl Deletion {
    /// What becomes of runs that have not ended.
    pub(crate) fn unfinished(&self) -> Unfinished {
        if self.force.unwrap_or(false) { Unfinished::Cancel } else { Unfinished::Keep }
    }
}

/// The query of an ascending list: what comes after `after`.
#[derive(Debug, Deserialize)]
pub(crate) struct After<C> {
    pub(crate) after: Option<C>,
    pub(crate) limit: Option<i64>,
}

/// The query of a descending list: what comes before `before`.
#[derive(Debug, Deserialize)]
pub(crate) struct Before<C> {
    pub(crate) before: Option<C>,
    pub(crate) limit: Option<i64>,
}

/// The length of a page. Anything but a number in range asks for the default: existing clients rely on it.
pub(crate) fn page_limit(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).filter(|limit| (1..=PAGE_MAX).contains(limit)).unwrap_or(PAGE)
}

/// The start of a page. Anything but a number from 0 means the first.
pub(crate) fn page_offset(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).filter(|offset| *offset >= 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, 50)]
    #[case(Some("1"), 1)]
    #[case(Some("100"), 100)]
    #[case(Some("0"), 50)]
    #[case(Some("101"), 50)]
    #[case(Some("-5"), 50)]
    #[case(Some("many"), 50)]
    #[case(Some(""), 50)]
    fn a_bad_limit_is_the_default(#[case] text: Option<&str>, #[case] limit: i64) {
        assert_eq!(page_limit(text), limit);
    }

    #[rstest]
    #[case(None, 0)]
    #[case(Some("7"), 7)]
    #[case(Some("-7"), 0)]
    #[case(Some("x"), 0)]
    fn a_bad_offset_is_the_start(#[case] text: Option<&str>, #[case] offset: i64) {
        assert_eq!(page_offset(text), offset);
    }
}
