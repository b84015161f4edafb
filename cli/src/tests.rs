//! Checks of the whole command line.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory as _};

use crate::commands::Cli;

/// The quoted names of a list in what an argument says of itself. clap has no other way to ask what one requires.
fn names(arg: &Arg, list: &str) -> BTreeSet<String> {
    let said = format!("{arg:?}");
    let begin = said.find(&format!("{list}: [")).unwrap_or_else(|| panic!("{said} has no {list}"));
    let end = said[begin..].find(']').unwrap();
    said[begin..begin + end].split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether one of two arguments rules the other out.
fn conflict(a: &Arg, b: &Arg) -> bool {
    names(a, "conflicts").contains(b.get_id().as_str()) || names(b, "conflicts").contains(a.get_id().as_str())
}

/// Where an argument that another one requires is ruled out by a third, clap does not miss it: the first would be accepted and
/// have no effect.
#[test]
fn no_flag_loses_what_it_requires_to_a_third_one() {
    let mut seen = 0;
    let mut lost = Vec::new();
    let mut commands: Vec<Command> = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let args: Vec<_> = command.get_arguments().collect();
        for arg in &args {
            for required in names(arg, "requires") {
                let required = args.iter().find(|other| other.get_id().as_str() == required).unwrap();
                seen += 1;
                lost.extend(
                    args.iter().filter(|third| conflict(required, third) && !conflict(arg, third)).map(
                        |third| {
                            let (command, arg, third) = (command.get_name(), arg.get_id(), third.get_id());
                            format!("{command}: {arg} beside {third}, without {}", required.get_id())
                        },
                    ),
                );
            }
        }
    }
    assert!(seen > 10, "only {seen} are known to require another");
    assert!(lost.is_empty(), "{lost:#?}");
}
