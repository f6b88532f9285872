//! Schemas of texts that have a form: the API server refuses what our types can't read, so that no object becomes unreadable
//! by a hand edit. The functions are those of Kubernetes' CEL libraries ("CEL in Kubernetes", IP address and CIDR).

pub(crate) use kuryr_core::schema::{Cidr, Ip};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A time of [`k8s_openapi::apimachinery::pkg::apis::meta::v1::Time`]. The format `date-time` alone lets through what isn't
/// one; as a timestamp it has to be read.
pub(crate) struct DateTime;

/// A [`Condition`] whose time is a [`DateTime`].
pub(crate) struct ReadableCondition;

impl JsonSchema for DateTime {
    fn schema_name() -> Cow<'static, str> {
        "DateTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            // Not more digits than nanoseconds have.
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$",
            "maxLength": 35,
            "x-kubernetes-validations": [{
                "rule": "self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-01T00:00:00Z')",
                "message": "must be a time of RFC 3339",
            }],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for ReadableCondition {
    fn schema_name() -> Cow<'static, str> {
        "ReadableCondition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Condition::json_schema(generator);
        if let Some(time) = schema.pointer_mut("/properties/lastTransitionTime").and_then(|time| time.as_object_mut()) {
            let description = time.remove("description");
            *time = DateTime::json_schema(generator).as_object().cloned().unwrap_or_default();
            time.extend(description.map(|text| ("description".to_owned(), text)));
        }
        schema
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_form_and_its_time_is_bounded() {
        let schema = ReadableCondition::json_schema(&mut SchemaGenerator::default());
        let time = schema.pointer("/properties/lastTransitionTime").unwrap();
        assert!(time["pattern"].is_string() && time["description"].is_string(), "{schema:?}");
        assert_eq!(schema.pointer("/properties/reason/type").unwrap(), "string");
    }
}
