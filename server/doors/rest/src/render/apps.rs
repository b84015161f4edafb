//! Apps and versions.

use minitower_runs::domain::app as domain;
use minitower_vocabulary::wire::apps::{App, Version};
use serde_json::Value;

use super::moment;
use crate::ApiError;

pub(crate) fn app(app: domain::App) -> App {
    let domain::App { id, team_id: _, slug, description, disabled, created_at, updated_at } = app;
    App {
        app_id: id.0,
        slug,
        description,
        disabled,
        created_at: moment(created_at),
        updated_at: moment(updated_at),
    }
}

pub(crate) fn version(version: domain::Version) -> Result<Version, ApiError> {
    let domain::Version {
        id,
        app_id: _,
        number,
        entrypoint,
        timeout_seconds,
        params_schema,
        artifact_sha256,
        artifact_bytes: _,
        towerfile_toml,
        import_paths,
        max_retries: _,
        api: _,
        hidden_parameters,
        created_at,
    } = version;
    let mut params_schema: Option<Value> = params_schema
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| ApiError::internal(&error))?;
    let properties = params_schema.as_mut().and_then(|schema| schema.get_mut("properties"));
    if let Some(properties) = properties {
        for name in hidden_parameters {
            // Its default is a value too.
            properties.get_mut(&name).map(without_defaults);
        }
    }
    Ok(Version {
        version_id: id.0,
        version_no: number,
        entrypoint,
        timeout_seconds,
        params_schema,
        artifact_sha256,
        towerfile_toml,
        import_paths,
        created_at: moment(created_at),
    })
}

fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("default");
            map.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}
