//! The Towerfile of a project, as its author wrote it and as it is packed.

use std::io::ErrorKind;
use std::path::Path;

use minitower_client::wire::Timestamp;
use minitower_towerfile::{Error, TOWERFILE, Towerfile, name_in, renamed, slug};

use crate::context::Context;
use crate::failure::Failure;

/// How a packed Towerfile begins whose `app.name` was no slug. Servers take slugs only; this keeps the apps of two
/// names apart that would be translated to the same one.
const WRITTEN: &str = "# app.name was written ";

/// A project that may be packed.
pub(super) struct Project {
    pub(super) towerfile: Towerfile,
    /// Where it is deployed to.
    pub(super) app: String,
    /// Its `app.name` where that is no slug.
    pub(super) written_name: Option<String>,
    /// The Towerfile with a slug for a name.
    text: String,
}

impl Project {
    /// Reads and checks the Towerfile in `dir`. `app` overrides its name.
    pub(super) fn read(
        context: &Context,
        dir: &Path,
        app: Option<&str>,
        allow_unknown: bool,
    ) -> Result<Self, Failure> {
        let path = dir.join(TOWERFILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let failure = Failure::new(format!("cannot read {}: {error}", path.display()));
            match error.kind() {
                ErrorKind::NotFound => {
                    failure.help("`minitower init` writes one; --dir names another folder")
                }
                _ => failure,
            }
        })?;
        let written_name = name_in(&text).filter(|name| slug::violation(name).is_some());
        let translated = written_name.as_deref().and_then(|name| match app {
            Some(app) => Some(app.to_owned()),
            None => slug::translated(name),
        });
        let text = translated.and_then(|name| renamed(&text, &name)).unwrap_or(text);
        let named = |error| Failure::new(format!("{}: {error}", path.display()));
        let towerfile = if allow_unknown {
            let (towerfile, warnings) = Towerfile::parse(&text).map_err(named)?;
            for warning in warnings {
                context.out.warn(format_args!("{}: {warning}", path.display()));
            }
            towerfile
        } else {
            Towerfile::parse_strict(&text).map_err(|error| match &error {
                Error::Unknown { .. } => {
                    named(error).help("correct or remove it; --allow-unknown deploys all the same")
                }
                Error::Invalid { field, .. } if field == "app.name" => {
                    named(error).help("correct it, or name the app with --app NAME")
                }
                _ => named(error),
            })?
        };
        let app = app.unwrap_or(&towerfile.name).to_owned();
        if towerfile.schedule.is_some() {
            return Err(Failure::new(format!(
                "{}: app.schedule is not allowed: MiniTower does not start runs by the clock yet",
                path.display()
            ))
            .help(format_args!("remove it, and have cron run `minitower runs create {app}`")));
        }
        Ok(Self { towerfile, app, written_name, text })
    }

    /// The text that is packed, where it is not that of the folder.
    pub(super) fn packed_text(&self, refresh: bool) -> Option<String> {
        if !refresh && self.written_name.is_none() {
            return None;
        }
        // The line that runners look for is the first.
        let refreshed = if refresh { format!("# refreshed: {}\n", now()) } else { String::new() };
        let written =
            self.written_name.as_ref().map(|name| format!("{WRITTEN}{name:?}\n")).unwrap_or_default();
        Some(format!("{refreshed}{written}{}", self.text.trim_start_matches('\u{feff}')))
    }
}

/// The name that the author of a packed Towerfile wrote.
pub(super) fn name_of(packed: &str) -> Option<String> {
    let mut comments = packed.lines().take(2).filter_map(|line| line.strip_prefix(WRITTEN));
    match comments.next() {
        // Names that can be translated have nothing to escape.
        Some(quoted) => Some(quoted.trim_matches('"').to_owned()),
        None => name_in(packed),
    }
}

/// This second, by RFC 3339: for people, and to differ from every other.
#[allow(clippy::disallowed_methods, reason = "nothing is measured with it")]
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
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
