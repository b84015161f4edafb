//! Input against the JSON Schema of its version (draft 2020-12 unless the schema says otherwise).

mod work;

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::app::Version;
use jsonschema::{PatternOptions, Validator};
use lru::LruCache;
use minitower_vocabulary::ids::VersionId;
use serde_json::{Map, Value};

pub(crate) use self::work::TooMuch;
use self::work::{PATTERN_BYTES, Parts};
use crate::{Error, InputError, UploadError};

/// Most bytes that the compiled schemas may take together: hundreds of ordinary ones.
const KEPT_BYTES: usize = 64 << 20;
/// Compiled, a schema takes up to so many times the bytes of its text, its patterns not counted.
const BYTES_PER_BYTE: usize = 64;

/// Compiled schemas of versions, which never change.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    schemas: LruCache<VersionId, Arc<Schema>>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(Kept { schemas: LruCache::unbounded(), bytes: 0 }))
    }
}

impl Kept {
    /// Keeps a schema, and lets go of those used longest ago.
    fn put(&mut self, id: VersionId, schema: Arc<Schema>) {
        self.bytes += schema.bytes;
        if let Some(former) = self.schemas.put(id, schema) {
            self.bytes -= former.bytes;
        }
        while self.bytes > KEPT_BYTES
            && let Some((_, last)) = self.schemas.pop_lru()
        {
            self.bytes -= last.bytes;
        }
    }
}

#[derive(Debug)]
struct Schema {
    validator: Validator,
    /// Bounds the validator's work.
    parts: Parts,
    /// Defaults of the top level's properties.
    defaults: Map<String, Value>,
    /// Whether any value is hidden: then no message quotes one.
    hides: bool,
    /// What it takes in memory, at most.
    bytes: usize,
}

impl Cache {
    /// Fills in the defaults that the version's schema names and checks the result; the message names path and rule.
    pub(crate) fn apply(
        &self,
        version: &Version,
        input: Option<Map<String, Value>>,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let Some(json) = &version.params_schema else { return Ok(input) };
        let schema = self.get(version.id, json)?;
        let given = input.is_some();
        let mut input = input.unwrap_or_default();
        for (key, default) in &schema.defaults {
            input.entry(key.clone()).or_insert_with(|| default.clone());
        }
        let value = Value::Object(input);
        schema.parts.check(&value).map_err(|too_much| InputError::TooMuch(too_much.into()))?;
        if let Err(error) = schema.validator.validate(&value) {
            return Err(InputError::BreaksSchema(explain(&error, schema.hides)).into());
        }
        let Value::Object(input) = value else { return Err(InputError::NotAnObject.into()) };
        // No input and no defaults stay no input.
        Ok((given || !input.is_empty()).then_some(input))
    }

    fn get(&self, id: VersionId, json: &str) -> Result<Arc<Schema>, Error> {
        if let Some(schema) = self.0.lock().unwrap_or_else(PoisonError::into_inner).schemas.get(&id) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(compile(json.len(), &parse(json)?)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, Arc::clone(&schema));
        Ok(schema)
    }
}

/// Checks that a schema is one.
pub(crate) fn check(json: &str) -> Result<Value, Error> {
    let schema = parse(json)?;
    compile(json.len(), &schema)?;
    Ok(schema)
}

fn parse(json: &str) -> Result<Value, Error> {
    Ok(serde_json::from_str(json).map_err(|error| UploadError::SchemaNotJson(error.into()))?)
}

/// Compiles a schema whose text has so many bytes.
fn compile(text_bytes: usize, schema: &Value) -> Result<Schema, Error> {
    let parts = Parts::of(schema).map_err(|too_much| UploadError::SchemaTooMuch(too_much.into()))?;
    let validator = jsonschema::options()
        // Linear-time matching: a pattern of a schema cannot hang the server.
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES))
        .build(schema)
        .map_err(|e| UploadError::SchemaInvalid(shorten(&e.to_string())))?;
    let defaults = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())))
        .collect();
    let bytes = text_bytes * BYTES_PER_BYTE + parts.patterns() * PATTERN_BYTES;
    Ok(Schema { validator, parts, defaults, hides: !hidden(schema).is_empty(), bytes })
}

/// The top level's properties whose values are shown to nobody: those with `writeOnly` (JSON Schema validation, section 9.4), or with anything
/// inside that is.
pub(crate) fn hidden(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let hidden = properties.into_iter().flatten().filter(|(_, property)| hides(property));
    hidden.map(|(name, _)| name.clone()).collect()
}

fn hides(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.get("writeOnly") == Some(&Value::Bool(true)) || map.values().any(hides),
        Value::Array(items) => items.iter().any(hides),
        _ => false,
    }
}

/// What is wrong with an input. The messages quote the value, or a larger one around it: where any is hidden, none is quoted.
fn explain(error: &jsonschema::ValidationError<'_>, hides: bool) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "input".to_owned() } else { format!("input{path}") };
    let message = if hides { error.masked().to_string() } else { error.to_string() };
    format!("{place}: {} (rule {})", shorten(&message), error.schema_path())
}

