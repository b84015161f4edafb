//! `minitowerd verify`.

use minitower_kernel::backup::{BackupError, Name, Place, Target, choose};

use super::progress::Progress;
use super::{KNOWS, bytes, objects, say};

/// A backup was checked, and is damaged. What is wrong was said.
#[derive(Debug, thiserror::Error)]
#[error("the backup {name} is damaged (problems: {count}): restore another one, and make a new one")]
pub struct Damaged {
    name: String,
    count: u64,
}

/// Checks a backup, and says what is wrong with it.
pub(super) async fn verify(from: &Place, name: Option<&Name>, json: bool) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let target = Target::open(from, temporary.path())?;
    let manifest = match choose(&target, name).await {
        Err(BackupError::Damaged { name, what }) => {
            if json {
                say(
                    serde_json::json!({"name": name, "whole": false, "problems": [what], "problems_count": 1}),
                );
            } else {
                say(what);
            }
            return Err(Damaged { name, count: 1 }.into());
        }
        chosen => chosen?,
    };
    let progress = Progress::new();
    let report =
        minitower_kernel::backup::verify(&target, &manifest, KNOWS, temporary.path(), &progress.tell())
            .await?;
    drop(progress);
    if json {
        say(serde_json::json!({
            "name": manifest.name,
            "whole": report.is_whole(),
            "objects": report.objects,
            "objects_bytes": report.bytes,
            "objects_missing": manifest.objects.missing,
            "problems": report.problems,
            "problems_count": report.count,
        }));
    } else {
        report.problems.iter().for_each(say);
        if report.is_whole() {
            say(format_args!(
                "{from}@{} is whole: the database as of {} ({}) and {} ({}).",
                manifest.name,
                manifest.taken_at,
                bytes(manifest.database.bytes),
                objects(report.objects),
                bytes(report.bytes),
            ));
            if manifest.objects.missing > 0 {
                say(format_args!("Lost before it was made: {}.", objects(manifest.objects.missing)));
            }
        }
    }
    if report.is_whole() {
        return Ok(());
    }
    Err(Damaged { name: manifest.name.to_string(), count: report.count }.into())
}
