//! The completion scripts in real shells: they load, and offer what the command line has.

use std::path::Path;
use std::process::{Command, Stdio};

use minitower_tests::{programs, skip};

/// What the shell prints when it is given `script`, with the program on its path; `None` where there is no such shell.
fn shell(name: &str, arguments: &[&str], script: &str) -> Option<String> {
    if Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        skip::skip(&format!("{name} is not installed"));
        return None;
    }
    let program = programs::path(programs::CLI);
    let folder = program.parent().map(Path::to_owned).unwrap();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&rest))).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", name]).args(arguments).args(["-c", script]);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", path)
        .env("TERM", "dumb")
        .current_dir(home.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    Some(said)
}

#[test]
fn bash_offers_subcommands() {
    let script = r#"
        source <(minitower completion bash)
        complete -p minitower
        COMP_WORDS=(minitower runs l) COMP_CWORD=2 COMP_TYPE=9
        _clap_complete_minitower minitower l runs
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let Some(said) = shell("bash", &["--norc", "--noprofile"], script) else { return };
    assert!(
        said.lines().next().is_some_and(|line| line.ends_with("-F _clap_complete_minitower minitower")),
        "{said}"
    );
    assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), ["list", "logs"], "{said}");
}

#[test]
fn fish_offers_subcommands() {
    let script = "minitower completion fish | source; complete --do-complete 'minitower runs l'";
    let Some(said) = shell("fish", &["--no-config"], script) else { return };
    let values: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(values, ["list", "logs"], "{said}");
}

#[test]
fn zsh_offers_subcommands() {
    // Completion needs a line that is being edited: the shell is one on a pseudo-terminal, and what it would offer goes
    // through `compadd`, which here says it. Calls with -O, -A or -D only filter.
    let script = r#"
        zmodload zsh/zpty
        zpty inner zsh -f -i
        zpty -w inner "PS1= PS2=; stty -echo
            autoload -Uz compinit; compinit -u -D
            source <(minitower completion zsh)
            compadd() {
                if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd \"\$@\"; return; fi
                local -a offered; builtin compadd -A offered \"\$@\"; print -l -- '<'\$^offered'>'
            }
            ended() { print '<'end'>' }
            comppostfuncs=(ended)
            zle -C report list-choices _main_complete; bindkey '^T' report
            print '<'ready'>'"
        zpty -r inner said '*<ready>*'
        zpty -w -n inner $'minitower runs l\x14'
        zpty -r inner said '*<end>*'
        print -r -- $said
        zpty -d inner
    "#;
    let Some(said) = shell("zsh", &["-f"], script) else { return };
    let offered: Vec<_> =
        said.split('<').filter_map(|part| part.split_once('>')).map(|(name, _)| name).collect();
    assert_eq!(offered, ["list", "logs", "end"], "{said}");
}
