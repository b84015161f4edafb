//! Towerfiles from strangers: what is accepted obeys the rules and reads the same when it is written down again.

use std::fmt::Write as _;

use minitower_towerfile::source::Pattern;
use minitower_towerfile::{Towerfile, path, slug};
use serde_json::Value;

/// Parses a text; written down again and parsed, what was accepted is the same.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let towerfile = match Towerfile::parse(text) {
        Ok((towerfile, warnings)) => {
            for warning in warnings {
                one_line(&warning.to_string());
            }
            towerfile
        }
        Err(error) => return one_line(&error.to_string()),
    };
    obeys_the_rules(&towerfile);
    let again = written(&towerfile);
    match Towerfile::parse(&again) {
        Ok((read, warnings)) => {
            assert_eq!(read, towerfile, "written as\n{again}");
            assert!(warnings.is_empty(), "{warnings:?} in\n{again}");
        }
        // Escapes make some texts longer.
        Err(minitower_towerfile::Error::TooLarge { .. }) => {}
        Err(error) => panic!("{error} in\n{again}"),
    }
}

fn one_line(message: &str) {
    assert!(message.len() < 4096, "{} bytes of message: {message}", message.len());
    assert!(!message.contains(char::is_control), "more than one readable line: {message:?}");
}

fn obeys_the_rules(towerfile: &Towerfile) {
    let Towerfile {
        name,
        start,
        source,
        import_paths,
        timeout_seconds,
        max_retries,
        schedule: _,
        parameters,
        ..
    } = towerfile;
    let script = &start.entrypoint();
    assert_eq!(slug::violation(name), None, "{name:?}");
    assert_eq!(path::normalise(script).as_ref(), Ok(script));
    let runs = [".py", ".sh"].iter().any(|end| script.ends_with(end));
    assert!(runs && !script.contains(char::is_control), "{script:?}");
    let selected = source.iter().any(|text| Pattern::new(text).is_ok_and(|pattern| pattern.matches(script)));
    assert!(selected, "{source:?} selects {script:?}");
    for folder in import_paths {
        assert!(folder == "." || path::normalise(folder).as_ref() == Ok(folder), "{folder:?}");
        assert!(!folder.contains(|c: char| c == ':' || c.is_control()), "{folder:?}");
    }
    assert!(timeout_seconds.is_none_or(|seconds| seconds >= 1));
    assert!(max_retries.is_none_or(|retries| retries >= 0));
    let schema = towerfile.params_schema();
    assert_eq!(schema.is_some(), !parameters.is_empty());
    let properties = schema.as_ref().and_then(|schema| schema["properties"].as_object());
    assert_eq!(properties.map_or(0, serde_json::Map::len), parameters.len(), "names are unique");
}

/// The Towerfile as a person could have written it.
fn written(towerfile: &Towerfile) -> String {
    let list = |items: &[String]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "[app]\nname = {}\nscript = {}\n",
        quoted(&towerfile.name),
        quoted(&towerfile.start.entrypoint())
    );
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "{key} = {value}").expect("a string takes all text");
        }
    };
    line("source", Some(format!("[{}]", list(&towerfile.source))));
    line("import_paths", Some(format!("[{}]", list(&towerfile.import_paths))));
    line("timeout", towerfile.timeout_seconds.map(|seconds| format!("{{ seconds = {seconds} }}")));
    line("max_retries", towerfile.max_retries.map(|retries| retries.to_string()));
    line("schedule", towerfile.schedule.as_deref().map(quoted));
    for parameter in &towerfile.parameters {
        line("[[parameters]]\nname", Some(quoted(&parameter.name)));
        line("description", parameter.description.as_deref().map(quoted));
        line("type", Some(quoted(parameter.kind.as_str())));
        line(
            "default",
            parameter.default.as_ref().map(|value| match value {
                Value::String(text) => quoted(text),
                other => other.to_string(),
            }),
        );
    }
    text
}

/// A basic string of TOML: a string of JSON in which DEL is escaped too (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
