//! The first line of a script: which program runs it.

use std::path::Path;

use crate::environment::interpreters::is_python;

/// What runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Runner {
    /// The environment's Python, with these flags.
    Python { flags: Vec<String> },
    /// A program, with these arguments in front of the script.
    Program { name: String, arguments: Vec<String> },
}

/// What is special about the beginning of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// What its `#!` line names, with the line's text.
    pub(super) runner: Option<(Runner, String)>,
    /// It begins with a byte order mark.
    pub(super) has_mark: bool,
    /// Its lines end as on Windows.
    pub(super) has_crlf: bool,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Looks at a script.
pub(super) fn look(script: &[u8]) -> Beginning {
    let has_mark = script.starts_with(MARK);
    let text = script.strip_prefix(MARK).unwrap_or(script);
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = first.strip_prefix(b"#!").map(|line| String::from_utf8_lossy(line).trim().to_owned());
    let runner = line.filter(|line| !line.is_empty()).map(|line| (runner(&line), format!("#!{line}")));
    Beginning { runner, has_mark, has_crlf: text.windows(2).any(|pair| pair == b"\r\n") }
}

/// The script as Unix writes it: without a mark, with plain line ends.
pub(super) fn as_unix(script: &[u8]) -> Vec<u8> {
    let text = script.strip_prefix(MARK).unwrap_or(script);
    let mut plain = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            plain.push(*byte);
        }
    }
    plain
}

/// What a line without its `#!` names.
fn runner(line: &str) -> Runner {
    let mut words = line.split_whitespace().map(str::to_owned);
    let first = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    if base_name(&first) != "env" {
        return of(&first, rest);
    }
    let mut rest = rest.as_slice();
    if let [option, after @ ..] = rest
        && matches!(option.as_str(), "-S" | "--split-string")
    {
        rest = after;
    }
    match rest {
        // Options and assignments are env's own business; it looks for the program on the job's PATH.
        [] => Runner::Program { name: first, arguments: Vec::new() },
        [word, ..] if word.starts_with('-') || word.contains('=') => Runner::Program {
            name: first,
            arguments: rest.iter().map(|word| word.strip_prefix("-S").unwrap_or(word).to_owned()).collect(),
        },
        [name, after @ ..] => of(name, after.to_vec()),
    }
}

fn of(name: &str, arguments: Vec<String>) -> Runner {
    if is_python(base_name(name)) {
        return Runner::Python { flags: arguments };
    }
    // `uv run --script`: the header it would read has been read already.
    if base_name(name) == "uv" && arguments.first().is_some_and(|word| word == "run") {
        return Runner::Python { flags: Vec::new() };
    }
    Runner::Program { name: name.to_owned(), arguments }
}

fn base_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[rstest]
    #[case("#!/bin/bash\n", "/bin/bash", "")]
    #[case("#!/bin/bash -eu\n", "/bin/bash", "-eu")]
    #[case("#! /usr/bin/env bash\r\n", "bash", "")]
    #[case("#!/usr/bin/env bash -e -u\n", "bash", "-e -u")]
    #[case("#!/usr/bin/env -S node --flag\n", "node", "--flag")]
    #[case("#!/usr/bin/env -S A=1 bash\n", "/usr/bin/env", "A=1 bash")]
    #[case("#!/usr/bin/env -i bash\n", "/usr/bin/env", "-i bash")]
    #[case("#!/usr/bin/env -SA=1 bash\n", "/usr/bin/env", "A=1 bash")]
    #[case("#!/usr/bin/python2\n", "/usr/bin/python2", "")]
    #[case("#!/usr/bin/perl -w", "/usr/bin/perl", "-w")]
    fn programs(#[case] script: &str, #[case] name: &str, #[case] arguments: &str) {
        let (runner, line) = look(script.as_bytes()).runner.unwrap();
        assert_eq!(runner, Runner::Program { name: name.to_owned(), arguments: words(arguments) });
        assert_eq!(line, script.trim().replacen("#! ", "#!", 1));
    }

    #[rstest]
    #[case("#!/usr/bin/python3\n", "")]
    #[case("#!/usr/bin/env python\n", "")]
    #[case("#!/usr/bin/env python3.12 -O\n", "-O")]
    #[case("#!/usr/bin/env -S python3 -X utf8\n", "-X utf8")]
    #[case("#!/usr/bin/env -S uv run --script\n", "")]
    #[case("\u{feff}#!/opt/venv/bin/python\r\n", "")]
    fn pythons(#[case] script: &str, #[case] flags: &str) {
        let (runner, _) = look(script.as_bytes()).runner.unwrap();
        assert_eq!(runner, Runner::Python { flags: words(flags) });
    }

    #[rstest]
    #[case(b"echo x\n", false, false)]
    #[case(b"#!\necho x\n", false, false)]
    #[case(b"\xef\xbb\xbfecho x\r\n", true, true)]
    #[case(b"printf 'a\\r'\n", false, false)]
    #[case(b"", false, false)]
    fn nothing_is_named(#[case] script: &[u8], #[case] has_mark: bool, #[case] has_crlf: bool) {
        assert_eq!(look(script), Beginning { runner: None, has_mark, has_crlf });
    }

    #[test]
    fn scripts_of_windows_become_those_of_unix() {
        assert_eq!(as_unix(b"\xef\xbb\xbf#!/bin/sh\r\necho 'a\rb'\r\n"), b"#!/bin/sh\necho 'a\rb'\n");
        assert_eq!(as_unix(b"a\r"), b"a\r");
    }
}
