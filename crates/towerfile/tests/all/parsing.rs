//! Every rule of a Towerfile.

use minitower_towerfile::{Error, LogOrder, ParameterType, Start, Towerfile};
use proptest::prelude::*;
use rstest::rstest;

pub fn parse(text: &str) -> Result<Towerfile, Error> {
    Towerfile::parse(text).map(|(towerfile, warnings)| {
        assert_eq!(warnings, [], "{text}");
        towerfile
    })
}

/// A Towerfile whose table `[app]` ends with `lines`.
pub fn app(lines: &str) -> String {
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
fn everything_newer() {
    let towerfile = parse(
        r#"
        [app]
        name = "elt-pipeline"
        module = "pkg.cli"
        description = " Loads "
        source = []
        python = " >=3.11, <3.14 "
        api = true

        [app.env]
        LOG_LEVEL = "debug"
        lower = ""

        [app.secrets]
        names = ["WAREHOUSE_PASSWORD", "_token2"]

        [app.logs]
        order = "exact"

        [app.timeout]
        seconds = 60
        setup_seconds = 60

        [[parameters]]
        name = "key"
        default = "x"
        hidden = true
        "#,
    )
    .unwrap();
    assert_eq!(towerfile.start, Start::Module("pkg.cli".to_owned()));
    assert_eq!(towerfile.start.entrypoint(), "-m pkg.cli");
    assert_eq!(towerfile.description.as_deref(), Some("Loads"));
    assert_eq!(towerfile.python.as_deref(), Some(">=3.11, <3.14"));
    assert!(towerfile.api && towerfile.source.is_empty());
    assert_eq!(
        towerfile.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["LOG_LEVEL=debug", "lower="]
    );
    assert_eq!(towerfile.secrets, ["WAREHOUSE_PASSWORD", "_token2"]);
    assert_eq!(towerfile.log_order, LogOrder::Exact);
    assert_eq!((towerfile.timeout_seconds, towerfile.setup_seconds), (Some(60), Some(60)));
    let schema = serde_json::json!({"type": "object", "properties": {
        "key": {"type": "string", "default": "x", "writeOnly": true}}});
    assert_eq!(towerfile.params_schema(), Some(schema));
}

#[test]
fn only_what_is_required() {
    let towerfile = parse(&app("")).unwrap();
    assert!(towerfile.source.is_empty());
    assert!(towerfile.import_paths.is_empty() && towerfile.parameters.is_empty());
    assert_eq!((towerfile.timeout_seconds, towerfile.max_retries, &towerfile.schedule), (None, None, &None));
    assert_eq!(towerfile.params_schema(), None);
}

#[rstest]
#[case::zero_retries("max_retries = 0")]
#[case::one_second("timeout = { seconds = 1 }")]
#[case::empty_timeout("timeout = {}")]
#[case::empty_source("source = []")]
#[case::empty_description("description = ''")]
#[case::no_api("api = false")]
#[case::exact_python("python = '==3.12.*'")]
#[case::streams("logs = { order = 'streams' }")]
#[case::no_variables("env = {}")]
#[case::odd_variable("env = { 'a.b' = 'x' }")]
#[case::setup_alone("timeout = { setup_seconds = 1000 }")]
#[case::folder_as_pattern("source = ['main.py', 'lib']")]
#[case::no_parameters("[[parameters]]\nname = 'a'\ntype = 'number'\ndefault = -1.5")]
fn allowed(#[case] lines: &str) {
    parse(&app(lines)).unwrap();
}

#[test]
fn many_unknown_keys_are_counted() {
    let lines = (0..50).map(|number| format!("unheard-of-{number} = 1")).collect::<Vec<_>>().join("\n");
    let error = Towerfile::parse_strict(&app(&lines)).unwrap_err().to_string();
    assert!(error.ends_with("; and 45 more unknown keys") && error.len() < 2000, "{error}");
}

#[test]
fn strict_parsing_takes_what_lenient_parsing_takes_without_warning() {
    let text = app("description = 'x'");
    assert_eq!(Towerfile::parse_strict(&text).unwrap(), Towerfile::parse(&text).unwrap().0);
}

#[test]
fn a_byte_order_mark_and_crlf_do_no_harm() {
    let text = format!("\u{feff}{}", app("timeout = { seconds = 5 }").replace('\n', "\r\n"));
    assert_eq!(parse(&text).unwrap().timeout_seconds, Some(5));
    let error = Towerfile::parse(&text.replace("= 5 ", "= 0 ")).unwrap_err().to_string();
    assert!(error.starts_with("line 4: "), "{error}");
}

#[test]
fn a_name_outside_a_table_is_explained() {
    let (_, warnings) = Towerfile::parse(&format!("schedule = 'x'\n{}", app(""))).unwrap();
    assert_eq!(
        warnings[0].to_string(),
        "line 1: unknown key \"schedule\" is ignored: `schedule` belongs in the table [app]"
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
            prop_assert!(started.split('/').all(|part| part != "..") && !started.starts_with('/'));
            prop_assert!(towerfile.params_schema().is_some());
        }
    }
}
