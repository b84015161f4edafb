//! The definition as a cluster takes it, and the file that contains it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::{Map, Number, Value};

use super::rules;
use super::runner_pool::RunnerPool;

/// The name of the generated file, below `crds/`.
pub const FILE_NAME: &str = "runnerpools.minitower.dev.yaml";

/// The first line of the generated file.
const HEADER: &str =
    "# Generated from operator/src/crd by `minitower-operator crd`. Change it there, then `make crds`.\n";

/// The definition of `RunnerPool`.
///
/// It differs from [`RunnerPool`]'s own `crd()` in two things that the derives cannot express: it has rules on the whole object, and no field
/// accepts `null`, so that an explicit null means the same as an absent field and gets the default.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = RunnerPool::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            mend(schema);
            schema.x_kubernetes_validations = serde_json::from_value(rules::schema(&rules::ROOT)).ok();
        }
    }
    crd
}

/// The definition as YAML, the same bytes every time.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "plain data with text keys: a test writes all of it"
)]
pub fn yaml() -> String {
    let crd = serde_json::to_value(crd()).expect("a definition is JSON");
    let text = serde_saphyr::to_string(&tidy(crd)).expect("JSON is YAML");
    format!("{HEADER}{text}")
}

/// Forbids `null` in every field, gives numbers a format that an API server knows, and removes line breaks from descriptions.
fn mend(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| text.replace('\n', " "));
    schema.format = match schema.format.take().as_deref() {
        Some("uint8" | "uint16" | "uint32") => Some("int32".to_owned()),
        Some("uint64") => Some("int64".to_owned()),
        other => other.map(str::to_owned),
    };
    schema.properties.iter_mut().flat_map(|parts| parts.values_mut()).for_each(mend);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        mend(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        mend(values);
    }
}

/// Sorts keys, whatever features the JSON crate was built with, and writes whole numbers without a fraction.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<(String, Value)> = entries.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.into_iter().map(|(key, value)| (key, tidy(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// A number without a fraction, as an integer: bounds are floating-point numbers in the definition's type.
fn whole(number: &Number) -> Option<i64> {
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    format!("{number:.0}").parse().ok()
}
