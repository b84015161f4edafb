//! Every rule of a Towerfile.

#![allow(clippy::unwrap_used, reason = "tests")]

use minitower_towerfile::{Error, ParameterType, Towerfile};
use proptest::prelude::*;
use rstest::rstest;

fn parse(text: &str) -> Result<Towerfile, Error> {
    Towerfile::parse(text).map(|(towerfile, warnings)| {
        assert_eq!(warnings, [], "{text}");
        towerfile
    })
}

/// A Towerfile whose table `[app]` ends with `lines`.
fn app(lines: &str) -> String {
    format!("[app]\nname = \"my-app\"\nscript = \"main.py\"\n{lines}\n")
}

#[test]
fn everything_given() {
    let towerfile = parse(
        r#"
        [app]
        name = "my-app"
        script = "./src/main.py"
        source = ["./src/**", "*.toml"]
        import_paths = ["./lib/", "src//shared", "."]
        max_retries = 3
        schedule = "*/5 * * * *"

        [app.timeout]
        seconds = 60

        [[parameters]]
        name = "city"
        description = "Where"
        default = "Bern"

        [[parameters]]
        name = "days"
        type = "integer"
        default = 7

        [[parameters]]
        name = "factor"
        type = "number"
        default = 1

        [[parameters]]
        name = "dry-run"
        type = "boolean"
        "#,
    )
    .unwrap();
    assert_eq!(towerfile.name, "my-app");
    assert_eq!(towerfile.start.entrypoint(), "src/main.py");
    assert_eq!(towerfile.source, ["./src/**", "*.toml"]);
    assert_eq!(towerfile.import_paths, ["lib", "src/shared", "."]);
    assert_eq!(towerfile.timeout_seconds, Some(60));
    assert_eq!(towerfile.max_retries, Some(3));
    assert_eq!(towerfile.schedule.as_deref(), Some("*/5 * * * *"));
    let kinds: Vec<_> = towerfile.parameters.iter().map(|parameter| parameter.kind).collect();
    assert_eq!(
        kinds,
        [ParameterType::String, ParameterType::Integer, ParameterType::Number, ParameterType::Boolean]
    );
    let expected: serde_json::Value = serde_json::from_str(
        r#"{"type":"object","properties":{
            "city":{"type":"string","description":"Where","default":"Bern"},
            "days":{"type":"integer","default":7},
            "factor":{"type":"number","default":1},
            "dry-run":{"type":"boolean"}}}"#,
    )
    .unwrap();
    assert_eq!(towerfile.params_schema(), Some(expected));
}

#[test]
fn only_what_is_required() {
    let towerfile = parse(&app("")).unwrap();
    assert_eq!(towerfile.source, ["./**"]);
    assert!(towerfile.import_paths.is_empty() && towerfile.parameters.is_empty());
    assert_eq!((towerfile.timeout_seconds, towerfile.max_retries, &towerfile.schedule), (None, None, &None));
    assert_eq!(towerfile.params_schema(), None);
}

#[rstest]
#[case::zero_retries("max_retries = 0")]
#[case::one_second("timeout = { seconds = 1 }")]
#[case::empty_timeout("timeout = {}")]
#[case::folder_as_pattern("source = ['main.py', 'lib']")]
#[case::no_parameters("[[parameters]]\nname = 'a'\ntype = 'number'\ndefault = -1.5")]
fn allowed(#[case] lines: &str) {
    parse(&app(lines)).unwrap();
}

