//! Reading the bodies of requests.

use super::{Failure, Json, object::Names};
use crate::{call::Call, uuid::Uuid};
use serde_json::Value;

/// The attributes that a request gives to an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a>(pub &'a Json);

impl<'a> Body<'a> {
    /// The object in its envelope.
    pub fn one(call: &'a Call, names: Names) -> Result<Self, Failure> {
        let envelope = envelope(call)?;
        let object = envelope.get(names.one).and_then(Value::as_object);
        object.map(Body).ok_or_else(|| Failure::http(format!("Unable to find '{}' in request body", names.one)))
    }

    /// The objects of a creating request, and whether they are in the envelope of a bulk request.
    pub fn many(call: &'a Call, names: Names) -> Result<(Vec<Self>, bool), Failure> {
        let Some(list) = envelope(call)?.get(names.many).and_then(Value::as_array) else {
            return Ok((vec![Self::one(call, names)?], false));
        };
        if list.is_empty() {
            return Err(Failure::http("Resources required"));
        }
        let objects = list.iter().map(|object| object.as_object().map(Body));
        let objects: Option<Vec<Self>> = objects.collect();
        objects.map(|objects| (objects, true)).ok_or_else(|| Failure::http("Body contains invalid data"))
    }

    pub fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// An attribute that is text; `null` is none.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A Boolean; Neutron takes text for it as well.
    pub fn flag(self, name: &str) -> Option<bool> {
        self.get(name).and_then(as_flag)
    }

    pub fn number(self, name: &str) -> Option<i64> {
        self.get(name).and_then(as_number)
    }

    pub fn uuid(self, name: &str) -> Option<Uuid> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// A list; `null` is an empty one.
    pub fn list(self, name: &str) -> Option<&'a [Value]> {
        match self.get(name)? {
            Value::Array(list) => Some(list),
            _ => Some(&[]),
        }
    }
}

fn envelope(call: &Call) -> Result<&Json, Failure> {
    let body = call.body.as_deref().and_then(Value::as_object);
    body.ok_or_else(|| Failure::http("Body contains invalid data"))
}

pub(super) fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_i64().filter(|number| matches!(number, 0 | 1)).map(|number| number == 1),
        Value::String(text) => text_as_flag(text),
        _ => None,
    }
}

pub(super) fn text_as_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A number; Neutron takes text for it as well.
pub(super) fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
