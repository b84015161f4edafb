//! Where backups lie, and what the commands about them are asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use minitower_kernel::backup::{Name, Place};

use super::objects::{self, Rules};
use super::parse::{duration_between, value};
use super::{Args, Command, ConfigError};

const TO: &str = "MINITOWER_BACKUP_TO";
const ENDPOINT: &str = "MINITOWER_BACKUP_ENDPOINT";
const EVERY: &str = "MINITOWER_BACKUP_EVERY";
const KEEP: &str = "MINITOWER_BACKUP_KEEP";
/// How often the server backs itself up unless the settings say otherwise, and how many backups it keeps.
const USUAL_EVERY: Duration = Duration::from_hours(24);
const USUAL_KEEP: usize = 7;
/// Most backups that are kept.
const MOST_KEPT: usize = 1_000;

/// Backups that the server makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// Where to.
    pub to: Place,
    /// How often.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
}

/// What `minitowerd backup` is asked.
#[derive(Debug, Clone, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Where to: a folder, or `s3://BUCKET/PREFIX`, `gs://…` or `az://…`. A place belongs to one control plane [default: that of
    /// `MINITOWER_BACKUP_TO`]
    #[arg(long, value_name = "PLACE")]
    pub to: Option<String>,
    /// The address of that bucket's service [default: that of `--backup-endpoint`]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Put the keys of the teams' secrets into the backup. Whoever reads it then reads every secret.
    #[arg(long)]
    pub with_secrets_key: bool,
    /// Remove all but so many backups of the place once this one is whole [default: keep all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub keep: Option<u16>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with backups that there are.
#[derive(Debug, Clone, Subcommand)]
pub enum BackupCommand {
    /// List the whole backups of a place.
    List(FromArgs),
}

/// Which backup.
#[derive(Debug, Clone, ClapArgs)]
pub struct FromArgs {
    /// Where it is: a place, and behind an `@` the name of a backup [default: the newest one of `MINITOWER_BACKUP_TO`]
    #[arg(long, value_name = "PLACE[@NAME]")]
    pub from: Option<String>,
    /// The address of that bucket's service [default: that of `--backup-endpoint`]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `minitowerd restore` is asked.
#[derive(Debug, Clone, ClapArgs)]
pub struct RestoreArgs {
    /// A database alone: a copy made by SQLite's `.backup` or `VACUUM INTO`, or one of the copies beside the database.
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub backup: Option<PathBuf>,
    /// A backup that `minitowerd backup` or the server made, with its objects: a place, and behind an `@` its name; without a name the
    /// newest one.
    #[arg(long, value_name = "PLACE[@NAME]")]
    pub from: Option<String>,
    /// The address of that bucket's service [default: that of `--backup-endpoint`]
    #[arg(long, value_name = "URL", requires = "from")]
    pub endpoint: Option<String>,
    /// Restore a backup although objects of it are missing or damaged.
    #[arg(long, requires = "from")]
    pub allow_missing: bool,
    /// Do nothing if there is a database, or if there is no backup; for startup scripts.
    #[arg(long)]
    pub if_missing: bool,
    /// If there is a database, leave an empty file in place of a missing backup, so that a program that fetches the backup only
    /// where there is no file (`litestream restore -if-db-not-exists`) has nothing to do.
    #[arg(long, requires = "if_missing", conflicts_with = "from")]
    pub placeholder: bool,
}

/// What is asked about backups, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Make one.
    Make {
        /// Where to.
        to: Place,
        /// Whether the key file is to be in it.
        with_secrets_key: bool,
        /// How many are kept; none: all.
        keep: Option<usize>,
        /// Whether the answer is JSON.
        json: bool,
    },
    /// List them.
    List {
        /// Where.
        from: Place,
        /// Whether the answer is JSON.
        json: bool,
    },
    /// Check one.
    Verify {
        /// Where it is.
        from: Place,
        /// Its name; none: the newest one.
        name: Option<Name>,
        /// Whether the answer is JSON.
        json: bool,
    },
    /// Restore one.
    Restore {
        /// Where it is.
        from: Place,
        /// Its name; none: the newest one.
        name: Option<Name>,
        /// Whether objects may be missing.
        allow_missing: bool,
        /// Whether it is no error that there is a database, or no backup.
        if_missing: bool,
    },
}

