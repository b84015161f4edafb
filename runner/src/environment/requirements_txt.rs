//! `requirements.txt` with all it includes; the format is pip's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{FileError, Files, tidy};
use super::references::References;
use super::requirement::{self, Origin};

/// Most files that requirements may include.
const MAX_FILES: usize = 50;

/// What the files say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The files read, in order: path and decoded text.
    pub(super) files: Vec<(PathBuf, String)>,
    /// How many packages they ask for.
    pub(super) count: usize,
    /// Why an environment of them is nobody else's.
    pub(super) private: Option<String>,
    /// Whether something is to be installed where it lies.
    pub(super) editable: bool,
    /// Whether the project itself is among them.
    pub(super) itself: bool,
    /// Whether something may have another version tomorrow.
    pub(super) unpinned: bool,
    /// Names of the pinned packages.
    pub(super) pinned: BTreeSet<String>,
    /// Variables that the text refers to as `${NAME}`.
    pub(super) references: References,
    /// Options that uv takes on its command line only.
    pub(super) uv_options: Vec<String>,
}

impl Requirements {
    /// Reads a requirements file and what it includes.
    pub(super) fn read(files: &Files, file: &str) -> Result<Self, FileError> {
        let mut requirements = Self::default();
        let mut seen = BTreeSet::new();
        requirements.file(files, Path::new(file), false, &mut seen)?;
        Ok(requirements)
    }

    fn file(
        &mut self,
        files: &Files,
        file: &Path,
        constraints: bool,
        seen: &mut BTreeSet<(PathBuf, bool)>,
    ) -> Result<(), FileError> {
        if !seen.insert((file.to_owned(), constraints)) {
            return Ok(());
        }
        if seen.len() > MAX_FILES {
            return Err(FileError::new(file, format!("requirements include more than {MAX_FILES} files")));
        }
        let text = files.text(file)?;
        if !self.files.iter().any(|(known, _)| known == file) {
            self.files.push((file.to_owned(), text.clone()));
        }
        for (number, line) in logical_lines(&text) {
            self.references.add_line(file, number, &line);
            let refused = |what: &str| FileError::new(file, format!("line {number} {what}"));
            if line.contains(|c: char| c.is_control() && c != '\t') {
                return Err(refused("has a control character; take it out"));
            }
            if includes_oddly(&line) {
                return Err(refused(
                    "includes a file in a way that is not read; write `-r FILE` or `-c FILE`, alone on the line",
                ));
            }
            if let Some((place, constrains)) = include(&line) {
                if place.contains("://") {
                    self.is_private(format!("{} includes an address", file.display()));
                    self.references.add_remote(file, number);
                    self.unpinned = true;
                    self.count += usize::from(!constrains);
                } else {
                    let beside = file.parent().unwrap_or(Path::new("")).join(unquoted(place));
                    self.file(files, &tidy(&beside), constrains || constraints, seen)?;
                }
            } else {
                self.line(file, &line, constraints);
            }
        }
        Ok(())
    }

    fn line(&mut self, file: &Path, line: &str, constraints: bool) {
        let named = |what: &str| format!("{} {what}", file.display());
        if let Some(place) = option(line, &["-e", "--editable"]) {
            self.count += 1;
            match requirement::origin(unquoted(place)) {
                Origin::Address => self.is_private(named("names an address")),
                Origin::Itself => (self.editable, self.itself) = (true, true),
                // A bare name is a folder here.
                Origin::Local | Origin::Index => self.editable = true,
            }
            self.unpinned = true;
        } else if let Some(host) = option(line, &["--trusted-host"]) {
            self.is_private(named("trusts a host of its own"));
            self.uv_options.extend(["--allow-insecure-host".to_owned(), unquoted(host).to_owned()]);
        } else if line == "--pre" {
            self.uv_options.extend(["--prerelease".to_owned(), "allow".to_owned()]);
        } else if line == "--require-hashes" {
            self.uv_options.push("--require-hashes".to_owned());
        } else if line.starts_with('-') {
            if !is_harmless(line) {
                let name = line.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
                self.is_private(named(&format!("has the option {name}")));
            }
        } else if constraints {
            self.place(file, line);
        } else {
            self.requirement(file, line);
        }
    }

    /// Looks where a requirement or constraint comes from, and how it is built.
    fn place(&mut self, file: &Path, line: &str) {
        let named = |what: &str| format!("{} {what}", file.display());
        match requirement::origin(line) {
            Origin::Index => {}
            Origin::Address => self.is_private(named("names an address")),
            Origin::Itself => self.is_private(named("names the project itself")),
            Origin::Local => self.is_private(named("names files of this machine")),
        }
        if line.split_whitespace().skip(1).any(|word| word.starts_with('-') && !word.starts_with("--hash")) {
            self.is_private(named("has options for a single package"));
        }
    }

