//! From TOML to a [`Towerfile`]: every rule of every field.

use std::collections::HashSet;

use toml::Value;

use super::table::Reader;
use super::{Error, LogOrder, MAX_BYTES, Parameter, ParameterType, Start, Towerfile, Warning};
use crate::path::{PathFault, normalise};
use crate::shown::shown;
use crate::slug;
use crate::source::{MAX_PATTERNS, Pattern};

/// What `app.source` is when it is not given: everything but dotfiles.
const DEFAULT_SOURCE: &str = "./**";

/// Most folders in `app.import_paths`: they travel in one HTTP header.
const MAX_IMPORT_PATHS: usize = 32;

/// Most bytes of a parameter's name.
const MAX_PARAMETER_NAME_BYTES: usize = 128;

pub(super) fn parse(text: &str) -> Result<(Towerfile, Vec<Warning>), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: text.len() });
    }
    let document: toml::Table = text.parse().map_err(|error| syntax(text, &error))?;
    let mut warnings = Vec::new();
    let root = Reader::new(&document, "", String::new(), &mut warnings);
    let app =
        root.table("app", "write [app] on a line of its own, its keys below")?.ok_or(Error::Missing {
            field: "[app]",
            help: "write a table [app] with name = \"my-app\" and script = \"main.py\"",
        })?;
    let app = Reader::new(app, "app", "app".to_owned(), &mut warnings);

    let name = name(&app)?;
    let patterns = source(&app)?;
    let script = script(&app, &patterns)?;
    let towerfile = Towerfile {
        name,
        start: Start::Script(script),
        description: None,
        python: None,
        api: false,
        env: std::collections::BTreeMap::new(),
        log_order: LogOrder::default(),
        setup_seconds: None,
        source: patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        import_paths: import_paths(&app)?,
        timeout_seconds: timeout(&app, &mut warnings)?,
        max_retries: app.integer("max_retries", 0)?,
        schedule: app.string("schedule")?.map(str::to_owned),
        parameters: parameters(&root, &mut warnings)?,
    };
    Ok((towerfile, warnings))
}

fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Error::Syntax {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().replace('\n', ", "),
    }
}

fn name(app: &Reader<'_>) -> Result<String, Error> {
    let name = app
        .string("name")?
        .ok_or(Error::Missing { field: "app.name", help: "name the app, for example name = \"my-app\"" })?;
    match slug::violation(name) {
        Some(rule) => Err(app.invalid("name", &name.into(), format!("must {rule}"))),
        None => Ok(name.to_owned()),
    }
}

fn source(app: &Reader<'_>) -> Result<Vec<Pattern>, Error> {
    let patterns = app.strings("source", MAX_PATTERNS)?.unwrap_or_else(|| vec![DEFAULT_SOURCE]);
    if patterns.is_empty() {
        let empty = Value::Array(Vec::new());
        return Err(app.invalid(
            "source",
            &empty,
            "must name at least one pattern; leave it out for everything",
        ));
    }
    patterns
        .into_iter()
        .map(|text| {
            Pattern::new(text).map_err(|fault| app.invalid("source", &text.into(), fault.to_string()))
        })
        .collect()
}

fn script(app: &Reader<'_>, patterns: &[Pattern]) -> Result<String, Error> {
    let given = app.string("script")?.ok_or(Error::Missing {
        field: "app.script",
        help: "name the Python or shell file to start, for example script = \"main.py\"",
    })?;
    let script = relative(app, "script", given)?;
    let file = script.rsplit('/').next().unwrap_or_default();
    let ends_well = [".py", ".sh"].iter().any(|end| file.ends_with(end) && file.len() > end.len());
    if !ends_well || given.ends_with('/') {
        return Err(app.invalid("script", &given.into(), "must name a file that ends in .py or .sh"));
    }
    if !patterns.iter().any(|pattern| pattern.matches(&script)) {
        let rule = format!("must be matched by app.source: add {} to it", shown(&script));
        return Err(app.invalid("script", &given.into(), rule));
    }
    Ok(script)
}