/// What the command asks about backups; none: it is about something else.
pub fn request(args: &Args) -> Result<Option<Request>, ConfigError> {
    let find = |given: Option<&String>, flag, endpoint: Option<&String>| {
        let (variable, text) = if let Some(given) = given {
            (flag, given.clone())
        } else {
            let needed = ConfigError::Needed { variable: TO, by: "a command without --to or --from" };
            (TO, set(args.backup_to.as_ref()).ok_or(needed)?)
        };
        let (text, name) = if flag == "--to" { (text.as_str(), None) } else { split_name(&text) };
        Ok((place(args, variable, text, endpoint)?, name))
    };
    Ok(Some(match &args.command {
        Some(Command::Backup(asked)) => match &asked.command {
            Some(BackupCommand::List(listed)) => {
                let (from, name) = find(listed.from.as_ref(), "--from", listed.endpoint.as_ref())?;
                if let Some(name) = name {
                    return Err(ConfigError::Bad {
                        variable: "--from",
                        value: name.to_string(),
                        rule: "a list is of a whole place: leave the name out".to_owned(),
                    });
                }
                Request::List { from, json: listed.json }
            }
            None => Request::Make {
                to: find(asked.to.as_ref(), "--to", asked.endpoint.as_ref())?.0,
                with_secrets_key: asked.with_secrets_key,
                keep: asked.keep.map(usize::from),
                json: asked.json,
            },
        },
        Some(Command::Verify(asked)) => {
            let (from, name) = find(asked.from.as_ref(), "--from", asked.endpoint.as_ref())?;
            Request::Verify { from, name, json: asked.json }
        }
        Some(Command::Restore(RestoreArgs {
            from: from @ Some(_),
            endpoint,
            allow_missing,
            if_missing,
            ..
        })) => {
            let (from, name) = find(from.as_ref(), "--from", endpoint.as_ref())?;
            Request::Restore { from, name, allow_missing: *allow_missing, if_missing: *if_missing }
        }
        _ => return Ok(None),
    }))
}

/// The backups that the server makes by itself.
pub(super) fn settings(args: &Args, rules: &Rules) -> Result<Option<BackupSettings>, ConfigError> {
    let every = value(EVERY, args.backup_every.clone(), |text| {
        duration_between(text, Duration::from_mins(1), Duration::from_hours(24 * 366), "1m to 8784h")
    })?;
    let keep = value(KEEP, args.backup_keep.clone(), |text| {
        let keep = text.parse().ok().filter(|keep| (1..=MOST_KEPT).contains(keep));
        keep.ok_or("it must be a number from 1 to 1000")
    })?;
    let Some(to) = set(args.backup_to.as_ref()) else {
        let given = [
            (ENDPOINT, set(args.backup_endpoint.as_ref()).is_some()),
            (EVERY, every.is_some()),
            (KEEP, keep.is_some()),
        ];
        let alone = given.iter().find(|(_, is_set)| *is_set && args.command.is_none());
        return alone.map_or(Ok(None), |(by, _)| Err(ConfigError::Needed { variable: TO, by }));
    };
    Ok(Some(BackupSettings {
        to: place_of(TO, &to, endpoint(args, None), rules)?,
        every: every.unwrap_or(USUAL_EVERY),
        keep: keep.unwrap_or(USUAL_KEEP),
    }))
}

fn set(text: Option<&String>) -> Option<String> {
    text.cloned().filter(|text| !text.is_empty())
}

