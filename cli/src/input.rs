//! A run's input from `--input` and `-p key=value`.

use std::borrow::Cow;
use std::io::Read;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use minitower_client::json::NotJson;
use minitower_towerfile::{near, shell};
use serde_json::{Map, Number, Value};

use crate::failure::Explained;

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// `--input` names a place that cannot be read.
    #[error("--input: cannot read {place}")]
    Unreadable {
        /// A file, or standard input.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--input` is not JSON.
    #[error("--input is not valid JSON")]
    NotJson(#[source] NotJson),
    /// A key is given twice. Its values are not told: one may be secret, and the person knows them.
    #[error("-p {key} is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A key is given in both ways.
    #[error("`{key}` is given twice: with -p and in --input")]
    InBoth {
        /// The key.
        key: String,
    },
    /// The version has no such parameter.
    #[error("{app} has no parameter `{key}`{}", meant.as_ref().map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default())]
    Unknown {
        /// The app.
        app: String,
        /// The key.
        key: String,
        /// The parameter that was probably meant.
        meant: Option<String>,
        /// All parameters.
        known: Vec<String>,
    },
    /// `--input` is JSON, but no object.
    #[error("--input must be a JSON object")]
    NotAnObject,
    /// A value does not have the type of its parameter.
    #[error("-p {key}: {} is not of type {}", value.as_ref().map_or("its value".to_owned(), |value| format!("`{value}`")), types.join(" or "))]
    Mismatch {
        /// The parameter.
        key: String,
        /// The value, unless it may be hidden.
        value: Option<String>,
        /// The types that the schema allows.
        types: Vec<String>,
    },
}

impl Explained for InputError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Unreadable { .. } => return None,
            Self::NotJson(_) => {
                "write an object such as '{\"name\":\"world\"}', @FILE, or - for standard input".into()
            }
            Self::Twice { key } => {
                format!("keep one of them; for a list, write -p {}='[1,2]'", shell::quoted(key)).into()
            }
            Self::InBoth { key } => {
                format!("keep one of them: leave -p {} out, or take it out of --input", shell::quoted(key))
                    .into()
            }
            Self::Unknown { known, .. } if known.is_empty() => {
                "it has no parameters; pass --allow-unknown to send it as it is".into()
            }
            Self::Unknown { known, .. } => {
                format!("it has {}; pass --allow-unknown to send it as it is", known.join(", ")).into()
            }
            Self::NotAnObject => "write it like '{\"name\":\"world\"}'".into(),
            Self::Mismatch { key, types, .. } => {
                format!("write {}", example(key, types.first().map_or("", String::as_str))).into()
            }
        })
    }
}

/// One `-p key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    key: String,
    value: String,
}

impl Param {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl std::str::FromStr for Param {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            Some(_) => Err("a -p has no name in front of its `=`: write it as KEY=VALUE"),
            None => Err("a -p has no `=`: write it as KEY=VALUE"),
        }
    }
}

/// Parses a [`Param`]. clap's own error would quote the text, which may hold a secret.
#[derive(Debug, Clone)]
pub struct ParamParser;

impl TypedValueParser for ParamParser {
    type Value = Param;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Param, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        text.parse().map_err(|why| clap::Error::raw(ErrorKind::ValueValidation, why).with_cmd(command))
    }
}

/// Reads `--input`: JSON, `@file`, or `-` for standard input.
pub fn read(given: &str) -> Result<Value, InputError> {
    let unreadable = |place: &str| {
        let place = place.to_owned();
        |source| InputError::Unreadable { place, source }
    };
    let text = if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(unreadable("standard input"))?;
        text
    } else if let Some(path) = given.strip_prefix('@') {
        std::fs::read_to_string(path).map_err(unreadable(path))?
    } else {
        given.to_owned()
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| InputError::NotJson(error.into()))?;
    if value.is_object() || value.is_null() { Ok(value) } else { Err(InputError::NotAnObject) }
}

