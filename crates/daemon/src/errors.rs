//! Errors as one line for people.

use std::error::Error;

/// An error and its sources, from the outermost to the innermost, joined by colons.
///
/// Each error says only its own level. Some libraries repeat the source in their own text: it is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Level {
        what: &'static str,
        source: Option<Box<Level>>,
    }

    fn level(what: &'static str, source: Option<Level>) -> Level {
        Level { what, source: source.map(Box::new) }
    }

    #[test]
    fn every_level_is_said_once() {
        let disk = level("the disk is full", None);
        let write = level("cannot write x: the disk is full", Some(disk));
        assert_eq!(
            chain(&level("cannot start", Some(write))),
            "cannot start: cannot write x: the disk is full"
        );
        assert_eq!(chain(&io::Error::other("alone")), "alone");
    }
}