/// The address of the service, and the variable that holds it.
fn endpoint(args: &Args, flag: Option<&String>) -> (&'static str, Option<String>) {
    match (set(flag), set(args.backup_endpoint.as_ref()), set(args.objects_endpoint.as_ref())) {
        (Some(given), ..) => ("--endpoint", Some(given)),
        (None, Some(given), _) => (ENDPOINT, Some(given)),
        (None, None, given) => (objects::ENDPOINT, given),
    }
}

fn place(
    args: &Args,
    variable: &'static str,
    text: &str,
    flag: Option<&String>,
) -> Result<Place, ConfigError> {
    place_of(variable, text, endpoint(args, flag), &Rules::of(args)?)
}

fn place_of(
    variable: &'static str,
    text: &str,
    endpoint: (&'static str, Option<String>),
    rules: &Rules,
) -> Result<Place, ConfigError> {
    if text.is_empty() {
        let rule = "it must name a folder or a bucket".to_owned();
        return Err(ConfigError::Bad { variable, value: String::new(), rule });
    }
    if !text.contains("://") {
        return Ok(Place::Folder(PathBuf::from(text)));
    }
    objects::bucket(variable, text, endpoint, rules).map(Place::Bucket)
}

/// A place, and the name of a backup behind an `@`. What is no such name belongs to the place.
fn split_name(text: &str) -> (&str, Option<Name>) {
    match text.rsplit_once('@').map(|(place, name)| (place, Name::parse(name))) {
        Some((place, Some(name))) => (place, Some(name)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn asked(line: &str) -> Result<Option<Request>, ConfigError> {
        request(&Args::try_parse_from(line.split(' ')).unwrap())
    }

    #[test]
    fn a_place_may_name_one_of_its_backups() {
        let Some(Request::Verify { from, name, .. }) =
            asked("minitowerd verify --from /b@c@20261130T203000000Z-00ff").unwrap()
        else {
            panic!("another request")
        };
        assert_eq!(
            (from, name.unwrap().as_str()),
            (Place::Folder("/b@c".into()), "20261130T203000000Z-00ff")
        );
        let Some(Request::Restore { from, name: None, .. }) =
            asked("minitowerd restore --from /b@c").unwrap()
        else {
            panic!("another request")
        };
        assert_eq!(from, Place::Folder("/b@c".into()));
        assert_eq!(asked("minitowerd restore /old/minitower.db").unwrap(), None);
    }

    #[test]
    fn what_is_not_given_is_asked_for_by_name() {
        let error = asked("minitowerd backup").unwrap_err().to_string();
        assert!(error.contains(TO), "{error}");
        let error = asked("minitowerd backup --to ftp://x/y").unwrap_err().to_string();
        assert!(error.contains("--to"), "{error}");
        let error =
            asked("minitowerd backup list --from /b@20261130T203000000Z-00ff").unwrap_err().to_string();
        assert!(error.contains("leave the name out"), "{error}");
        let of_settings = asked("minitowerd --backup-to /b backup").unwrap();
        assert!(matches!(of_settings, Some(Request::Make { to: Place::Folder(_), keep: None, .. })));
    }

    #[test]
    fn the_server_backs_itself_up_as_it_is_told() {
        let of = |line: &str| {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            settings(&args, &Rules::of(&args).unwrap())
        };
        assert_eq!(of("minitowerd").unwrap(), None);
        let usual = of("minitowerd --backup-to /b").unwrap().unwrap();
        assert_eq!((usual.every, usual.keep), (USUAL_EVERY, USUAL_KEEP));
        for alone in ["--backup-every=1h", "--backup-keep=3", "--backup-endpoint=https://h"] {
            let error = of(&format!("minitowerd {alone}")).unwrap_err();
            assert!(matches!(error, ConfigError::Needed { variable: TO, .. }), "{alone}: {error}");
        }
        for bad in ["--backup-every=59s", "--backup-keep=0", "--backup-keep=1001", "--backup-keep=x"] {
            assert!(of(&format!("minitowerd --backup-to /b {bad}")).is_err(), "{bad}");
        }
    }
}
