//! Bounds: of the numbers in a pool, and of the lists and maps of Kubernetes' own types, whose schemas carry none.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::rules;

/// The largest number of runners that a field may name: far above what one control plane serves, far below what an API server can bear.
pub const MAX_RUNNERS: u32 = 10_000;
/// The longest time that a field may name, in seconds: a week.
pub const MAX_SECONDS: u32 = 7 * 24 * 60 * 60;
/// The longest stabilization window, in seconds: that of a HorizontalPodAutoscaler.
pub const MAX_WINDOW_SECONDS: u32 = 3600;
/// The longest name of a pool, in characters: the names of its pods and the values of their labels are made from it.
pub const MAX_NAME_LENGTH: usize = 50;

/// A list of variables: each name must be one that a shell takes and that the operator does not set itself.
pub(super) fn env(schema: &mut Schema) {
    lay_over(schema, "/items", &json!({ "x-kubernetes-validations": rules::schema(&rules::ENV) }));
    lay_over(
        schema,
        "/items/properties/name",
        &json!({ "minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z][-._a-zA-Z0-9]*$" }),
    );
}

/// A list of mounts, each outside the runner's own folders.
pub(super) fn volume_mounts(schema: &mut Schema) {
    lay_over(schema, "/items", &json!({ "x-kubernetes-validations": rules::schema(&rules::MOUNT) }));
    lay_over(schema, "/items/properties/name", &json!({ "minLength": 1, "maxLength": 63 }));
    lay_over(schema, "/items/properties/mountPath", &json!({ "minLength": 1, "maxLength": 1024 }));
}

/// A map of quantities.
pub(super) fn quantities(schema: &mut Schema) {
    lay_over(
        schema,
        "/additionalProperties",
        &json!({
            "description": "A quantity: a whole number, or a text such as 500m or 512Mi; a fraction goes in quotes.",
            "x-kubernetes-validations": rules::schema(&rules::QUANTITY),
        }),
    );
}

/// A map whose values are values of labels.
pub(super) fn labels(schema: &mut Schema) {
    lay_over(
        schema,
        "/additionalProperties",
        &json!({ "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" }),
    );
}

/// A map whose values are texts.
pub(super) fn annotations(schema: &mut Schema) {
    lay_over(schema, "/additionalProperties", &json!({ "maxLength": 65_536 }));
}

/// An object that is kept as it is.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Sets `keywords` in the part of `schema` that `pointer` leads to.
fn lay_over(schema: &mut Schema, pointer: &str, keywords: &Value) {
    let part = schema.pointer_mut(pointer).and_then(Value::as_object_mut);
    if let (Some(part), Some(keywords)) = (part, keywords.as_object()) {
        part.extend(keywords.clone());
    }
}
