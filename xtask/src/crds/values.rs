//! What the chart's values may say of its ClusterAgent: the definition of the object, as the JSON schema that helm
//! checks values with.
//!
//! Stricter than the API server in one thing: a key that the object does not have is refused, where the server
//! would drop it.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Where the schema of the values has it.
const PLACE: &str = "/definitions/ClusterAgentSpec";

/// Where a definition has its object's schema.
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// The schema of the values, with its part about the ClusterAgent as `definitions`, the list of all, say.
pub fn updated(schema: &str, definitions: &Value) -> Result<String> {
    let all = definitions.get("items").and_then(Value::as_array).context("no list of definitions")?;
    let is_agents = |it: &&Value| it.pointer("/spec/names/kind").is_some_and(|kind| kind == "ClusterAgent");
    let agents = all.iter().find(is_agents).context("there is no ClusterAgent")?;
    let spec = agents.pointer(SPEC).context("a ClusterAgent has no spec")?;
    let mut schema: Value = serde_json::from_str(schema)?;
    *schema.pointer_mut(PLACE).with_context(|| format!("it has no {PLACE}"))? = strict(spec);
    Ok(format!("{}\n", serde_json::to_string_pretty(&schema)?))
}

/// A part of a definition as a JSON schema that lets no further keys through.
fn strict(part: &Value) -> Value {
    let Value::Object(part) = part else { return part.clone() };
    let mut made = Map::new();
    for (key, value) in part {
        let value = match key.as_str() {
            "properties" => each(value),
            "items" | "additionalProperties" => strict(value),
            "type" if part.get("nullable") == Some(&Value::Bool(true)) => json!([value, "null"]),
            "enum" | "type" | "required" | "pattern" | "minimum" | "maximum" | "minLength" | "maxLength"
            | "minItems" | "maxItems" | "description" => value.clone(),
            // Of the API server's own: formats, rules, defaults.
            _ => continue,
        };
        made.insert(key.clone(), value);
    }
    if part.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        made.insert("type".into(), json!(["integer", "string"]));
    }
    if made.contains_key("properties") {
        made.insert("additionalProperties".into(), false.into());
    }
    Value::Object(made)
}

fn each(properties: &Value) -> Value {
    let Value::Object(properties) = properties else { return properties.clone() };
    properties.iter().map(|(name, part)| (name.clone(), strict(part))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_takes_a_key_that_it_does_not_have() {
        let part = json!({
            "type": "object",
            "properties": {"pattern": {"type": "string", "nullable": true, "format": "ip", "pattern": "^a"}},
            "x-kubernetes-validations": [{"rule": "true"}],
        });
        let expected = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {"pattern": {"type": ["string", "null"], "pattern": "^a"}},
        });
        assert_eq!(strict(&part), expected);
    }

    #[test]
    fn a_map_of_anybodys_keys_stays_one() {
        let part = json!({"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}});
        let expected = json!({"type": "object", "additionalProperties": {"type": ["integer", "string"]}});
        assert_eq!(strict(&part), expected);
    }

    #[test]
    fn the_place_in_the_schema_is_the_one_of_the_agent() {
        let agent = json!({
            "spec": {
                "names": {"kind": "ClusterAgent"},
                "versions": [{"schema": {"openAPIV3Schema": {"properties": {"spec": {"type": "object"}}}}}],
            },
        });
        let schema =
            updated(r#"{"definitions": {"ClusterAgentSpec": 1}}"#, &json!({"items": [agent]})).unwrap();
        assert!(schema.contains(r#""type": "object""#) && schema.ends_with("}\n"), "{schema}");
        assert!(updated("{}", &json!({"items": []})).is_err());
    }
}
