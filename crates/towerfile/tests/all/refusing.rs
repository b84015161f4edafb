//! What is refused of a Towerfile, and in which words.

use minitower_towerfile::Towerfile;
use rstest::rstest;

use crate::parsing::{app, parse};

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
    "line 2: app.name = \"My App\" is not allowed: it must be 3 to 32 of a-z, 0-9 and -, and begin with a letter: \
     write name = \"my-app\""
)]
#[case::name_reserved("[app]\nname = 'default'\nscript = 'main.py'", "must not be one of the reserved")]
#[case::name_reserved_elsewhere("[app]\nname = 'API'\nscript = 'main.py'", "must be 3 to 32")]
#[case::name_too_short("[app]\nname = '1-a'\nscript = 'main.py'", "must be 3 to 32")]
#[case::name_of_another_platform(
    "[app]\nname = '16-ELT_pipeline'\nscript = 'main.py'",
    "write name = \"elt-pipeline\""
)]
#[case::script_turned_around("[app]\nname = 'my-app'\nscript = \"\u{202e}yp.niam\"", "control characters")]
#[case::script_empty("[app]\nname = 'my-app'\nscript = './'", "must name a file")]
#[case::script_folder("[app]\nname = 'my-app'\nscript = 'main.py/'", "must name a file")]
#[case::script_like_a_module("[app]\nname = 'my-app'\nscript = '-m x.py'", "name a module with app.module")]
#[case::both(
    "[app]\nname = 'my-app'\nscript = 'main.py'\nmodule = 'a'",
    "line 4: app.module = \"a\" is not allowed"
)]
#[case::module_path("[app]\nname = 'my-app'\nmodule = 'pkg/cli.py'", "name a file with app.script")]
#[case::module_file("[app]\nname = 'my-app'\nmodule = 'cli.py'", "name a file with app.script")]
#[case::module_hyphen(
    "[app]\nname = 'my-app'\nmodule = 'my-pkg.cli'",
    "letters, digits and _ between the dots"
)]
#[case::module_digit("[app]\nname = 'my-app'\nmodule = 'pkg.1'", "a module's dotted name")]
#[case::module_empty("[app]\nname = 'my-app'\nmodule = ''", "a module's dotted name")]
#[case::module_flag("[app]\nname = 'my-app'\nmodule = '-c'", "a module's dotted name")]
#[case::module_dots("[app]\nname = 'my-app'\nmodule = 'a..b'", "a module's dotted name")]
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
#[case::script_hidden(
    "[app]\nname = 'my-app'\nscript = '.main.py'\nsource = ['**']",
    "must be matched by app.source"
)]
#[case::toml("[app]\nname = 'x", "line 2, column 10")]
#[case::duplicate("[app]\nname = 'a'\nname = 'b'", "line 3, column 1: duplicate key")]
#[case::duplicate_table("[app]\nname = 'a'\n[app.env]\n[app.env]", "line 4, column")]
#[case::duplicate_variable(
    "[app]\nname = 'a'\n[app.env]\nA = '1'\nA = '2'",
    "line 5, column 1: duplicate key"
)]
fn refused(#[case] text: &str, #[case] message: &str) {
    let error = Towerfile::parse(text).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[rstest]
#[case("source = 'main.py'", "app.source = \"main.py\" is not allowed: it must be a list")]
#[case("source = [1]", "app.source = 1 is not allowed")]
#[case("source = ['main.py', '../x']", "app.source = \"../x\" is not allowed: it must not contain `..`")]
#[case("source = ['main.py', '/x']", "must be relative")]
#[case("source = ['main.py', '[x']", "is not a valid glob")]
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
#[case(
    "max_retries = -1",
    "app.max_retries = -1 is not allowed: it must be a whole number from 0 to 1000000"
)]
#[case(
    "max_retries = 1000001",
    "app.max_retries = 1000001 is not allowed: it must be a whole number from 0 to"
)]
#[case(
    "concurrency = 5",
    "app.concurrency = 5 is not allowed: it must be a table: write concurrency = { max = 1 }"
)]
#[case("concurrency = { key = 'db' }", "say how many runs may be active at the same time")]
#[case(
    "concurrency = { max = 0 }",
    "app.concurrency.max = 0 is not allowed: it must be a whole number from 1 to 1000000"
)]
#[case("concurrency = { max = 1, key = '' }", "must be one line of 1 to 200 bytes")]
#[case("schedule = 5", "app.schedule = 5 is not allowed: it must be a string")]
#[case("description = 5", "line 4: app.description = 5 is not allowed: it must be a string")]
#[case("python = '3.12'", "must say how versions compare: write \">=3.12\" for this and newer ones")]
#[case("python = 3.12", "app.python = 3.12 is not allowed: it must be a string")]
#[case("python = ''", "leave it out for any Python")]
#[case("python = '^3.12'", "must be a version specifier (PEP 440)")]
#[case("python = '>=three'", "must be a version specifier (PEP 440)")]
#[case("api = 'yes'", "app.api = \"yes\" is not allowed: it must be true or false")]
#[case("env = ['A=1']", "app.env = a list of 1 items is not allowed: it must be a table: write [app.env]")]
#[case("[app.env]\nA = 1", "line 5: app.env.A = 1 is not allowed: it must be a string")]
#[case(
    "[app.env]\nPATH = '/bin'",
    "line 5: app.env.PATH = \"/bin\" is not allowed: it is a variable that the runner sets"
)]
#[case("[app.env]\nLD_PRELOAD = 'x'", "the runner sets itself")]
#[case("[app.env]\nMINITOWER_X = 'x'", "the runner sets itself")]
#[case("[app.env]\n'A=B' = 'x'", "without `=` and control characters")]
#[case("[app.env]\n'' = 'x'", "a name of 1 to 128 bytes")]
#[case("[app.env]\nA = \"a\\u0000b\"", "must not contain a NUL character")]
#[case(
    "secrets = ['A']",
    "app.secrets = a list of 1 items is not allowed: it must be a table: write secrets = {"
)]
#[case("secrets = { names = 'A' }", "app.secrets.names = \"A\" is not allowed: it must be a list of strings")]
#[case(
    "secrets = { names = ['1A'] }",
    "app.secrets.names = \"1A\" is not allowed: it must be a secret's name"
)]
#[case("secrets = { names = ['A-B'] }", "it must be a secret's name: 1 to 128 of letters, digits and _")]
#[case("secrets = { names = [''] }", "it must be a secret's name")]
#[case("secrets = { names = ['PATH'] }", "it is a variable that the runner sets itself")]
#[case("secrets = { names = ['MINITOWER_API_TOKEN'] }", "it is a variable that the runner sets itself")]
#[case("secrets = { names = ['A', 'A'] }", "it must stand there once")]
#[case("secrets = { names = ['A'] }\nenv = { A = 'x' }", "it must not stand in [app.env] too")]
#[case("logs = 'exact'", "app.logs = \"exact\" is not allowed: it must be a table: write logs = { order")]
#[case(
    "logs = { order = 'mixed' }",
    "app.logs.order = \"mixed\" is not allowed: it must be \"streams\" or \"exact\""
)]
#[case("timeout = { setup_seconds = 0 }", "app.timeout.setup_seconds = 0 is not allowed")]
#[case(
    "timeout = { seconds = 5, setup_seconds = 6 }",
    "app.timeout.setup_seconds = 6 is not allowed: it must be at most app.timeout.seconds = 5"
)]
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
    "name = 'a'\nhidden = 'true'",
    "line 6: parameters[0].hidden = \"true\" is not allowed: it must be true or false"
)]
#[case(
    "name = 'a'\n[[parameters]]\nname = 'a'",
    "parameters[1].name = \"a\" is not allowed: it must be unique"
)]
fn refused_parameters(#[case] lines: &str, #[case] message: &str) {
    let error = parse(&app(&format!("[[parameters]]\n{lines}"))).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[rstest]
#[case("type = 'integer'\ndefault = 'hunter2'\nhidden = true")]
#[case("hidden = true\ndefault = ['hunter2']")]
#[case("hidden = true\ndefault = hunter2")]
#[case("hidden = true\ndefault = 'a'\ndefault = 'hunter2'")]
#[case("hidden = 'yes'\ntype = 'integer'\ndefault = 'hunter2'")]
#[case("hidden = true\ndefualt = 'hunter2'")]
fn the_default_of_a_hidden_parameter_is_told_nowhere(#[case] lines: &str) {
    let text = app(&format!("[[parameters]]\nname = 'pin'\n{lines}"));
    let error = Towerfile::parse_strict(&text).unwrap_err().to_string();
    assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
}

#[test]
fn parameters_in_one_table_are_refused() {
    let error = parse(&app("[parameters]\ncity = 'Bern'")).unwrap_err().to_string();
    assert!(error.contains("write [[parameters]] above each parameter"), "{error}");
}

#[rstest]
#[case("timeot = { seconds = 5 }", 4, "app.timeot", "did you mean `timeout`?")]
#[case("Source = []", 4, "app.Source", "did you mean `source`?")]
#[case("max-retries = 1", 4, "app.max-retries", "did you mean `max_retries`?")]
#[case("colour = 'red'", 4, "app.colour", "the keys of [app] are name, script, module, description")]
#[case("seconds = 5", 4, "app.seconds", "belongs in the table [app.timeout]")]
#[case("order = 'exact'", 4, "app.order", "belongs in the table [app.logs]")]
#[case("names = ['A']", 4, "app.names", "belongs in the table [app.secrets]")]
#[case("default = 5", 4, "app.default", "belongs into [[parameters]]")]
#[case("hiden = true", 4, "app.hiden", "did you mean `hidden` in [[parameters]]?")]
#[case("[app.timeout]\nminutes = 5", 5, "app.timeout.minutes", "the keys of [app.timeout] are seconds")]
#[case("[app.logs]\nodrer = 'exact'", 5, "app.logs.odrer", "did you mean `order`?")]
#[case(
    "[[parameters]]\nname = 'a'\nrequired = true",
    6,
    "parameters[0].required",
    "the keys of [[parameters]] are name"
)]
#[case("[tool]\nx = 1", 4, "tool", "the file's tables are [app] and [[parameters]]")]
#[case("[[parameter]]\nname = 'x'", 4, "parameter", "did you mean `parameters`?")]
#[case("[[app.parameters]]\nname = 'x'", 4, "app.parameters", "belongs to the top level")]
#[case(
    "[app.concurrency]\nmax = 1\nlimit = 2",
    6,
    "app.concurrency.limit",
    "the keys of [app.concurrency] are key, max"
)]
fn unknown_keys_are_named(#[case] lines: &str, #[case] line: usize, #[case] key: &str, #[case] help: &str) {
    let (_, warnings) = Towerfile::parse(&app(lines)).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].key.as_str(), warnings[0].line), (key, Some(line)));
    let message = warnings[0].to_string();
    assert!(message.contains(help) && message.contains("is ignored"), "{message}");
    let error = Towerfile::parse_strict(&app(lines)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {line}: there is no key \"{key}\": ")), "{error}");
    assert!(error.contains(help), "{error}");
}

#[rstest]
#[case(
    "[app]\nnmae='a-b'\nscript='m.py'",
    "line 2: there is no key \"app.nmae\": did you mean `name`?; app.name is missing"
)]
#[case("[app]\nname='a-b'\nscirpt='m.py'", "did you mean `script`?; app.script is missing")]
#[case("[app]\nname='a-b'\nmodlue='m'", "did you mean `module`?; app.script is missing")]
#[case("[App]\nname='a-b'\nscript='m.py'", "did you mean `app`?; [app] is missing")]
#[case(
    "[app]\nname='a-b'\nscript='m.py'\n[[parameters]]\nname='x'\n[[parameters]]\nnmae='y'",
    "\"parameters[1].nmae\": did you mean `name`?; parameters.name is missing"
)]
fn a_slip_in_a_required_key_is_told_as_what_it_is(#[case] text: &str, #[case] told: &str) {
    for error in [Towerfile::parse(text).unwrap_err(), Towerfile::parse_strict(text).unwrap_err()] {
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn a_required_key_that_is_not_there_at_all_is_missing() {
    let error = Towerfile::parse("[app]\nname='a-b'\nretires=1").unwrap_err();
    assert!(error.to_string().starts_with("app.script is missing"), "{error}");
}