/// Adds the parameters to the input. Each gets the type that the schema gives it, or else is a string.
pub fn merge(
    input: Option<Value>,
    params: &[Param],
    schema: Option<&Value>,
) -> Result<Option<Value>, InputError> {
    if params.is_empty() {
        return Ok(input);
    }
    let mut object = match input {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let hides = schema.is_some_and(hides);
    for Param { key, value } in params {
        let converted = convert(key, value, &types(schema, key), hides)?;
        // Which of the two was meant cannot be known.
        if object.insert(key.clone(), converted).is_some() {
            return Err(InputError::InBoth { key: key.clone() });
        }
    }
    Ok(Some(Value::Object(object)))
}

/// Refuses keys that are given twice, and keys that the version has no parameter for: the job would not look at them,
/// and the parameter that was meant would keep its default.
pub fn check_keys(
    app: &str,
    params: &[Param],
    schema: Option<&Value>,
    allow_unknown: bool,
) -> Result<(), InputError> {
    for (index, Param { key, .. }) in params.iter().enumerate() {
        if params[..index].iter().any(|before| before.key == *key) {
            return Err(InputError::Twice { key: key.clone() });
        }
    }
    let Some(known) = properties(schema).filter(|_| !allow_unknown && !takes_more(schema)) else {
        return Ok(());
    };
    let names = || known.keys().map(String::as_str);
    match params.iter().find(|param| !known.contains_key(&param.key)) {
        None => Ok(()),
        Some(Param { key, .. }) => Err(InputError::Unknown {
            app: app.to_owned(),
            key: key.clone(),
            meant: near::nearest(key, names()).map(str::to_owned),
            known: names().map(str::to_owned).collect(),
        }),
    }
}

/// Whether the schema says that other keys are welcome.
fn takes_more(schema: Option<&Value>) -> bool {
    let said = |key: &str| schema.and_then(|schema| schema.get(key));
    said("additionalProperties").is_some_and(|more| *more != Value::Bool(false))
        || said("patternProperties").is_some()
}

/// Whether any value is hidden (`writeOnly`). Then no message quotes one: a secret is soon given under another name.
fn hides(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.get("writeOnly") == Some(&Value::Bool(true)) || map.values().any(hides),
        Value::Array(items) => items.iter().any(hides),
        _ => false,
    }
}

fn properties(schema: Option<&Value>) -> Option<&Map<String, Value>> {
    schema?.get("properties")?.as_object()
}

