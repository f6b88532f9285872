//! The values of RFC 7047, section 5.1, as JSON.

use super::view::Uuid;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A map column's value.
pub fn map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let pairs: Vec<Value> = pairs.into_iter().map(|(key, value)| json!([key.as_ref(), value.as_ref()])).collect();
    json!(["map", pairs])
}

/// A set column's value.
pub fn set(values: impl IntoIterator<Item = Value>) -> Value {
    json!(["set", values.into_iter().collect::<Vec<_>>()])
}

/// A row that exists.
#[must_use]
pub fn uuid(uuid: &Uuid) -> Value {
    json!(["uuid", uuid])
}

/// A row that the same transaction inserts under this name.
#[must_use]
pub fn named_uuid(name: &str) -> Value {
    json!(["named-uuid", name])
}

/// The members of a set; a set of one is written as its member.
pub(super) fn members(value: &Value) -> &[Value] {
    match value.as_array().map(Vec::as_slice) {
        Some([tag, Value::Array(members)]) if tag == "set" => members,
        _ => std::slice::from_ref(value),
    }
}

/// The member of an optional column.
pub(super) fn optional(row: &Value, column: &str) -> Option<Value> {
    members(row.get(column)?).first().cloned()
}

/// The text in a column, empty where there is none.
pub(super) fn text(row: &Value, column: &str) -> String {
    optional(row, column).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The rows that a column refers to.
pub(super) fn references(row: &Value, column: &str) -> Vec<Uuid> {
    let uuid = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([tag, Value::String(uuid)]) if tag == "uuid" => Some(uuid.clone()),
        _ => None,
    };
    row.get(column).map(members).unwrap_or_default().iter().filter_map(uuid).collect()
}

/// The texts of a map column.
pub(super) fn texts(row: &Value, column: &str) -> BTreeMap<String, String> {
    let pairs = row.get(column).and_then(|value| value.get(1)).and_then(Value::as_array);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let pair = |pair: &Value| Some((text(pair.get(0)?)?, text(pair.get(1)?)?));
    pairs.into_iter().flatten().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_none_one_and_many() {
        let row = json!({
            "none": ["set", []], "one": ["uuid", "a"], "many": ["set", [["uuid", "a"], ["uuid", "b"]]],
            "number": 7, "error": ["set", []],
        });
        assert!(references(&row, "none").is_empty());
        assert_eq!(references(&row, "one"), ["a"]);
        assert_eq!(references(&row, "many"), ["a", "b"]);
        assert!(references(&row, "absent").is_empty());
        assert_eq!(optional(&row, "number"), Some(json!(7)));
        assert_eq!(optional(&row, "error"), None);
    }

    #[test]
    fn maps_are_read_as_they_are_written() {
        let row = json!({ "external_ids": map([("iface-id", "x"), ("attached-mac", "y")]) });
        let read = texts(&row, "external_ids");
        assert_eq!(read.get("iface-id").map(String::as_str), Some("x"));
        assert_eq!(read.len(), 2);
        assert_eq!(set([uuid(&"u".to_owned()), named_uuid("n")]), json!(["set", [["uuid", "u"], ["named-uuid", "n"]]]));
    }
}
