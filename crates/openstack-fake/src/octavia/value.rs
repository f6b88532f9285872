//! Values of requests, as their types take them.

use crate::uuid::Uuid;
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

pub(super) fn text(value: &Value, longest: usize) -> Result<String, String> {
    let Some(text) = value.as_str() else { return Err("Value should be string".to_owned()) };
    if text.chars().count() > longest {
        return Err(format!("Value should have a maximum character requirement of {longest}"));
    }
    Ok(text.to_owned())
}

pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        Value::String(text) => text_as_flag(text),
        _ => None,
    }
}

pub(super) fn text_as_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(super) fn in_range(number: i64, least: i64, most: i64) -> Result<i64, String> {
    match number {
        number if number < least => Err(format!("Value should be greater or equal to {least}")),
        number if number > most => Err(format!("Value should be lower or equal to {most}")),
        number => Ok(number),
    }
}

/// An identifier as it is written; Octavia also takes one without hyphens.
pub(super) fn uuid(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    if text.len() == 32 && text.is_ascii() {
        let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
        return parts.join("-").parse::<Uuid>().ok().map(|id| id.to_string());
    }
    text.parse::<Uuid>().ok().map(|id| id.to_string())
}

/// A prefix without the bits of a host.
pub(super) fn prefix(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(parsed.trunc().to_string())
}

/// A value as Python prints it in messages.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// A value as Python shows it, with quotes.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Array(list) => format!("[{}]", list.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let members = object.iter().map(|(name, value)| format!("'{name}': {}", repr(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => python(other),
    }
}
