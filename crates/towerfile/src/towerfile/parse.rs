//! From TOML to a [`Towerfile`]: every rule of every field.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;
use toml::Value;
use toml::de::DeTable;

use super::lines::Lines;
use super::parameters::parameters;
use super::table::Reader;
use super::{
    Concurrency, Error, LogOrder, MAX_BYTES, MAX_CONCURRENCY, MAX_RETRIES, Start, Towerfile, Warning,
};
use crate::near::shown;
use crate::path::{PathFault, normalise};
use crate::source::{MAX_PATTERNS, Pattern};
use crate::{slug, variables};

/// Most folders in `app.import_paths`: they travel in one HTTP header.
const MAX_IMPORT_PATHS: usize = 32;

/// Most characters of `app.description`, which is a sentence for people.
const MAX_DESCRIPTION_CHARS: usize = 1000;

/// Most bytes of a module's name, and of `app.python`.
const MAX_WORD_BYTES: usize = 256;

/// Most bytes of a variable's name in `app.env`.
const MAX_VARIABLE_NAME_BYTES: usize = 128;

/// Most variables in `app.env`.
const MAX_VARIABLES: usize = 256;

/// Longest `app.concurrency.key`.
const MAX_KEY_BYTES: usize = 200;

/// Most names in `app.secrets`: an environment has no more.
const MAX_SECRETS: usize = 100;

pub(super) fn parse(text: &str) -> Result<(Towerfile, Vec<Warning>), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: text.len() });
    }
    let (document, lines) = read(text)?;
    let mut warnings = Vec::new();
    match fields(&document, &lines, &mut warnings) {
        Ok(towerfile) => Ok((towerfile, warnings)),
        Err(error) => Err(error.or_slip(&warnings)),
    }
}

fn fields(document: &toml::Table, lines: &Lines, warnings: &mut Vec<Warning>) -> Result<Towerfile, Error> {
    let root = Reader::root(document, lines, warnings);
    let app =
        root.table("app", "write [app] on a line of its own, its keys below")?.ok_or(Error::Missing {
            field: "[app]",
            help: "write a table [app] with name = \"my-app\" and script = \"main.py\"",
        })?;
    let app = root.inner(app, "app", "app".to_owned(), warnings);

    let name = name(&app)?;
    let patterns = source(&app)?;
    let start = start(&app, &patterns)?;
    let (timeout_seconds, setup_seconds) = timeout(&app, warnings)?;
    Ok(Towerfile {
        name,
        start,
        description: description(&app)?,
        python: python(&app)?,
        api: app.boolean("api")?.unwrap_or(false),
        env: env(&app)?,
        secrets: secrets(&app, warnings)?,
        log_order: log_order(&app, warnings)?,
        source: patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        import_paths: import_paths(&app)?,
        timeout_seconds,
        setup_seconds,
        max_retries: app.integer_up_to("max_retries", MAX_RETRIES)?,
        concurrency: concurrency(&app, warnings)?,
        schedule: app.string("schedule")?.map(str::to_owned),
        parameters: parameters(&root, warnings)?,
    })
}

/// The document, and where what stands in it.
fn read(text: &str) -> Result<(toml::Table, Lines), Error> {
    let document = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let lines = Lines::new(text, document.get_ref());
    let table = toml::Table::deserialize(toml::de::Deserializer::from(document));
    Ok((table.map_err(|error| syntax(text, &error))?, lines))
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
    let Some(rule) = slug::violation(name) else { return Ok(name.to_owned()) };
    let way_out = slug::nearest(name).map(|slug| format!(": write name = \"{slug}\"")).unwrap_or_default();
    Err(app.invalid("name", &name.into(), format!("must {rule}{way_out}")))
}

