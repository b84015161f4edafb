//! Input against the JSON Schema of its version (draft 2020-12 unless the schema says otherwise).

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use lru::LruCache;
use minitower_domain::app::Version;
use minitower_domain::ids::VersionId;
use serde_json::{Map, Value};

use crate::Error;

/// Compiled schemas kept: a few hundred active apps.
const KEPT: usize = 256;

/// Compiled schemas of versions, which never change.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<LruCache<VersionId, Arc<Schema>>>);

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(KEPT).unwrap_or(NonZeroUsize::MIN))))
    }
}

#[derive(Debug)]
struct Schema {
    validator: Validator,
    /// Defaults of the top level's properties.
    defaults: Map<String, Value>,
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
        if let Err(error) = schema.validator.validate(&value) {
            return Err(Error::invalid(explain(&error)));
        }
        let Value::Object(input) = value else { return Err(Error::internal("input", "no object")) };
        // No input and no defaults stay no input.
        Ok((given || !input.is_empty()).then_some(input))
    }

    fn get(&self, id: VersionId, json: &str) -> Result<Arc<Schema>, Error> {
        if let Some(schema) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(compile(json)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, Arc::clone(&schema));
        Ok(schema)
    }
}

/// Checks that a schema is one.
pub(crate) fn check(json: &str) -> Result<(), Error> {
    compile(json).map(|_| ())
}

fn compile(json: &str) -> Result<Schema, Error> {
    let schema: Value = serde_json::from_str(json)
        .map_err(|e| Error::invalid(format!("params_schema_json is not JSON: {e}")))?;
    let validator = jsonschema::options()
        // Linear-time matching: a pattern of a schema cannot hang the server.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|e| {
            Error::invalid(format!("params_schema_json is no valid JSON Schema: {}", shorten(&e.to_string())))
        })?;
    let defaults = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())))
        .collect();
    Ok(Schema { validator, defaults })
}

fn explain(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "input".to_owned() } else { format!("input{path}") };
    format!("{place}: {} (rule {})", shorten(&error.to_string()), error.schema_path())
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
    use minitower_domain::clock::Timestamp;
    use minitower_domain::ids::AppId;
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
    #[case::no_json("{")]
    #[case::bad_type(r#"{"type":"strnig"}"#)]
    #[case::remote_ref(r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#)]
    #[case::file_ref(r#"{"$ref":"file:///etc/passwd"}"#)]
    #[case::look_around(r#"{"properties":{"a":{"pattern":"(?=a)b"}}}"#)]
    fn a_schema_that_is_none_or_reaches_outside_is_refused(#[case] json: &str) {
        assert!(matches!(check(json), Err(Error::InvalidRequest(_))), "{json}");
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