fn import_paths(app: &Reader<'_>) -> Result<Vec<String>, Error> {
    let paths = app.strings("import_paths", MAX_IMPORT_PATHS)?.unwrap_or_default();
    paths
        .into_iter()
        .map(|given| {
            if given.contains(':') {
                let rule =
                    "must not contain `:`, which separates the folders of PYTHONPATH: rename the folder";
                return Err(app.invalid("import_paths", &given.into(), rule));
            }
            match relative(app, "import_paths", given)? {
                root if root.is_empty() && !given.is_empty() => Ok(".".to_owned()),
                root if root.is_empty() => Err(app.invalid(
                    "import_paths",
                    &given.into(),
                    "must not be empty: write \".\" for the root",
                )),
                path => Ok(path),
            }
        })
        .collect()
}

/// A path of the Towerfile in its normal form. Control characters are refused because paths travel in HTTP headers.
fn relative(app: &Reader<'_>, key: &str, given: &str) -> Result<String, Error> {
    if given.contains(char::is_control) {
        return Err(app.invalid(key, &given.into(), "must not contain control characters"));
    }
    normalise(given).map_err(|fault| {
        let rule = match fault {
            PathFault::Absolute => "must be relative to the project's root, not absolute".to_owned(),
            PathFault::Parent => "must not contain `..`: move it below the project's root".to_owned(),
            other => format!("is no good path: it {other}"),
        };
        app.invalid(key, &given.into(), rule)
    })
}

fn timeout(app: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<Option<i64>, Error> {
    let Some(table) = app.table("timeout", "write timeout = { seconds = 300 }")? else { return Ok(None) };
    Reader::new(table, "app.timeout", "app.timeout".to_owned(), warnings).integer("seconds", 1)
}

fn parameters(root: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<Parameter>, Error> {
    const RULE: &str = "must be a list of tables: write [[parameters]] above each parameter";
    let Some(value) = root.get("parameters") else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| root.invalid("parameters", value, RULE))?;
    let mut names = HashSet::new();
    let mut parameters = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let table = item.as_table().ok_or_else(|| root.invalid("parameters", item, RULE))?;
        let reader = Reader::new(table, "parameters", format!("parameters[{index}]"), warnings);
        let parameter = parameter(&reader)?;
        if !names.insert(parameter.name.clone()) {
            let value = parameter.name.as_str().into();
            return Err(reader.invalid("name", &value, "must be unique: another parameter has this name"));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

fn parameter(reader: &Reader<'_>) -> Result<Parameter, Error> {
    let name = reader.string("name")?.ok_or(Error::Missing {
        field: "parameters.name",
        help: "each of [[parameters]] needs a name, for example name = \"city\"",
    })?;
    let good = !name.is_empty()
        && name.len() <= MAX_PARAMETER_NAME_BYTES
        && !name.contains(|c: char| c == '=' || c.is_control());
    if !good {
        let rule = format!(
            "must be 1 to {MAX_PARAMETER_NAME_BYTES} bytes without `=` and control characters: \
             jobs find it as an environment variable"
        );
        return Err(reader.invalid("name", &name.into(), rule));
    }
    let kind = match reader.string("type")? {
        None => ParameterType::default(),
        Some(word) => ParameterType::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            reader.invalid("type", &word.into(), "must be one of string, number, integer, boolean")
        })?,
    };
    let default = reader
        .get("default")
        .map(|value| {
            json_of(kind, value)
                .ok_or_else(|| reader.invalid("default", value, format!("must be {}", default_rule(kind))))
        })
        .transpose()?;
    Ok(Parameter {
        name: name.to_owned(),
        description: reader.string("description")?.map(str::to_owned),
        kind,
        default,
        hidden: false,
    })
}

/// The default as JSON, when it is of the parameter's type.
fn json_of(kind: ParameterType, value: &Value) -> Option<serde_json::Value> {
    match (kind, value) {
        (ParameterType::String, Value::String(text)) => Some(text.as_str().into()),
        (ParameterType::Integer | ParameterType::Number, Value::Integer(number)) => Some((*number).into()),
        // JSON has neither infinity nor not-a-number.
        (ParameterType::Number, Value::Float(number)) => {
            serde_json::Number::from_f64(*number).map(serde_json::Value::Number)
        }
        (ParameterType::Boolean, Value::Boolean(truth)) => Some((*truth).into()),
        _ => None,
    }
}

const fn default_rule(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "a string, like the parameter: put it in quotes, or set its type",
        ParameterType::Number => "a finite number, like the parameter: write it without quotes",
        ParameterType::Integer => "a whole number, like the parameter: write it without quotes or fraction",
        ParameterType::Boolean => "true or false, like the parameter: write it without quotes",
    }
}
