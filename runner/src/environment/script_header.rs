//! The header of a script that says what it needs (PEP 723).

use serde::Deserialize;
use toml::Value;

use super::files::FileError;
use super::pyproject::{table, tool, uv_settings};
use super::references::References;

/// What the header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// `dependencies`; absent is not empty.
    pub(super) dependencies: Option<Vec<String>>,
    /// Which Pythons may run it.
    pub(super) requires_python: Option<String>,
    /// Variables that it refers to.
    pub(super) references: References,
    /// Settings of `[tool.uv]` that change what is installed.
    pub(super) uv_settings: Vec<String>,
}

/// Reads the header of the script `file`, if it has one.
pub(super) fn read(file: &str, script: &str) -> Result<Option<Header>, FileError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Metadata {
        dependencies: Option<Vec<String>>,
        requires_python: Option<String>,
    }
    let mut blocks = blocks(script);
    let Some(text) = blocks.next() else { return Ok(None) };
    if blocks.next().is_some() {
        return Err(FileError::new(file, "it has two `# /// script` headers; keep one"));
    }
    let table = table(&format!("{file}, its `# /// script` header"), &text)?;
    let mut references = References::default();
    references.add_table(file, script, &table);
    let settings = tool(&table, "uv").map(uv_settings).unwrap_or_default();
    let metadata = Metadata::deserialize(Value::Table(table))
        .map_err(|error| FileError::new(file, format!("its `# /// script` header: {}", error.message())))?;
    Ok(Some(Header {
        dependencies: metadata.dependencies,
        requires_python: metadata.requires_python,
        references,
        uv_settings: settings,
    }))
}

/// The texts of all `script` blocks: from `# /// script` to the last `# ///` of the comment lines that follow.
fn blocks(script: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = script.lines().map(|line| line.trim_end_matches('\r')).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim_end() != "# /// script" {
            at += 1;
            continue;
        }
        let comments = lines[at + 1..].iter().take_while(|line| **line == "#" || line.starts_with("# "));
        let comments: Vec<&str> = comments.copied().collect();
        let Some(end) = comments.iter().rposition(|line| line.trim_end() == "# ///") else {
            at += 1;
            continue;
        };
        let text: Vec<&str> =
            comments[..end].iter().map(|line| line.strip_prefix("# ").unwrap_or_default()).collect();
        found.push(text.join("\n") + "\n");
        at += end + 2;
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_header_says_what_the_script_needs() {
        let script = "#!/usr/bin/env -S uv run --script\n# /// script\r\n# requires-python = '>=3.9'\n# dependencies = [\n#   'a>=1',\n#\n# ]\n# [tool.uv.sources]\n# a = { path = 'a' }\n# ///\nimport a\n";
        let header = read("main.py", script).unwrap().unwrap();
        assert_eq!(header.dependencies, Some(vec!["a>=1".to_owned()]));
        assert_eq!(header.requires_python.as_deref(), Some(">=3.9"));
        assert_eq!(header.uv_settings, ["sources"]);
    }

    #[rstest]
    #[case("print(1)\n")]
    #[case("# /// script\n# dependencies = []\nprint('no end')\n")]
    #[case("# /// other\n# dependencies = ['a']\n# ///\n")]
    #[case("    # /// script\n    # dependencies = ['a']\n    # ///\n")]
    fn there_is_no_header(#[case] script: &str) {
        assert_eq!(read("main.py", script), Ok(None));
    }

    #[rstest]
    #[case("# /// script\n# dependencies = \n# ///\n", "line 1")]
    #[case("# /// script\n# dependencies = 'a'\n# ///\n", "header")]
    #[case("# /// script\n# ///\n\n# /// script\n# ///\n", "two")]
    fn a_broken_header_is_told(#[case] script: &str, #[case] words: &str) {
        let error = read("main.py", script).unwrap_err().to_string();
        assert!(error.starts_with("main.py") && error.contains(words), "{error}");
    }
}
