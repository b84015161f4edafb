//! Whether `app.script` can be started as it will be packed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::PackError;
use super::notes::PlanNote;
use super::select::PlannedKind;

/// How much of a script is looked at.
const LOOKED_AT: u64 = 64 * 1024;

/// Most links on the way to a script, as Linux follows (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks the script, and notes what is odd about it.
pub(super) fn check_script(
    root: &Path,
    script: &str,
    found: &BTreeMap<String, PlannedKind>,
) -> Result<Option<PlanNote>, PackError> {
    let fault = |reason: String| PackError::Script { script: script.to_owned(), reason };
    let Some(file) = resolve(script, found).map_err(fault)? else {
        let there = root.join(script).symlink_metadata();
        return Err(fault(match there {
            Ok(metadata) if metadata.is_dir() => {
                "is not a regular file: name the file itself in app.script".to_owned()
            }
            Ok(_) => {
                "is left out: take it out of .towerignore, and see that app.source selects it".to_owned()
            }
            Err(_) => "does not exist: correct app.script, or create the file".to_owned(),
        }));
    };
    let path = root.join(&file);
    let mut begin = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut begin));
    read.map_err(|source| PackError::Read { path, source })?;
    let marked = begin.starts_with(BYTE_ORDER_MARK);
    let text = begin.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&begin);
    let hashbang = text.starts_with(b"#!");
    let end = Path::new(script).extension().unwrap_or_default();
    let shell = end == "sh";
    if !hashbang && !shell && end != "py" {
        return Err(fault(
            "ends neither in .py nor in .sh and has no #! line, so nothing says how to start it: begin it with a line \
             such as #!/usr/bin/env bash"
                .to_owned(),
        ));
    }
    let lines =
        if shell { text } else { text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default() };
    let what = match (marked, lines.windows(2).any(|two| two == b"\r\n")) {
        _ if !hashbang && !shell => return Ok(None),
        (true, _) => "begins with a byte order mark",
        (false, true) => "has lines that end in CRLF",
        (false, false) => return Ok(None),
    };
    Ok(Some(PlanNote::WindowsText { script: script.to_owned(), what }))
}

/// The regular file that `path` leads to among what is packed, over links inside the project. `None`: nothing is there.
fn resolve(path: &str, found: &BTreeMap<String, PlannedKind>) -> Result<Option<String>, String> {
    let mut links = 0;
    let mut at = String::new();
    let mut rest: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let next = if at.is_empty() { part } else { format!("{at}/{part}") };
        match found.get(&next) {
            Some(PlannedKind::Symlink { target }) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(
                        "is a link that leads in a circle: name the file itself in app.script".to_owned()
                    );
                }
                rest.extend(target.rsplit('/').map(str::to_owned));
            }
            Some(PlannedKind::EmptyFolder) => return Ok(None),
            Some(PlannedKind::File { .. }) if rest.iter().all(String::is_empty) => {
                return Ok(Some(next));
            }
            _ => at = next,
        }
    }
    if links > 0 {
        return Err("is a link to something that is not packed: pack its target, or name that in app.script"
            .to_owned());
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("main.py", Some("main.py"))]
    #[case("current.py", Some("jobs/v2.py"))]
    #[case("jobs/up.py", Some("main.py"))]
    #[case("latest/v2.py", Some("jobs/v2.py"))]
    #[case("twice.py", Some("jobs/v2.py"))]
    #[case("missing.py", None)]
    #[case("jobs", None)]
    #[case("main.py/x", None)]
    fn links_lead_to_files(#[case] path: &str, #[case] file: Option<&str>) {
        assert_eq!(resolve(path, &tree()).unwrap().as_deref(), file);
    }

    #[rstest]
    #[case("dangling.py", "not packed")]
    #[case("circle.py", "in a circle")]
    #[case("latest", "not packed")]
    fn links_that_lead_nowhere_are_explained(#[case] path: &str, #[case] reason: &str) {
        let error = resolve(path, &tree()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    fn tree() -> BTreeMap<String, PlannedKind> {
        let file = |path: &str| (path.to_owned(), PlannedKind::File { bytes: 0, executable: false });
        let link =
            |path: &str, target: &str| (path.to_owned(), PlannedKind::Symlink { target: target.to_owned() });
        BTreeMap::from([
            file("main.py"),
            file("jobs/v2.py"),
            link("current.py", "jobs/v2.py"),
            link("jobs/up.py", "../main.py"),
            link("latest", "./jobs"),
            link("twice.py", "current.py"),
            link("dangling.py", "gone.py"),
            link("circle.py", "circle.py"),
        ])
    }
}
