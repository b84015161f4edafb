//! Errors as people read them. An error's own text says only what failed at its level; what caused it is its source. The place that
//! shows an error to somebody joins the two.

use std::error::Error;
use std::fmt;

/// An error and its sources in one line, from the outermost to the innermost, separated by colons.
///
/// A source whose text the line already ends with is left out: some libraries repeat their source in their own text.
pub fn chain<'e>(error: &'e (dyn Error + 'static)) -> Chain<'e> {
    Chain(error)
}

/// See [`chain`].
#[derive(Debug, Clone, Copy)]
pub struct Chain<'e>(&'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {file}")]
    struct Typed {
        file: &'static str,
        source: io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("settings: {0}")]
    struct Repeats(#[source] Typed);

    fn typed() -> Typed {
        Typed { file: "a.toml", source: io::Error::other("the disk is gone") }
    }

    #[test]
    fn every_source_is_in_the_line() {
        assert_eq!(chain(&typed()).to_string(), "cannot read a.toml: the disk is gone");
    }

    #[test]
    fn an_error_without_a_source_is_its_own_text() {
        assert_eq!(chain(&io::Error::other("no")).to_string(), "no");
    }

    #[test]
    fn what_an_error_repeats_of_its_source_is_said_once() {
        let error = Repeats(typed());
        assert_eq!(chain(&error).to_string(), "settings: cannot read a.toml: the disk is gone");
    }
}
