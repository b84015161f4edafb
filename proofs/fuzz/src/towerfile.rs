//! Towerfiles from strangers: what is accepted obeys the rules and reads the same when it is written down again.

use std::fmt::Write as _;

use minitower_towerfile::source::Pattern;
use minitower_towerfile::{LogOrder, Start, Towerfile, name_in, path, renamed, slug, variables};
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
    if let Err(error) = Towerfile::parse_strict(text) {
        one_line(&error.to_string());
    }
    assert_eq!(name_in(text).as_ref(), Some(&towerfile.name));
    let renamed = renamed(text, "another").expect("it has a name");
    assert_eq!(Towerfile::parse(&renamed).map(|(towerfile, _)| towerfile.name), Ok("another".to_owned()));
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
        description,
        python: _,
        api: _,
        env,
        secrets,
        log_order: _,
        source,
        import_paths,
        timeout_seconds,
        setup_seconds,
        max_retries,
        concurrency,
        schedule: _,
        parameters,
    } = towerfile;
    assert_eq!(slug::violation(name), None, "{name:?}");
    assert_eq!(&Start::from_entrypoint(&start.entrypoint()), start);
    match start {
        Start::Script(script) => {
            assert_eq!(path::normalise(script).as_ref(), Ok(script));
            assert!(!script.is_empty() && !script.contains(char::is_control), "{script:?}");
            let mut patterns = source.iter().map(|text| Pattern::new(text).expect("a valid pattern"));
            assert!(
                source.is_empty() || patterns.any(|pattern| pattern.matches(script)),
                "{source:?}: {script:?}"
            );
        }
        Start::Module(module) => {
            assert!(!module.contains(|c: char| c == '/' || c == '-' || c.is_whitespace()), "{module:?}");
            assert!(module.split('.').all(|part| !part.is_empty()), "{module:?}");
        }
    }
    assert!(description.as_ref().is_none_or(|text| !text.is_empty()));
    for (variable, value) in env {
        assert!(!variables::is_reserved(variable, variables::Setter::Author), "{variable:?}");
        assert!(!variable.contains(|c: char| c == '=' || c.is_control()) && !value.contains('\0'));
    }
    for (index, secret) in secrets.iter().enumerate() {
        assert!(!variables::is_reserved(secret, variables::Setter::Author), "{secret:?}");
        assert!(!secret.is_empty() && secret.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()));
        assert!(!secrets[..index].contains(secret) && !env.contains_key(secret), "{secret:?}");
    }
    for folder in import_paths {
        assert!(folder == "." || path::normalise(folder).as_ref() == Ok(folder), "{folder:?}");
        assert!(!folder.contains(|c: char| c == ':' || c.is_control()), "{folder:?}");
    }
    assert!(timeout_seconds.is_none_or(|seconds| seconds >= 1));
    assert!(setup_seconds.is_none_or(|setup| setup >= 1 && timeout_seconds.is_none_or(|all| setup <= all)));
    assert!(max_retries.is_none_or(|retries| retries >= 0));
    if let Some(shared) = concurrency {
        assert!(shared.max >= 1);
        let is_key = |key: &String| !key.is_empty() && !key.contains(char::is_control);
        assert!(shared.key.as_ref().is_none_or(is_key));
    }
    let schema = towerfile.params_schema();
    assert_eq!(schema.is_some(), !parameters.is_empty());
    let properties = schema.as_ref().and_then(|schema| schema["properties"].as_object());
    assert_eq!(properties.map_or(0, serde_json::Map::len), parameters.len(), "names are unique");
}

/// The Towerfile as a person could have written it.
fn written(towerfile: &Towerfile) -> String {
    let list = |items: &[String]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
    let mut text = format!("[app]\nname = {}\n", quoted(&towerfile.name));
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "{key} = {value}").expect("a string takes all text");
        }
    };
    match &towerfile.start {
        Start::Script(script) => line("script", Some(quoted(script))),
        Start::Module(module) => line("module", Some(quoted(module))),
    }
    line("description", towerfile.description.as_deref().map(quoted));
    line("python", towerfile.python.as_deref().map(quoted));
    line("api", towerfile.api.then(|| "true".to_owned()));
    let secrets = &towerfile.secrets;
    line("secrets", (!secrets.is_empty()).then(|| format!("{{ names = [{}] }}", list(secrets))));
    line("logs", (towerfile.log_order == LogOrder::Exact).then(|| "{ order = \"exact\" }".to_owned()));
    line("source", Some(format!("[{}]", list(&towerfile.source))));
    line("import_paths", Some(format!("[{}]", list(&towerfile.import_paths))));
    line("timeout.seconds", towerfile.timeout_seconds.map(|seconds| seconds.to_string()));
    line("timeout.setup_seconds", towerfile.setup_seconds.map(|seconds| seconds.to_string()));
    line("max_retries", towerfile.max_retries.map(|retries| retries.to_string()));
    line("concurrency.max", towerfile.concurrency.as_ref().map(|shared| shared.max.to_string()));
    let key = towerfile.concurrency.as_ref().and_then(|shared| shared.key.as_deref());
    line("concurrency.key", key.map(quoted));
    line("schedule", towerfile.schedule.as_deref().map(quoted));
    for (name, value) in &towerfile.env {
        line(&format!("env.{}", quoted(name)), Some(quoted(value)));
    }
    for parameter in &towerfile.parameters {
        line("[[parameters]]\nname", Some(quoted(&parameter.name)));
        line("description", parameter.description.as_deref().map(quoted));
        line("type", Some(quoted(parameter.kind.as_str())));
        line("hidden", parameter.hidden.then(|| "true".to_owned()));
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
