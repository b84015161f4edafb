//! Reading a password without showing it.

use std::io::{self, IsTerminal};

use crate::failure::Failure;

/// Longest password line that is read.
const MAX_BYTES: usize = 4096;

/// Asks on the terminal, or reads the first line of standard input.
pub(super) fn read(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(format!("cannot read the password: {error}"))
            .help("give it on standard input with --password-stdin")
    };
    let password = if from_stdin {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(unreadable)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password(prompt).map_err(unreadable)?
    } else {
        return Err(Failure::new("there is no terminal to ask for the password")
            .help("give it on standard input with --password-stdin"));
    };
    match password.len() {
        0 => Err(Failure::new("the password is empty")),
        1..=MAX_BYTES => Ok(password),
        _ => Err(Failure::new(format!("the password is longer than {MAX_BYTES} bytes"))),
    }
}
