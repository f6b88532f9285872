//! Which attributes a kind of object has, of which types, and who may set them when.

use super::{
    Failure,
    body::{Body, as_flag, as_number},
};
use crate::uuid::Uuid;
use serde_json::Value;

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether it can be given to a new object.
    pub post: bool,
    /// Whether it can be changed.
    pub put: bool,
    /// Whether a new object must have it.
    pub required: bool,
}

/// Type of an attribute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Anything: it isn't used here.
    Any,
    /// Text of at most so many characters.
    Text(usize),
    Flag,
    Integer,
    Uuid,
    UuidOrNull,
    Uuids,
    Mac,
    /// An IP address, or none.
    Address,
    FixedIps,
    /// Prefixes with their length, each once.
    Prefixes,
    List,
    OneOf(&'static [&'static str]),
}

/// An attribute that can be given to a new object and be changed.
pub(super) const fn free(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, post: true, put: true, required: false }
}

/// An attribute that is fixed when the object is created.
pub(super) const fn fixed(name: &'static str, kind: Kind) -> Attribute {
    Attribute { put: false, ..free(name, kind) }
}

/// An attribute that a new object must have and that is fixed then.
pub(super) const fn required(name: &'static str, kind: Kind) -> Attribute {
    Attribute { required: true, ..fixed(name, kind) }
}

/// An attribute that only Neutron sets.
pub(super) const fn read_only(name: &'static str) -> Attribute {
    Attribute { post: false, put: false, ..free(name, Kind::Any) }
}

/// Attributes of every kind of object.
const COMMON: [Attribute; 8] = [
    free("name", Kind::Text(255)),
    free("description", Kind::Text(255)),
    fixed("project_id", Kind::Text(255)),
    fixed("tenant_id", Kind::Text(255)),
    read_only("id"),
    read_only("created_at"),
    read_only("updated_at"),
    read_only("revision_number"),
];

fn find(own: &[Attribute], name: &str) -> Option<Attribute> {
    own.iter().chain(&COMMON).find(|attribute| attribute.name == name).copied()
}

/// Checks the attributes of a new object.
pub(super) fn check_new(own: &[Attribute], body: Body<'_>) -> Result<(), Failure> {
    if let Some(missing) = own.iter().find(|attribute| attribute.required && body.get(attribute.name).is_none()) {
        let message = format!("Failed to parse request. Required attribute '{}' not specified", missing.name);
        return Err(Failure::http(message));
    }
    check(own, body, |attribute| {
        (!attribute.post).then(|| format!("Attribute '{}' not allowed in POST", attribute.name))
    })
}

/// Checks a change.
pub(super) fn check_change(own: &[Attribute], body: Body<'_>) -> Result<(), Failure> {
    check(own, body, |attribute| {
        (!attribute.put).then(|| format!("Cannot update read-only attribute {}", attribute.name))
    })
}

fn check(own: &[Attribute], body: Body<'_>, forbidden: impl Fn(Attribute) -> Option<String>) -> Result<(), Failure> {
    let unknown: Vec<&str> = body.0.keys().map(String::as_str).filter(|name| find(own, name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(Failure::http(format!("Unrecognized attribute(s) '{}'", unknown.join(", "))));
    }
    for (name, value) in body.0 {
        let Some(attribute) = find(own, name) else { continue };
        if let Some(message) = forbidden(attribute) {
            return Err(Failure::http(message));
        }
        attribute.kind.check(value).map_err(|reason| Failure::attribute(name, &reason))?;
    }
    Ok(())
}

impl Kind {
    /// What is wrong with a value.
    fn check(self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Text(longest), Value::String(text)) if text.chars().count() > longest => {
                Err(format!("'{text}' exceeds maximum length of {longest}."))
            }
            (Self::Any, _) | (Self::Text(_), Value::String(_)) => Ok(()),
            (
                Self::UuidOrNull
                | Self::List
                | Self::Uuids
                | Self::FixedIps
                | Self::Prefixes
                | Self::Mac
                | Self::Address
                | Self::OneOf(_),
                Value::Null,
            ) => Ok(()),
            (Self::Text(_), other) => Err(format!("'{}' is not a valid string.", plain(other))),
            (Self::Flag, value) => {
                as_flag(value).map(drop).ok_or_else(|| format!("'{}' cannot be converted to boolean.", plain(value)))
            }
            (Self::Integer, value) => {
                as_number(value).map(drop).ok_or_else(|| format!("'{}' is not an integer.", plain(value)))
            }
            (Self::Uuid | Self::UuidOrNull, value) => uuid(value),
            (Self::Uuids, Value::Array(list)) => list.iter().try_for_each(uuid),
            (Self::FixedIps, Value::Array(list)) => list.iter().try_for_each(fixed_ip),
            (Self::Prefixes, Value::Array(list)) => prefixes(list),
            (Self::List, Value::Array(_)) => Ok(()),
            (Self::Uuids | Self::FixedIps | Self::Prefixes | Self::List, other) => {
                Err(format!("'{}' is not a list.", plain(other)))
            }
            (Self::Mac, value) => match value.as_str().map(parse_mac) {
                Some(Some(_)) => Ok(()),
                _ => Err(format!("'{}' is not a valid MAC address.", plain(value))),
            },
            (Self::Address, value) => {
                let parsed = value.as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok());
                parsed.map(drop).ok_or_else(|| format!("'{}' is not a valid IP address.", plain(value)))
            }
            (Self::OneOf(known), value) => match value.as_str().filter(|text| known.contains(text)) {
                Some(_) => Ok(()),
                None => Err(format!("{} is not in valid_values.", plain(value))),
            },
        }
    }
}

fn uuid(value: &Value) -> Result<(), String> {
    let parsed = value.as_str().and_then(|text| text.parse::<Uuid>().ok());
    parsed.map(drop).ok_or_else(|| format!("'{}' is not a valid UUID.", plain(value)))
}

fn fixed_ip(value: &Value) -> Result<(), String> {
    let Value::Object(wanted) = value else {
        return Err(format!("Invalid data format for fixed IP: '{}'.", plain(value)));
    };
    if let Some(address) = wanted.get("ip_address") {
        let parsed = address.as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok());
        parsed.ok_or_else(|| format!("'{}' is not a valid IP address.", plain(address)))?;
    }
    wanted.get("subnet_id").map_or(Ok(()), uuid)
}

fn prefixes(list: &[Value]) -> Result<(), String> {
    let twice: Vec<String> = list
        .iter()
        .enumerate()
        .filter(|(place, item)| list[..*place].contains(item))
        .map(|(_, item)| plain(item))
        .collect();
    if !twice.is_empty() {
        return Err(format!("Duplicate items in the list: '{}'.", twice.join(", ")));
    }
    list.iter().try_for_each(|item| {
        let parsed = item.as_str().and_then(|text| text.parse::<ipnet::IpNet>().ok());
        parsed.map(drop).ok_or_else(|| format!("'{}' is not a valid IP subnet.", plain(item)))
    })
}

/// A MAC address as `fa:16:3e:00:00:01`.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<&str> = text.split(':').collect();
    let bytes: Option<Vec<u8>> =
        parts.iter().map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2)).collect();
    bytes?.try_into().ok()
}

/// A value as Python prints it in Neutron's messages.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}