    fn requirement(&mut self, file: &Path, line: &str) {
        self.count += 1;
        self.place(file, line);
        match requirement::origin(line) {
            Origin::Index if requirement::is_pinned(line) => {
                self.pinned.insert(requirement::name(line));
            }
            Origin::Index | Origin::Local => self.unpinned = true,
            Origin::Address => self.unpinned |= !line.contains("#sha256=") && !line.contains("--hash"),
            Origin::Itself => (self.itself, self.unpinned) = (true, true),
        }
    }

    fn is_private(&mut self, reason: String) {
        self.private.get_or_insert(reason);
    }
}

/// Lines with their numbers and without comments, those that end in a backslash joined with the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open = String::new();
    let mut first = None;
    for (at, line) in text.replace("\r\n", "\n").split(ends_line).enumerate() {
        let number = *first.get_or_insert(at + 1);
        let is_comment = line.trim_start().starts_with('#');
        if line.ends_with('\\') && !is_comment {
            // All of them, as pip does it.
            open.push_str(line.trim_matches('\\'));
            continue;
        }
        // A comment ends a continued line, as in pip.
        open.push_str(if is_comment { " " } else { line });
        lines.push((number, without_comment(&std::mem::take(&mut open)).to_owned()));
        first = None;
    }
    lines.extend(first.map(|number| (number, without_comment(&open).to_owned())));
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

/// Whether a line ends there for pip, which is where Python's `str.splitlines` ends it.
fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    let end = line.match_indices('#').find(begins).map_or(line.len(), |(at, _)| at);
    line[..end].trim()
}

/// The file of `-r`, `-c`, and whether it constrains.
fn include(line: &str) -> Option<(&str, bool)> {
    option(line, &["-r", "--requirement"])
        .map(|place| (place, false))
        .or_else(|| option(line, &["-c", "--constraint"]).map(|place| (place, true)))
}

/// Whether an installer may find `-r` or `-c` there although [`include`] does not understand the line: it takes shortened names
/// (`--requirem x`), several options on a line, and quotes in the middle of a word.
fn includes_oddly(line: &str) -> bool {
    if let Some((place, _)) = include(line) {
        let inner = unquoted(place);
        let is_whole = inner.len() < place.len() || !inner.contains(char::is_whitespace);
        return !is_whole || inner.starts_with('=') || inner.contains(['"', '\'', '\\']);
    }
    let shortens = |name: &str, whole: &str, least: usize| name.len() >= least && whole.starts_with(name);
    line.starts_with('-')
        && line.split_whitespace().any(|word| {
            let word = word.trim_matches(['"', '\'']);
            let name = word.split('=').next().unwrap_or_default();
            let short = !word.starts_with("--") && (word.starts_with("-r") || word.starts_with("-c"));
            short
                || shortens(name, "--requirement", "--req".len())
                || shortens(name, "--constraint", "--cons".len())
        })
}

/// Whether a line is an option that changes neither where packages come from nor whether code of theirs runs. Whoever adds one:
/// the whole line counts, since pip takes several options on one, and shortened names.
fn is_harmless(line: &str) -> bool {
    line == "--prefer-binary"
        || option(line, &["--only-binary"]).is_some_and(|which| which == ":all:")
        || option(line, &["--use-feature"]).is_some_and(|name| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !name.starts_with('-')
        })
}

/// The value of a line that is one of these options: `-r x`, `-rx`, `--requirement x`, `--requirement=x`.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let long = name.starts_with("--");
        let value =
            rest.strip_prefix('=').filter(|_| long).or_else(|| rest.strip_prefix(char::is_whitespace));
        match value {
            Some(value) => Some(value.trim()),
            None if !long && !rest.is_empty() && !rest.starts_with('-') => Some(rest.trim()),
            None => None,
        }
    })
}

