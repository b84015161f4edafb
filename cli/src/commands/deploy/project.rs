//! The Towerfile of a project, as its author wrote it and as it is packed.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use minitower_towerfile::{Error, TOWERFILE, Towerfile, name_in, renamed, slug};

use crate::context::Context;
use crate::failure::Explained;

/// How a packed Towerfile begins if its `app.name` was not a slug, or another app's. Servers take only slugs; this line tells two apps apart
/// whose names would be translated to the same one.
const WRITTEN: &str = "# app.name was written ";

/// Why a project is not deployed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProjectError {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", path.display())]
    Wrong {
        path: PathBuf,
        #[source]
        source: Error,
    },
    #[error("{}: app.schedule is not allowed: MiniTower does not run schedules yet", path.display())]
    Schedule { path: PathBuf, app: String },
}

impl Explained for ProjectError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
                Some("`minitower init` writes one; --dir names another folder".into())
            }
            Self::Wrong { source: Error::Unknown { .. }, .. } => {
                Some("correct or remove it, or deploy it as it is with --allow-unknown".into())
            }
            Self::Wrong { source: Error::Invalid { field, .. }, .. } if field == "app.name" => {
                Some("correct it, or name the app with --app NAME".into())
            }
            Self::Schedule { app, .. } => {
                Some(format!("remove it, and have cron run `minitower run {app}`").into())
            }
            Self::Unreadable { .. } | Self::Wrong { .. } => None,
        }
    }
}

/// A project that may be packed.
pub(super) struct Project {
    pub(super) towerfile: Towerfile,
    /// The app that it is deployed to.
    pub(super) app: String,
    /// Its `app.name`, if that is not a slug, or another app's.
    pub(super) written_name: Option<String>,
    /// The text of the Towerfile, with a slug as its name.
    text: String,
}

impl Project {
    /// Reads and checks the Towerfile in `dir`. `app` overrides its name.
    pub(super) fn read(
        context: &Context,
        dir: &Path,
        app: Option<&str>,
        allow_unknown: bool,
    ) -> Result<Self, ProjectError> {
        let path = dir.join(TOWERFILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ProjectError::Unreadable { path: path.clone(), source })?;
        // Nor does a server use a name that is another app's: where --app overrides it, the app's own is packed.
        let other = |name: &str| app.is_some_and(|app| app != name && slug::violation(app).is_none());
        let written_name = name_in(&text).filter(|name| slug::violation(name).is_some() || other(name));
        let translated = written_name.as_deref().and_then(|name| match app {
            Some(app) => Some(app.to_owned()),
            None => slug::translated(name),
        });
        let text = translated.and_then(|name| renamed(&text, &name)).unwrap_or(text);
        let wrong = |source| ProjectError::Wrong { path: path.clone(), source };
        let towerfile = if allow_unknown {
            let (towerfile, warnings) = Towerfile::parse(&text).map_err(wrong)?;
            for warning in warnings {
                context.out.warn(format_args!("{}: {warning}", path.display()));
            }
            towerfile
        } else {
            Towerfile::parse_strict(&text).map_err(wrong)?
        };
        let app = app.unwrap_or(&towerfile.name).to_owned();
        if towerfile.schedule.is_some() {
            return Err(ProjectError::Schedule { path, app });
        }
        Ok(Self { towerfile, app, written_name, text })
    }

    /// The text that is packed, if it differs from the one in the folder.
    pub(super) fn packed_text(&self, refresh: bool) -> Option<String> {
        if !refresh && self.written_name.is_none() {
            return None;
        }
        // Runners look for this line at the very top.
        let refreshed = if refresh { format!("# refreshed: {}\n", now()) } else { String::new() };
        let written =
            self.written_name.as_ref().map(|name| format!("{WRITTEN}{name:?}\n")).unwrap_or_default();
        Some(format!("{refreshed}{written}{}", self.text.trim_start_matches('\u{feff}')))
    }
}

/// The name that the author wrote into a Towerfile, as it was packed.
pub(super) fn name_of(packed: &str) -> Option<String> {
    let mut comments = packed.lines().take(2).filter_map(|line| line.strip_prefix(WRITTEN));
    match comments.next() {
        // Names that can be translated need no escaping.
        Some(quoted) => Some(quoted.trim_matches('"').to_owned()),
        None => name_in(packed),
    }
}

/// The current second, as RFC 3339: for people, and to make each refreshed archive a different one.
fn now() -> String {
    format!("{:.0}", minitower_daemon::clock::wall_clock())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("[app]\nname = 'hello'", Some("hello"))]
    #[case("# app.name was written \"16-x\"\n[app]\nname = 'x'", Some("16-x"))]
    #[case(
        "# refreshed: 2026-01-02T03:04:05Z\n# app.name was written \"A_b\"\n[app]\nname = 'a-b'",
        Some("A_b")
    )]
    #[case("nothing", None)]
    fn the_name_of_a_packed_towerfile(#[case] packed: &str, #[case] name: Option<&str>) {
        assert_eq!(name_of(packed).as_deref(), name);
    }
}
