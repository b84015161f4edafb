//! Log lines on standard error, even if nobody can write there: its reader may be gone, or its volume full.
//!
//! A program does not exist for its log. Lines that cannot be written are lost, and the program goes on.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

/// Standard error that accepts everything, and drops what cannot be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _lost = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self::Writer {
        *self
    }
}

/// What a program logs: a level, or directives such as `info,minitower_rest=debug`. Otherwise the rule that `text` breaks.
///
/// A word that is no level is a mistyped one. The filter itself takes it for a target, of which everything is logged, and of all
/// others nothing.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    const RULE: &str =
        "it must be a level (error, warn, info, debug, trace or off) or directives such as info,hyper=debug";
    let words = text.split(',').filter(|word| !word.contains(['=', '[', '{', '}', ']']));
    for word in words {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(format!("{RULE} ({word:?} is no level)"));
        }
    }
    EnvFilter::try_new(text).map_err(|error| format!("{RULE} ({error})"))
}

/// The beginning of every program's log: filtered lines on [`Stderr`], coloured on a terminal.
pub fn on_stderr(filter: EnvFilter) -> SubscriberBuilder<DefaultFields, Format, EnvFilter, Stderr> {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        // Otherwise the subscriber reports a line that it cannot write with `eprintln!`, which panics then.
        .log_internal_errors(false)
        .with_writer(Stderr)
}

/// Whether a person reads standard error as it comes. A program whose settings say nothing then logs text; otherwise
/// JSON, for collectors.
pub fn is_read_by_a_person() -> bool {
    io::stderr().is_terminal()
}

/// Writes one line for people to standard error, as `eprintln!` does, but never panics.
pub fn say(line: impl Display) {
    let _lost = writeln!(Stderr, "{line}");
}

/// Writes one line for people to standard output, as `println!` does, but never panics.
pub fn answer(line: impl Display) {
    let _lost = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken() {
        for text in
            ["info", "WARN", "off", "info,minitowerd=debug", "warn,kube=off", "[request{status=503}]=debug"]
        {
            assert!(filter(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_mistyped_level_is_no_target() {
        for text in ["loud", "inof", "info,debgu", "minitowerd", "", "info,", "a=b=c", "minitowerd=loud"] {
            let rule = filter(text).map(drop).unwrap_err();
            assert!(rule.starts_with("it must be a level (error, warn, "), "{text}: {rule}");
        }
    }
}
