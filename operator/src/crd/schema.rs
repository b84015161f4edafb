//! The definition as a cluster takes it, and the file it is kept in.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::{Map, Number, Value};

use super::{RunnerPool, rules};

/// The name of the generated file, below `crds/`.
pub const FILE_NAME: &str = "runnerpools.minitower.dev.yaml";

/// What the generated file begins with.
const HEADER: &str =
    "# Generated from operator/src/crd by `minitower-operator crd`. Change it there, then `make crds`.\n";

/// The definition of `RunnerPool`.
///
/// It differs from what [`RunnerPool`]'s own `crd()` yields in what the derives cannot say: the rules on the whole object; and no field
/// takes `null`, so that an explicit null means what an absent field means, with the default in its place.
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

/// Takes `null` from every field, gives numbers a format that an API server knows, and leaves it to the reader's window where the lines of
/// a description end.
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

/// Keys in order, whatever features the JSON crate was built with, and whole numbers without a fraction.
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
