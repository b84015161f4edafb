//! `minitowerd backup`.

use minitower_kernel::backup::{BackupError, Key, Made, Place, Plan, Source, Staging, Target};
use minitower_kernel::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{KNOWS, ObjectsAt, bytes, objects, say};
use crate::Config;

/// Makes a backup, and says what it is.
pub(super) async fn make(
    config: &Config,
    to: &Place,
    with_secrets_key: bool,
    keep: Option<usize>,
    json: bool,
) -> Result<(), BackupError> {
    let stored = ObjectsAt::of(config);
    let source = Source::at(&config.db_path)?;
    if !stored.dir().is_dir() {
        return Err(BackupError::NoObjects(stored.dir().to_owned()));
    }
    let staging = Staging::take(stored.dir())?;
    let progress = Progress::new();
    let made = minitower_kernel::backup::make(
        Plan {
            source,
            objects: stored.open()?,
            target: Target::open(to, staging.dir())?,
            knows: KNOWS,
            staging,
            key: with_secrets_key.then(|| config.secrets_key_file()),
            keep,
            version: env!("CARGO_PKG_VERSION"),
            stop: CancellationToken::new(),
            tell: progress.tell(),
        },
        Clock::start().now(),
    )
    .await?;
    drop(progress);
    if json {
        say(as_json(to, &made));
    } else {
        tell(config, to, &made);
    }
    Ok(())
}

fn as_json(to: &Place, made: &Made) -> serde_json::Value {
    let manifest = &made.manifest;
    serde_json::json!({
        "name": manifest.name,
        "place": to.to_string(),
        "taken_at": manifest.taken_at,
        "database_bytes": manifest.database.bytes,
        "objects": manifest.objects.count,
        "objects_bytes": manifest.objects.bytes,
        "objects_missing": manifest.objects.missing,
        "copied": made.copied,
        "copied_bytes": made.copied_bytes,
        "secrets_key": manifest.secrets_key,
        "removed": made.removed,
        "not_removed": made.not_removed,
        "seconds": made.took.as_secs_f64(),
    })
}

fn tell(config: &Config, to: &Place, made: &Made) {
    let manifest = &made.manifest;
    say(format_args!("{to}@{}", manifest.name));
    say(format_args!(
        "The database as of {} ({}) and {} ({}), {} new there; {:.1} s.",
        manifest.taken_at,
        bytes(manifest.database.bytes),
        objects(manifest.objects.count),
        bytes(manifest.objects.bytes),
        made.copied,
        made.took.as_secs_f64(),
    ));
    if manifest.objects.missing > 0 {
        say(format_args!(
            "Lost before: {} that the database names. The backup does not have them, and what needs them answers 404.",
            objects(manifest.objects.missing)
        ));
    }
    let key = config.secrets_key_file();
    match manifest.secrets_key {
        Key::NotNeeded => {}
        Key::Apart => say(format_args!(
            "The keys of the teams' secrets are not in it. Keep a copy of {} in another place: without it, a restore loses the secrets.",
            key.display()
        )),
        Key::Included => say(
            "The keys of the teams' secrets are in it: whoever reads the backup can read every secret. Protect it as you protect them.",
        ),
    }
    if made.removed > 0 {
        say(format_args!("Former backups removed: {}.", made.removed));
    }
    if let Some(error) = &made.not_removed {
        say(format_args!("Former backups were not removed: {error}"));
    }
}