fn description(app: &Reader<'_>) -> Result<Option<String>, Error> {
    let Some(text) = app.string("description")? else { return Ok(None) };
    if text.chars().count() > MAX_DESCRIPTION_CHARS {
        let rule = format!("must have at most {MAX_DESCRIPTION_CHARS} characters: keep the rest in a README");
        return Err(app.invalid("description", &text.into(), rule));
    }
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Which Pythons may run the app, by PEP 440.
fn python(app: &Reader<'_>) -> Result<Option<String>, Error> {
    let Some(given) = app.string("python")? else { return Ok(None) };
    let text = given.trim();
    if text.is_empty() || text.len() > MAX_WORD_BYTES {
        let rule = "must be a version specifier such as \">=3.12\"; leave it out for any Python";
        return Err(app.invalid("python", &given.into(), rule));
    }
    match VersionSpecifiers::from_str(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(_) if Version::from_str(text).is_ok() => {
            let rule = format!(
                "must say how versions compare: write \">={text}\" for this and newer ones, or \"=={text}.*\""
            );
            Err(app.invalid("python", &given.into(), rule))
        }
        Err(_) => {
            let rule = "must be a version specifier (PEP 440), such as \">=3.12\" or \">=3.11,<3.14\"";
            Err(app.invalid("python", &given.into(), rule))
        }
    }
}

fn env(app: &Reader<'_>) -> Result<BTreeMap<String, String>, Error> {
    let variables = app.own_strings("env", "write [app.env] on a line of its own, NAME = \"value\" below")?;
    if variables.len() > MAX_VARIABLES {
        let table = Value::Table(toml::Table::new());
        return Err(app.invalid("env", &table, format!("must have at most {MAX_VARIABLES} variables")));
    }
    for &(name, value) in &variables {
        let fault = |rule: &str| Err(app.invalid(&format!("env.{}", bare(name)), &value.into(), rule));
        let odd = |c: char| c == '=' || c.is_control();
        if name.is_empty() || name.len() > MAX_VARIABLE_NAME_BYTES || name.contains(odd) {
            return fault("must have a name of 1 to 128 bytes without `=` and control characters");
        }
        if variables::is_reserved(name, variables::Setter::Author) {
            return fault(
                "is a variable that the runner sets itself, or that makes programs run other code: give it another name",
            );
        }
        if value.contains('\0') {
            return fault("must not contain a NUL character");
        }
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The names of the secrets that runs get.
fn secrets(app: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<String>, Error> {
    let Some(table) = app.table("secrets", "write secrets = { names = [\"API_KEY\"] }")? else {
        return Ok(Vec::new());
    };
    let declared = app.table("env", "write [app.env] on a line of its own")?;
    let secrets = app.inner(table, "app.secrets", "app.secrets".to_owned(), warnings);
    let mut names: Vec<String> = Vec::new();
    for name in secrets.strings("names", MAX_SECRETS)?.unwrap_or_default() {
        let fault = |rule: &str| Err(secrets.invalid("names", &name.into(), rule));
        let begins = |c: char| c == '_' || c.is_ascii_alphabetic();
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.len() > MAX_VARIABLE_NAME_BYTES || !name.starts_with(begins) || !name.chars().all(is_name) {
            return fault(
                "must be a secret's name: 1 to 128 of letters, digits and _, not beginning with a digit",
            );
        }
        if variables::is_reserved(name, variables::Setter::Author) {
            return fault(
                "is a variable that the runner sets itself, or that makes programs run other code: no secret has this name",
            );
        }
        if declared.is_some_and(|declared| declared.contains_key(name)) {
            return fault("must not stand in [app.env] too: keep one of them");
        }
        if names.iter().any(|former| former == name) {
            return fault("must stand there once");
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// A key as it would stand in the file.
fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain && key.len() <= MAX_VARIABLE_NAME_BYTES { key.to_owned() } else { shown(key).to_string() }
}

fn log_order(app: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<LogOrder, Error> {
    let Some(table) = app.table("logs", "write logs = { order = \"exact\" }")? else {
        return Ok(LogOrder::default());
    };
    let logs = app.inner(table, "app.logs", "app.logs".to_owned(), warnings);
    match logs.string("order")? {
        None | Some("streams") => Ok(LogOrder::Streams),
        Some("exact") => Ok(LogOrder::Exact),
        Some(other) => Err(logs.invalid("order", &other.into(), "must be \"streams\" or \"exact\"")),
    }
}

/// How many of its runs may be active at the same time.
fn concurrency(app: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<Option<Concurrency>, Error> {
    let Some(table) = app.table("concurrency", "write concurrency = { max = 1 }")? else { return Ok(None) };
    let shared = app.inner(table, "app.concurrency", "app.concurrency".to_owned(), warnings);
    let max = shared.count_up_to("max", MAX_CONCURRENCY)?.ok_or(Error::Missing {
        field: "app.concurrency.max",
        help: "say how many runs may be active at the same time, for example max = 1",
    })?;
    let key = shared.string("key")?;
    if let Some(key) = key
        && (key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control))
    {
        let rule = format!("must be one line of 1 to {MAX_KEY_BYTES} bytes; leave it out for the app's name");
        return Err(shared.invalid("key", &key.into(), rule));
    }
    Ok(Some(Concurrency { key: key.map(str::to_owned), max }))
}

/// The patterns; none where everything is meant.
fn source(app: &Reader<'_>) -> Result<Vec<Pattern>, Error> {
    let patterns = app.strings("source", MAX_PATTERNS)?.unwrap_or_default();
    patterns
        .into_iter()
        .map(|text| {
            Pattern::new(text).map_err(|fault| app.invalid("source", &text.into(), fault.to_string()))
        })
        .collect()
}

fn start(app: &Reader<'_>, patterns: &[Pattern]) -> Result<Start, Error> {
    match (app.string("script")?, app.string("module")?) {
        (Some(given), None) => script(app, given, patterns).map(Start::Script),
        (None, Some(given)) => module(app, given).map(Start::Module),
        (Some(_), Some(module)) => {
            Err(app.invalid("module", &module.into(), "must not stand beside app.script: keep one of them"))
        }
        (None, None) => Err(Error::Missing {
            field: "app.script",
            help: "name the file to start, for example script = \"main.py\", or a module: module = \"pkg.cli\"",
        }),
    }
}

fn script(app: &Reader<'_>, given: &str, patterns: &[Pattern]) -> Result<String, Error> {
    let script = relative(app, "script", given)?;
    if script.is_empty() || given.ends_with('/') {
        return Err(app.invalid("script", &given.into(), "must name a file, for example \"main.py\""));
    }
    if Start::from_entrypoint(&script) != Start::Script(script.clone()) {
        let rule = "must not begin with `-m `: name a module with app.module";
        return Err(app.invalid("script", &given.into(), rule));
    }
    if !patterns.is_empty() && !patterns.iter().any(|pattern| pattern.matches(&script)) {
        let rule = format!("must be matched by app.source: add {} to it", shown(&script));
        return Err(app.invalid("script", &given.into(), rule));
    }
    Ok(script)
}

/// A dotted name of Python: identifiers joined by `.`.
fn module(app: &Reader<'_>, given: &str) -> Result<String, Error> {
    if std::path::Path::new(given).extension().is_some_and(|end| end == "py") || given.contains('/') {
        let rule = "must be a module's dotted name, such as \"pkg.cli\": name a file with app.script";
        return Err(app.invalid("module", &given.into(), rule));
    }
    let begins = |c: char| c == '_' || c.is_alphabetic();
    let identifier =
        |part: &str| part.starts_with(begins) && part.chars().all(|c| c == '_' || c.is_alphanumeric());
    if given.len() > MAX_WORD_BYTES || !given.split('.').all(identifier) {
        let rule =
            "must be a module's dotted name, such as \"pkg.cli\": letters, digits and _ between the dots";
        return Err(app.invalid("module", &given.into(), rule));
    }
    Ok(given.to_owned())
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

/// A path of the Towerfile in its normal form. Control characters are refused because paths travel in HTTP headers,
/// and those that turn text around because people would read another path.
fn relative(app: &Reader<'_>, key: &str, given: &str) -> Result<String, Error> {
    let turns_around = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if given.contains(|c: char| c.is_control() || turns_around(c)) {
        return Err(app.invalid(key, &given.into(), "must not contain control characters"));
    }
    normalise(given).map_err(|fault| {
        let rule = match fault {
            PathFault::Absolute => "must be relative to the project's root, not absolute".to_owned(),
            PathFault::Parent => "must not contain `..`: move it below the project's root".to_owned(),
            other => format!("is not a valid path: it {other}"),
        };
        app.invalid(key, &given.into(), rule)
    })
}

fn timeout(app: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<(Option<i64>, Option<i64>), Error> {
    let Some(table) = app.table("timeout", "write timeout = { seconds = 300 }")? else {
        return Ok((None, None));
    };
    let timeout = app.inner(table, "app.timeout", "app.timeout".to_owned(), warnings);
    let (seconds, setup) = (timeout.integer("seconds", 1)?, timeout.integer("setup_seconds", 1)?);
    match (seconds, setup) {
        (Some(seconds), Some(setup)) if setup > seconds => {
            let rule = format!("must be at most app.timeout.seconds = {seconds}, of which it is a part");
            Err(timeout.invalid("setup_seconds", &setup.into(), rule))
        }
        both => Ok(both),
    }
}