/// A message quotes the value it is about; a megabyte of input is not sent back.
fn shorten(text: &str) -> String {
    const MOST: usize = 300;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let mut shown: String = text.chars().take(MOST).collect();
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::ids::AppId;
    use minitower_vocabulary::time::Timestamp;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn version(schema: &Value) -> Version {
        Version {
            id: VersionId(1),
            app_id: AppId(1),
            number: 1,
            entrypoint: "main.py".to_owned(),
            timeout_seconds: None,
            params_schema: Some(schema.to_string()),
            artifact_sha256: String::new(),
            artifact_bytes: 0,
            towerfile_toml: None,
            import_paths: None,
            max_retries: 0,
            api: false,
            concurrency: None,
            secrets: Vec::new(),
            hidden_parameters: Vec::new(),
            created_at: Timestamp(0),
        }
    }

    fn object(value: &Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    #[test]
    fn the_message_names_path_and_rule() {
        let schema = json!({"type":"object","properties":{"name":{"type":"string"},"n":{"minimum":3}}});
        let apply = |input: Value| Cache::default().apply(&version(&schema), object(&input));
        let error = apply(json!({"name": 7})).unwrap_err().to_string();
        assert!(error.contains("input/name") && error.contains("/properties/name/type"), "{error}");
        let error = apply(json!({"n": 1})).unwrap_err().to_string();
        assert!(error.contains("input/n") && error.contains("minimum"), "{error}");
        assert!(apply(json!({"name": "x", "n": 3})).is_ok());
    }

    #[test]
    fn defaults_are_filled_in_and_no_input_stays_none_without_them() {
        let schema = json!({"type":"object","properties":{"name":{"type":"string","default":"world"}}});
        let filled = Cache::default().apply(&version(&schema), None).unwrap();
        assert_eq!(filled, object(&json!({"name":"world"})));
        let kept = Cache::default().apply(&version(&schema), object(&json!({"name":"me"}))).unwrap();
        assert_eq!(kept, object(&json!({"name":"me"})));
        assert_eq!(Cache::default().apply(&version(&json!({"type":"object"})), None).unwrap(), None);
    }

    #[rstest]
    #[case::type_of_it(json!({"password": 7_777_777}))]
    #[case::length_of_it(json!({"password": "hunter2-hunter2"}))]
    #[case::type_of_another(json!({"password": "hunter2", "n": "x"}))]
    #[case::rule_of_the_whole(json!({"password": "hunter2", "more": 1, "yet more": 1}))]
    #[case::inside(json!({"login": {"key": "hunter2-hunter2"}}))]
    fn no_message_quotes_a_value_where_any_is_hidden(#[case] input: Value) {
        let schema = json!({
            "properties": {
                "password": {"type": "string", "maxLength": 10, "writeOnly": true},
                "n": {"type": "integer"},
                "login": {"properties": {"key": {"type": "string", "maxLength": 10, "writeOnly": true}}},
            },
            "maxProperties": 2,
        });
        assert_eq!(hidden(&schema), ["login", "password"]);
        let error = Cache::default().apply(&version(&schema), object(&input)).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("7777777"), "{error}");
        assert!(error.contains("input") && error.contains("rule"), "{error}");
    }

    #[rstest]
    #[case::no_json("{")]
    #[case::bad_type(r#"{"type":"strnig"}"#)]
    #[case::remote_ref(r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#)]
    #[case::file_ref(r#"{"$ref":"file:///etc/passwd"}"#)]
    #[case::itself(r##"{"allOf":[{"$ref":"#"}]}"##)]
    #[case::large_pattern(r#"{"properties":{"a":{"pattern":"^(?:a{0,300}){0,300}$"}}}"#)]
    #[case::look_around(r#"{"properties":{"a":{"pattern":"(?=a)b"}}}"#)]
    fn a_schema_that_is_none_or_reaches_outside_is_refused(#[case] json: &str) {
        assert!(matches!(check(json), Err(Error::Upload(_))), "{json}");
    }

    /// As deep as may be, on a stack as small as those of the threads that check inputs.
    #[test]
    fn the_deepest_input_that_is_checked_fits_on_the_stack() {
        let schema = json!({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        let input = (0..120).fold(json!({}), |inner, _| json!({"a": inner}));
        let check = move || Cache::default().apply(&version(&schema), object(&input)).map(|_| ());
        let checked = std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
        checked.unwrap();
    }

    #[test]
    fn what_is_kept_is_bounded_by_its_size() {
        let cache = Cache::default();
        let schema = json!({"type": "object", "description": "x".repeat(200 * 1024)});
        for id in 0..20 {
            cache.apply(&Version { id: VersionId(id), ..version(&schema) }, None).unwrap();
        }
        let kept = cache.0.lock().unwrap();
        assert!((1..20).contains(&kept.schemas.len()) && kept.bytes <= KEPT_BYTES, "{}", kept.schemas.len());
    }

    #[test]
    fn a_pattern_bomb_is_harmless() {
        let schema = json!({"type":"object","properties":{"a":{"type":"string","pattern":"^(a+)+$"}}});
        let input = object(&json!({"a": format!("{}!", "a".repeat(50_000))}));
        let begun = std::time::Instant::now();
        assert!(Cache::default().apply(&version(&schema), input).is_err());
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