/// JSON Schema's `type`: a word, or a list of them.
fn types<'s>(schema: Option<&'s Value>, key: &str) -> Vec<&'s str> {
    match properties(schema).and_then(|known| known.get(key)?.get("type")) {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn convert(key: &str, value: &str, types: &[&str], hides: bool) -> Result<Value, InputError> {
    if types.is_empty() {
        return Ok(value.into());
    }
    // Everything is a string, so of a list of types that one comes last.
    let converted = types.iter().find_map(|word| as_type(word, value));
    match converted {
        Some(converted) => Ok(converted),
        None if types.contains(&"string") => Ok(value.into()),
        None => Err(InputError::Mismatch {
            key: key.to_owned(),
            value: (!hides).then(|| value.to_owned()),
            types: types.iter().map(|word| (*word).to_owned()).collect(),
        }),
    }
}

fn as_type(word: &str, value: &str) -> Option<Value> {
    match word {
        "integer" => integer(value),
        "number" => integer(value).or_else(|| {
            let number: f64 = value.parse().ok()?;
            Number::from_f64(number).map(Value::Number)
        }),
        "boolean" => value.parse().ok().map(Value::Bool),
        "null" => (value == "null").then_some(Value::Null),
        "array" => serde_json::from_str(value).ok().filter(Value::is_array),
        "object" => serde_json::from_str(value).ok().filter(Value::is_object),
        _ => None,
    }
}

fn integer(value: &str) -> Option<Value> {
    value.parse::<i64>().map(Value::from).or_else(|_| value.parse::<u64>().map(Value::from)).ok()
}

fn example(key: &str, word: &str) -> String {
    let value = match word {
        "integer" => "3",
        "number" => "0.5",
        "boolean" => "true or false",
        "array" => "'[1,2]'",
        "object" => "'{\"a\":1}'",
        _ => "null",
    };
    format!("-p {key}={value}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::failure::Failure;

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "s": {"type": "string"}, "n": {"type": "number"}, "i": {"type": "integer"}, "b": {"type": "boolean"},
            "maybe": {"type": ["string", "integer", "null"]}, "a": {"type": "array"}, "any": {}
        }})
    }

    #[rstest]
    #[case("s=1", json!({"s": "1"}))]
    #[case("s=a=b", json!({"s": "a=b"}))]
    #[case("s=", json!({"s": ""}))]
    #[case("n=1", json!({"n": 1}))]
    #[case("n=-0.5", json!({"n": -0.5}))]
    #[case("i=18446744073709551615", json!({"i": 18_446_744_073_709_551_615_u64}))]
    #[case("b=false", json!({"b": false}))]
    #[case("maybe=7", json!({"maybe": 7}))]
    #[case("maybe=null", json!({"maybe": null}))]
    #[case("maybe=x", json!({"maybe": "x"}))]
    #[case("a=[1]", json!({"a": [1]}))]
    #[case("any=1", json!({"any": "1"}))]
    #[case("unknown=1", json!({"unknown": "1"}))]
    fn parameters_take_the_type_of_the_schema(#[case] param: &str, #[case] expected: Value) {
        let params = [param.parse().unwrap()];
        assert_eq!(merge(None, &params, Some(&schema())).unwrap(), Some(expected));
    }

    #[rstest]
    #[case("i=1.5", "integer")]
    #[case("i=", "integer")]
    #[case("n=nan", "number")]
    #[case("b=yes", "boolean")]
    #[case("a={}", "array")]
    fn a_value_that_does_not_fit_is_named(#[case] param: &str, #[case] word: &str) {
        let error = merge(None, &[param.parse().unwrap()], Some(&schema())).unwrap_err();
        let failure = Failure::from(error).to_string();
        let (key, value) = param.split_once('=').unwrap();
        assert!(failure.starts_with(&format!("-p {key}: `{value}` is not of type {word}")), "{failure}");
    }

    #[test]
    fn without_a_schema_everything_is_a_string() {
        let params = ["i=1".parse().unwrap()];
        assert_eq!(merge(None, &params, None).unwrap(), Some(json!({"i": "1"})));
    }

    #[rstest]
    #[case(json!({"type": "integer", "writeOnly": true}), "pin=hunter2")]
    #[case(json!({"type": "object", "properties": {"key": {"writeOnly": true}}}), "pin={\"key\":hunter2}")]
    fn no_value_is_told_where_any_is_hidden(#[case] hidden: Value, #[case] param: &str) {
        let schema = json!({"properties": {"pin": hidden, "n": {"type": "number"}}});
        for param in [param, "n=hunter2"] {
            let error = merge(None, &[param.parse().unwrap()], Some(&schema)).unwrap_err();
            let failure = Failure::from(error).to_string();
            assert!(
                failure.contains(": its value is not of type ") && !failure.contains("hunter2"),
                "{failure}"
            );
        }
    }

    #[test]
    fn parameters_join_the_keys_of_the_input_and_contradict_none() {
        let input = || Some(json!({"s": "old", "k": 1}));
        let merged = merge(input(), &["t=new".parse().unwrap()], None).unwrap();
        assert_eq!(merged, Some(json!({"s": "old", "t": "new", "k": 1})));
        assert_eq!(merge(None, &[], None).unwrap(), None);
        for again in ["s=new", "s=old", "k=1"] {
            let failure =
                Failure::from(merge(input(), &[again.parse().unwrap()], None).unwrap_err()).to_string();
            let named = format!("`{}` is given twice: with -p and in --input; keep one of them", &again[..1]);
            assert!(failure.starts_with(&named), "{failure}");
        }
    }

    #[rstest]
    #[case("name")]
    #[case("=x")]
    #[case("")]
    fn a_parameter_without_key_or_value_is_refused(#[case] text: &str) {
        assert!(text.parse::<Param>().unwrap_err().contains("KEY=VALUE"));
    }

    fn checked(words: &[&str], schema: Option<&Value>, allow_unknown: bool) -> Option<String> {
        let params: Vec<Param> = words.iter().map(|word| word.parse().unwrap()).collect();
        check_keys("hello", &params, schema, allow_unknown)
            .err()
            .map(|error| Failure::from(error).to_string())
    }

    #[test]
    fn a_key_without_a_parameter_is_an_error_with_the_nearest_one() {
        let told = checked(&["s=1", "mayb=x"], Some(&schema()), false).unwrap();
        assert!(told.contains("hello has no parameter `mayb`: did you mean `maybe`?"), "{told}");
        let told = checked(&["release=1.10"], Some(&schema()), false).unwrap();
        assert!(told.contains("no parameter `release`; it has ") && told.contains("maybe"), "{told}");
        assert_eq!(checked(&["mayb=x"], Some(&schema()), true), None);
    }

    #[rstest]
    #[case(None)]
    #[case(Some(json!({"type": "object"})))]
    #[case(Some(json!({"properties": {"s": {}}, "additionalProperties": true})))]
    #[case(Some(json!({"properties": {"s": {}}, "patternProperties": {"^x": {}}})))]
    fn a_version_that_takes_anything_is_given_anything(#[case] schema: Option<Value>) {
        assert_eq!(checked(&["x=1"], schema.as_ref(), false), None);
    }

    #[test]
    fn a_key_that_is_given_twice_is_an_error() {
        let told = checked(&["city=1", "s=2", "city=2"], None, true).unwrap();
        assert!(told.starts_with("-p city is given twice; keep one"), "{told}");
    }

    #[test]
    fn the_input_may_be_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"a":1}"#).unwrap();
        assert_eq!(read(&format!("@{}", file.path().display())).unwrap(), json!({"a": 1}));
        assert_eq!(read("null").unwrap(), Value::Null);
        assert!(read("[1]").unwrap_err().to_string().contains("object"));
        assert!(read("{").unwrap_err().to_string().contains("not valid JSON"));
        assert!(read("@no/such/file").unwrap_err().to_string().contains("no/such/file"));
    }
}