fn unquoted(value: &str) -> &str {
    let quoted = |mark: char| value.strip_prefix(mark).and_then(|value| value.strip_suffix(mark));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::files::tests::project;
    use super::*;

    fn read(files: &[(&str, &str)]) -> Requirements {
        Requirements::read(&Files::new(project(files).path()), "requirements.txt").unwrap()
    }

    fn one(text: &str) -> Requirements {
        read(&[
            ("requirements.txt", text),
            ("constraints.txt", "b<2\n"),
            ("more/address.txt", "a @ https://h/a.whl\n"),
            ("more/local.txt", "./a-1-py3-none-any.whl\n"),
            ("more/option.txt", "--no-binary :all:\n"),
            ("more/base.txt", "-c ../constraints.txt\na==1\n"),
        ])
    }

    #[rstest]
    #[case("")]
    #[case("# nothing\n\n  # at all\n")]
    #[case("-c constraints.txt\n")]
    #[case("--index-url https://x/simple\n")]
    #[case("# a \\\n")]
    fn nothing_is_asked_for(#[case] text: &str) {
        assert_eq!(one(text).count, 0);
    }

    #[rstest]
    #[case("a==1\nb[x]==2 ; python_version > '3'\n", 2, false, false)]
    #[case("a==1\t# -r nothere.txt\n", 1, false, false)]
    #[case("a \\\n  ==1.0\n", 1, false, false)]
    #[case("a \\\r\n  ==1.0\r\n# c\r\n", 1, false, false)]
    #[case("a==1 \\\n --hash=sha256:00 \\\n --hash=sha256:11\n", 1, false, false)]
    #[case("-r more/base.txt\n", 1, false, false)]
    #[case("-rmore/base.txt\n--requirement=more/base.txt", 1, false, false)]
    #[case("-r 'more/base.txt'\n", 1, false, false)]
    #[case("a>=1\n--pre\n", 1, false, true)]
    #[case("--extra-index-url http://h/\na==1\n", 1, true, false)]
    #[case("-f wheels\na==1\n", 1, true, false)]
    #[case("--no-binary :all:\na==1\n", 1, true, false)]
    #[case("a @ https://h/a.whl#sha256=00\n", 1, true, false)]
    #[case("git+https://h/a.git\n", 1, true, true)]
    #[case("./lib\n", 1, true, true)]
    #[case("-r https://h/r.txt\n", 1, true, true)]
    #[case("a==1 --config-settings=x=y\n", 1, true, false)]
    #[case("a==1 --global-opt=x\n", 1, true, false)]
    #[case("a==1 -C x=y\n", 1, true, false)]
    #[case("--no-bin=a\na==1\n", 1, true, false)]
    #[case("--no-binary a\na==1\n", 1, true, false)]
    #[case("--pre --index-url http://h/\na==1\n", 1, true, false)]
    #[case("--prefer-binary --extra-ind http://h/\na==1\n", 1, true, false)]
    #[case("--require-hashes -i http://h/\na==1\n", 1, true, false)]
    #[case("--use-feature x --no-binary a\na==1\n", 1, true, false)]
    #[case("--use-feature='x' --no-binary=a\na==1\n", 1, true, false)]
    #[case("--extra-ind http://h/\na==1\n", 1, true, false)]
    #[case("-fhttp://h/\na==1\n", 1, true, false)]
    #[case("--only-binary :none:\na==1\n", 1, true, false)]
    #[case("--only-binary :all: --no-binary a\na==1\n", 1, true, false)]
    #[case("--no-index\na==1\n", 1, true, false)]
    #[case("# x\r--no-binary a\na==1\n", 1, true, false)]
    #[case(
        "--only-binary=:all:\n--prefer-binary\n--use-feature fast-deps\n--require-hashes\na==1\n",
        1,
        false,
        false
    )]
    #[case("-c more/address.txt\na==1\n", 1, true, false)]
    #[case("-c more/local.txt\na==1\n", 1, true, false)]
    #[case("-c more/option.txt\na==1\n", 1, true, false)]
    fn what_is_asked_for(
        #[case] text: &str,
        #[case] count: usize,
        #[case] private: bool,
        #[case] unpinned: bool,
    ) {
        let found = one(text);
        assert_eq!(
            (found.count, found.private.is_some(), found.unpinned),
            (count, private, unpinned),
            "{found:?}"
        );
        assert!(!found.editable && !found.itself);
    }

    #[rstest]
    #[case("-e .\n", true, true)]
    #[case("--editable=lib\n", true, false)]
    #[case("-e .[x] ; python_version > '3'\n", true, true)]
    #[case(".\n", false, true)]
    #[case("-e git+https://h/a.git#egg=a\n", false, false)]
    fn what_lies_in_the_project(#[case] text: &str, #[case] editable: bool, #[case] itself: bool) {
        let found = one(text);
        assert_eq!((found.editable, found.itself), (editable, itself), "{found:?}");
    }

    #[test]
    fn every_file_is_remembered_once_and_loops_end() {
        let found = read(&[
            ("requirements.txt", "\u{feff}-r a.txt\n-c c.txt\nx==${V}\n"),
            ("a.txt", "-r requirements.txt\nb\n"),
            ("c.txt", "b<2\n"),
        ]);
        let names: Vec<_> = found.files.iter().map(|(file, _)| file.to_str().unwrap()).collect();
        assert_eq!(names, ["requirements.txt", "a.txt", "c.txt"]);
        assert!(found.references.contains("V"));
        assert_eq!(found.count, 2);
    }

    #[rstest]
    #[case("--requirem a.txt\n")]
    #[case("--cons=a.txt\n")]
    #[case("--pre -r a.txt\n")]
    #[case("--pre --req=a.txt\n")]
    #[case("-r a.txt --pre\n")]
    #[case("-r 'a'.txt\n")]
    #[case("-r=a.txt\n")]
    #[case("\u{1f}-r a.txt\n")]
    fn an_include_that_is_not_understood_is_refused(#[case] text: &str) {
        let folder = project(&[("requirements.txt", text), ("a.txt", ""), ("=a.txt", "")]);
        let error = Requirements::read(&Files::new(folder.path()), "requirements.txt").unwrap_err();
        assert!(error.file == "requirements.txt" && error.reason.starts_with("line 1 "), "{error}");
    }

    #[test]
    fn a_missing_include_is_named() {
        let folder = project(&[("requirements.txt", "-r nothere.txt\n")]);
        let error = Requirements::read(&Files::new(folder.path()), "requirements.txt").unwrap_err();
        assert_eq!(error.file, "nothere.txt");
    }
}