#[rstest]
#[case::no_app("", "[app] is missing")]
#[case::app_no_table("app = 1", "app = 1 is not allowed: it must be a table")]
#[case::no_name("[app]\nscript = 'main.py'", "app.name is missing")]
#[case::no_script("[app]\nname = 'my-app'", "app.script is missing")]
#[case::name_no_string(
    "[app]\nname = 5\nscript = 'main.py'",
    "app.name = 5 is not allowed: it must be a string"
)]
#[case::name_no_slug(
    "[app]\nname = 'My App'\nscript = 'main.py'",
    "app.name = \"My App\" is not allowed: it must be 3 to 32"
)]
#[case::name_reserved("[app]\nname = 'default'\nscript = 'main.py'", "must not be one of the reserved")]
#[case::script_kind("[app]\nname = 'my-app'\nscript = 'main.js'", "must name a file that ends in .py or .sh")]
#[case::script_only_suffix("[app]\nname = 'my-app'\nsource = ['.py']\nscript = '.py'", "ends in .py or .sh")]
#[case::script_folder("[app]\nname = 'my-app'\nscript = 'main.py/'", "ends in .py or .sh")]
#[case::script_absolute("[app]\nname = 'my-app'\nscript = '/main.py'", "must be relative")]
#[case::script_parent("[app]\nname = 'my-app'\nscript = '../main.py'", "must not contain `..`")]
#[case::script_control(
    "[app]\nname = 'my-app'\nscript = \"a\\nb.py\"",
    "must not contain control characters"
)]
#[case::script_not_matched(
    "[app]\nname = 'my-app'\nscript = 'main.py'\nsource = ['src/**']",
    "must be matched by app.source: add \"main.py\""
)]
#[case::script_hidden("[app]\nname = 'my-app'\nscript = '.main.py'", "must be matched by app.source")]
#[case::toml("[app]\nname = 'x", "line 2, column 10")]
#[case::duplicate("[app]\nname = 'a'\nname = 'b'", "line 3, column 1")]
fn refused(#[case] text: &str, #[case] message: &str) {
    let error = Towerfile::parse(text).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[rstest]
#[case("source = 'main.py'", "app.source = \"main.py\" is not allowed: it must be a list")]
#[case("source = []", "app.source = a list of 0 items is not allowed: it must name at least one pattern")]
#[case("source = [1]", "app.source = 1 is not allowed")]
#[case("source = ['main.py', '../x']", "app.source = \"../x\" is not allowed: it must not contain `..`")]
#[case("source = ['main.py', '/x']", "must be relative")]
#[case("source = ['main.py', '[x']", "is no valid glob")]
#[case("import_paths = ['/lib']", "app.import_paths = \"/lib\" is not allowed: it must be relative")]
#[case("import_paths = ['../lib']", "must not contain `..`")]
#[case("import_paths = ['a:b']", "must not contain `:`")]
#[case("import_paths = ['']", "must not be empty")]
#[case(
    "timeout = 5",
    "app.timeout = 5 is not allowed: it must be a table: write timeout = { seconds = 300 }"
)]
#[case(
    "timeout = { seconds = 0 }",
    "app.timeout.seconds = 0 is not allowed: it must be a whole number of at least 1"
)]
#[case("timeout = { seconds = 1.5 }", "whole number of at least 1")]
#[case("timeout = { seconds = '1' }", "whole number of at least 1")]
#[case("max_retries = -1", "app.max_retries = -1 is not allowed: it must be a whole number of at least 0")]
#[case("schedule = 5", "app.schedule = 5 is not allowed: it must be a string")]
fn refused_in_app(#[case] lines: &str, #[case] message: &str) {
    let error = parse(&app(lines)).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[rstest]
#[case("", "parameters.name is missing")]
#[case("name = ''", "must be 1 to 128 bytes")]
#[case("name = 'a=b'", "must be 1 to 128 bytes")]
#[case("name = \"a\\u0000\"", "must be 1 to 128 bytes")]
#[case(
    "name = 'a'\ntype = 'text'",
    "parameters[0].type = \"text\" is not allowed: it must be one of string, number"
)]
#[case("name = 'a'\ndescription = 1", "parameters[0].description = 1 is not allowed")]
#[case("name = 'a'\ndefault = 1", "parameters[0].default = 1 is not allowed: it must be a string")]
#[case("name = 'a'\ntype = 'number'\ndefault = '1'", "must be a finite number")]
#[case("name = 'a'\ntype = 'number'\ndefault = inf", "must be a finite number")]
#[case("name = 'a'\ntype = 'integer'\ndefault = 1.0", "must be a whole number")]
#[case("name = 'a'\ntype = 'boolean'\ndefault = 'true'", "must be true or false")]
#[case(
    "name = 'a'\n[[parameters]]\nname = 'a'",
    "parameters[1].name = \"a\" is not allowed: it must be unique"
)]
fn refused_parameters(#[case] lines: &str, #[case] message: &str) {
    let error = parse(&app(&format!("[[parameters]]\n{lines}"))).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn parameters_in_one_table_are_refused() {
    let error = parse(&app("[parameters]\ncity = 'Bern'")).unwrap_err().to_string();
    assert!(error.contains("write [[parameters]] above each parameter"), "{error}");
}

#[rstest]
#[case("timeot = { seconds = 5 }", "app.timeot", "the keys of [app] are name, script, source")]
#[case("seconds = 5", "app.seconds", "belongs into the table [app.timeout]")]
#[case("default = 5", "app.default", "belongs into [[parameters]]")]
#[case("[app.timeout]\nminutes = 5", "app.timeout.minutes", "the keys of [app.timeout] are seconds")]
#[case(
    "[[parameters]]\nname = 'a'\nrequired = true",
    "parameters[0].required",
    "the keys of [[parameters]] are name"
)]
#[case("[tool]\nx = 1", "tool", "the file's tables are [app] and [[parameters]]")]
#[case("[[app.parameters]]\nname = 'x'", "app.parameters", "belongs to the top level")]
fn unknown_keys_warn(#[case] lines: &str, #[case] key: &str, #[case] help: &str) {
    let (_, warnings) = Towerfile::parse(&app(lines)).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, key);
    let message = warnings[0].to_string();
    assert!(message.contains(help), "{message}");
}

