//! Whom the wish that a job end reaches first.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Shells wait for what they have started before they do anything about a signal.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox"];
/// Longest first line of a script that is looked at: the kernel reads no more of it either.
const LINE_BYTES: u64 = 256;

/// Who of a job gets SIGTERM at once; all others get it when the main process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The main process alone. It may have helpers that it means to end itself.
    Main,
    /// The main process and its process group: it is a shell, and the processes it waits for do the work.
    Group,
}

impl Reach {
    /// Judges by the program and the arguments with which it is started.
    pub(super) fn of(program: &Path, arguments: &[String]) -> Self {
        let interpreter = first_line(program).unwrap_or_default();
        let words: Vec<&str> = if interpreter.is_empty() {
            program.to_str().into_iter().chain(arguments.iter().map(String::as_str)).collect()
        } else {
            interpreter.split_ascii_whitespace().collect()
        };
        if is_shell(&words) { Self::Group } else { Self::Main }
    }

    /// Asks the job whose main process is `main` to end. It leads a process group of its own.
    pub(super) fn terminate(self, main: Pid) {
        // It may have ended meanwhile.
        let _gone = match self {
            Self::Main => kill(main, Signal::SIGTERM),
            Self::Group => killpg(main, Signal::SIGTERM),
        };
    }
}

/// The interpreter that a script names behind `#!`.
fn first_line(program: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(program).ok()?.take(LINE_BYTES).read_to_end(&mut bytes).ok()?;
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}

fn is_shell(words: &[&str]) -> bool {
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut words = words.iter();
    let Some(first) = words.next() else { return false };
    if name(first) != "env" {
        return SHELLS.contains(&name(first).as_str());
    }
    // `env -S NAME=value program`.
    words
        .find(|word| !word.starts_with('-') && !word.contains('='))
        .is_some_and(|word| SHELLS.contains(&name(word).as_str()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["/bin/sh", "main.sh"], true)]
    #[case(&["/usr/bin/bash"], true)]
    #[case(&["/usr/bin/env", "bash"], true)]
    #[case(&["/usr/bin/env", "-S", "A=b", "zsh", "-e"], true)]
    #[case(&["/usr/bin/env", "python3"], false)]
    #[case(&["/w/venv/bin/python", "-u", "sh"], false)]
    #[case(&["/opt/bashful"], false)]
    #[case(&[], false)]
    fn shells_are_known_by_their_names(#[case] words: &[&str], #[case] expected: bool) {
        assert_eq!(is_shell(words), expected, "{words:?}");
    }

    #[test]
    fn a_script_is_what_its_first_line_says() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("#!/bin/bash -e\necho", Reach::Group),
            ("#! /usr/bin/env dash\n", Reach::Group),
            ("#!/usr/bin/env python3\n", Reach::Main),
            ("\x7fELF", Reach::Main),
        ] {
            let path = folder.path().join("main.sh");
            std::fs::write(&path, text).unwrap();
            assert_eq!(Reach::of(&path, &[]), expected, "{text:?}");
        }
        assert_eq!(Reach::of(Path::new("/bin/sh"), &["x.py".to_owned()]), Reach::Group);
    }
}
