//! Rows of the table of what was measured. `scripts/e2e.sh` puts them together in `target/e2e/speed.md`.

use std::fmt::Write as _;

use super::folder;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What it ought to be.
    pub(crate) target: String,
    /// What it was.
    pub(crate) measured: String,
    /// Whether that is as it ought to be; nothing: it is there to be compared with.
    pub(crate) holds: Option<bool>,
    /// How it was measured.
    pub(crate) how: String,
}

/// Writes a part of the table; parts come in the order of their names.
pub(crate) fn keep(part: &str, rows: &[Row]) {
    let folder = folder().join("rows");
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    for Row { what, target, measured, holds, how } in rows {
        let holds = match holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let _ = writeln!(text, "| {what} | {target} | {measured} | {holds} | {how} |");
    }
    std::fs::write(folder.join(format!("{part}.md")), text).unwrap();
}