#[test]
fn a_name_outside_a_table_is_explained() {
    let (_, warnings) = Towerfile::parse(&format!("schedule = 'x'\n{}", app(""))).unwrap();
    assert_eq!(
        warnings[0].to_string(),
        "unknown key \"schedule\" is ignored: `schedule` belongs into the table [app]"
    );
}

#[test]
fn too_much_text_is_refused_before_it_is_parsed() {
    let text = app(&format!("# {}", "x".repeat(256 * 1024)));
    assert!(matches!(Towerfile::parse(&text), Err(Error::TooLarge { .. })));
}

#[rstest]
#[case::lists("[", 100_000)]
#[case::tables("a.", 100_000)]
#[case::inline("{a=", 60_000)]
fn deep_nesting_is_no_trouble(#[case] part: &str, #[case] times: usize) {
    assert!(Towerfile::parse(&format!("x = {}", part.repeat(times))).is_err());
    let _ = Towerfile::parse(&format!("{}b = 1", part.repeat(times)));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Towerfile::parse(&text);
    }

    #[test]
    fn no_toml_panics(
        name in "[a-z0-9-]{0,40}", script in "[a-z./]{0,20}(py|sh)", source in "[a-z*./{}\\[\\]?!,-]{0,30}",
        seconds in any::<i64>(), default in prop_oneof!["[0-9]{1,3}", "'[a-z]{0,5}'", "true", "nan"],
        kind in "(string|number|integer|boolean|x)",
    ) {
        let text = format!(
            "[app]\nname = '{name}'\nscript = '{script}'\nsource = ['{source}', '**']\nimport_paths = ['{source}']\n\
             timeout = {{ seconds = {seconds} }}\n[[parameters]]\nname = 'a'\ntype = '{kind}'\ndefault = {default}\n"
        );
        if let Ok((towerfile, _)) = Towerfile::parse(&text) {
            let started = towerfile.start.entrypoint();
            prop_assert!(!started.contains("..") && !started.starts_with('/'));
            prop_assert!(towerfile.params_schema().is_some());
        }
    }
}
