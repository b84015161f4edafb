//! `[[parameters]]`: what a run may be given.

use std::collections::HashSet;

use toml::Value;

use super::table::Reader;
use super::{Error, Parameter, ParameterType, Warning};

/// Most bytes of a parameter's name.
const MAX_NAME_BYTES: usize = 128;

/// Stands for a value that is shown to nobody, also in a message about it.
const HIDDEN: &str = "********";

pub(super) fn parameters(root: &Reader<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<Parameter>, Error> {
    const RULE: &str = "must be a list of tables: write [[parameters]] above each parameter";
    let Some(value) = root.get("parameters") else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| root.invalid("parameters", value, RULE))?;
    let mut names = HashSet::new();
    let mut parameters = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let table = item.as_table().ok_or_else(|| root.invalid("parameters", item, RULE))?;
        let reader = root.inner(table, "parameters", format!("parameters[{index}]"), warnings);
        let parameter = parameter(&reader)?;
        if !names.insert(parameter.name.clone()) {
            let value = parameter.name.as_str().into();
            return Err(reader.invalid("name", &value, "must be unique: another parameter has this name"));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

fn parameter(reader: &Reader<'_>) -> Result<Parameter, Error> {
    let name = reader.string("name")?.ok_or(Error::Missing {
        field: "parameters.name",
        help: "each of [[parameters]] needs a name, for example name = \"city\"",
    })?;
    let good = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.contains(|c: char| c == '=' || c.is_control());
    if !good {
        let rule = format!(
            "must be 1 to {MAX_NAME_BYTES} bytes without `=` and control characters: \
             jobs find it as an environment variable"
        );
        return Err(reader.invalid("name", &name.into(), rule));
    }
    let kind = match reader.string("type")? {
        None => ParameterType::default(),
        Some(word) => ParameterType::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            reader.invalid("type", &word.into(), "must be one of string, number, integer, boolean")
        })?,
    };
    let hidden = reader.boolean("hidden")?.unwrap_or(false);
    let default = reader
        .get("default")
        .map(|value| {
            let rule = || format!("must be {}", default_rule(kind));
            let hidden_value = HIDDEN.into();
            let shown = if hidden { &hidden_value } else { value };
            json_of(kind, value).ok_or_else(|| reader.invalid("default", shown, rule()))
        })
        .transpose()?;
    Ok(Parameter {
        name: name.to_owned(),
        description: reader.string("description")?.map(str::to_owned),
        kind,
        default,
        hidden,
    })
}

/// The default as JSON, when it is of the parameter's type.
fn json_of(kind: ParameterType, value: &Value) -> Option<serde_json::Value> {
    match (kind, value) {
        (ParameterType::String, Value::String(text)) => Some(text.as_str().into()),
        (ParameterType::Integer | ParameterType::Number, Value::Integer(number)) => Some((*number).into()),
        // JSON has neither infinity nor not-a-number.
        (ParameterType::Number, Value::Float(number)) => {
            serde_json::Number::from_f64(*number).map(serde_json::Value::Number)
        }
        (ParameterType::Boolean, Value::Boolean(truth)) => Some((*truth).into()),
        _ => None,
    }
}

const fn default_rule(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "a string, like the parameter: put it in quotes, or set its type",
        ParameterType::Number => "a finite number, like the parameter: write it without quotes",
        ParameterType::Integer => "a whole number, like the parameter: write it without quotes or fraction",
        ParameterType::Boolean => "true or false, like the parameter: write it without quotes",
    }
}
