//! Reading the bodies of requests: which attributes there are, of which types, and who may give them when.

use super::{
    Failure, attributes,
    object::{Json, Kind},
    value::{flag, in_range, number, prefix, python, repr, text, uuid},
};
use crate::call::Call;
use serde_json::{Value, json};
use std::net::IpAddr;

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub name: &'static str,
    pub kind: Type,
    /// Where it may be given.
    pub uses: u8,
    /// Where it must be given.
    pub required: u8,
    /// What a new object has that isn't given it.
    pub default: Default,
}

/// In a request that creates an object.
pub(super) const POST: u8 = 1;
/// In a request that changes one.
pub(super) const PUT: u8 = 2;
/// Within the request that creates a whole load balancer.
pub(super) const GRAPH: u8 = 4;

/// What an attribute is when nobody has set it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    Null,
    Number(i64),
    Flag(bool),
    Text(&'static str),
    List,
    Map,
    /// The object doesn't answer it.
    Absent,
}

impl Default {
    fn value(self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Number(number) => number.into(),
            Self::Flag(flag) => flag.into(),
            Self::Text(text) => text.into(),
            Self::List => json!([]),
            Self::Map => json!({}),
            Self::Absent => return None,
        })
    }
}

/// Type of an attribute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    /// Text of at most so many characters.
    Text(usize),
    Flag,
    /// A number of this range.
    Number(i64, i64),
    Uuid,
    Address,
    OneOf(&'static [&'static str]),
    /// Texts of at most so many characters.
    Texts(usize),
    Uuids,
    Prefixes,
    /// Texts by name.
    Texted,
    /// An object with these attributes, for the same use.
    Same(&'static [Attribute]),
    /// One object of another kind with these attributes, or a list of them.
    Nested(&'static [Attribute], u8),
    NestedList(&'static [Attribute], u8),
    /// Anything: it isn't used here.
    Any,
}

/// Reads the object of a request.
pub(super) fn read(call: &Call, kind: Kind, usage: u8) -> Result<Json, Failure> {
    let argument = kind.argument();
    let missing = || Failure::new(400, format!("Missing argument: \"{argument}\""));
    let whole = call.body.as_deref().ok_or_else(missing)?;
    let body = whole.as_object().ok_or_else(missing)?;
    if let Some(unknown) = body.keys().find(|name| *name != kind.one()) {
        return Err(Failure::new(400, format!("Unknown attribute for argument {argument}: {unknown}")));
    }
    let object = body.get(kind.one()).and_then(Value::as_object);
    let object = object.ok_or_else(missing)?;
    let read = check(attributes::of(kind), usage, object, &format!("{argument}.{}", kind.one()));
    read.map_err(|failure| failure.in_body(argument, whole))
}

/// Reads the members of a batch.
pub(super) fn read_members(call: &Call) -> Result<Vec<Json>, Failure> {
    let list = call.body.as_deref().and_then(|body| body.get("members")).and_then(Value::as_array);
    let list = list.ok_or_else(|| Failure::new(400, "Missing argument: \"members_\""))?;
    let one = |value: &Value| {
        let object = value.as_object().ok_or_else(|| Failure::input("members", &python(value), "Not an object."))?;
        let mut member = check(attributes::MEMBER, POST, object, "members_.members")?;
        fill_given(attributes::MEMBER, POST, &mut member);
        Ok(member)
    };
    let read: Result<Vec<Json>, Failure> = list.iter().map(one).collect();
    read.map_err(|failure| failure.in_body("members_", call.body.as_deref().unwrap_or(&Value::Null)))
}

/// The attributes that were given, each as its type writes it.
fn check(known: &[Attribute], usage: u8, object: &Json, path: &str) -> Result<Json, Failure> {
    let find = |name: &str| known.iter().find(|attribute| attribute.name == name && attribute.uses & usage != 0);
    let unknown: Vec<&str> = object.keys().map(String::as_str).filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        let many = if unknown.len() > 1 { "s" } else { "" };
        return Err(Failure::new(400, format!("Unknown attribute{many} for argument {path}: {}", unknown.join(", "))));
    }
    let is_missing = |attribute: &&Attribute| attribute.required & usage != 0 && !object.contains_key(attribute.name);
    if let Some(missing) = known.iter().find(is_missing) {
        return Err(Failure::input(missing.name, "None", "Mandatory field missing."));
    }
    let mut read = Json::new();
    for (name, value) in object {
        let Some(attribute) = find(name) else { continue };
        let value = attribute.kind.read(name, value, usage, path)?;
        // Nobody means `null` by a switch: it is off.
        let value = if name == "admin_state_up" && value.is_null() { false.into() } else { value };
        read.insert(name.clone(), value);
    }
    Ok(read)
}

/// Adds what a new object has that wasn't given it.
pub(super) fn fill(known: &[Attribute], object: &mut Json) {
    for attribute in known {
        let is_set = object.get(attribute.name).is_some_and(|value| !value.is_null());
        if let Some(default) = attribute.default.value().filter(|_| !is_set) {
            object.insert(attribute.name.to_owned(), default);
        }
    }
}

/// Sets attributes that a change sets to `null` to what a new object has.
pub(super) fn set_back(known: &[Attribute], names: &[&str], change: &mut Json) {
    for attribute in known.iter().filter(|attribute| names.contains(&attribute.name)) {
        if let Some(value) = change.get_mut(attribute.name).filter(|value| value.is_null()) {
            *value = attribute.default.value().unwrap_or_default();
        }
    }
}

/// Adds what a request means that doesn't say it: a batch sets members' weights back.
fn fill_given(known: &[Attribute], usage: u8, object: &mut Json) {
    for attribute in known.iter().filter(|attribute| attribute.uses & usage != 0) {
        let default = match attribute.default {
            Default::Number(_) | Default::Flag(_) => attribute.default.value(),
            _ if attribute.name.starts_with("monitor_") => Some(Value::Null),
            _ => None,
        };
        if let Some(default) = default.filter(|_| !object.contains_key(attribute.name)) {
            object.insert(attribute.name.to_owned(), default);
        }
    }
}

impl Type {
    /// The value as Octavia keeps it.
    fn read(self, name: &str, value: &Value, usage: u8, path: &str) -> Result<Value, Failure> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let wrong = |reason: &str| Failure::input(name, &python(value), reason);
        match self {
            Self::Any => Ok(value.clone()),
            Self::Text(longest) => text(value, longest).map(Into::into).map_err(|reason| wrong(&reason)),
            Self::Flag => {
                let reason = || format!("Value not an unambiguous boolean: {}", python(value));
                flag(value).map(Into::into).ok_or_else(|| Failure::conversion(&reason()))
            }
            Self::Number(least, most) => {
                let number = number(value).ok_or_else(|| {
                    Failure::conversion(&format!("invalid literal for int() with base 10: {}", repr(value)))
                })?;
                in_range(number, least, most).map(Into::into).map_err(|reason| wrong(&reason))
            }
            Self::Uuid => uuid(value).map(Into::into).ok_or_else(|| wrong("Value should be UUID format")),
            Self::Address => {
                let known = value.as_str().filter(|text| text.parse::<IpAddr>().is_ok());
                known.map(Into::into).ok_or_else(|| wrong("Value should be IPv4 or IPv6 format"))
            }
            Self::OneOf(known) => {
                let found = value.as_str().filter(|text| known.contains(text));
                found.map(Into::into).ok_or_else(|| wrong(&format!("Value should be one of: {}", known.join(", "))))
            }
            Self::Texts(longest) => {
                each(name, value, |item| text(item, longest).map(Into::into).map_err(|reason| wrong(&reason)))
            }
            Self::Uuids => {
                each(name, value, |item| uuid(item).map(Into::into).ok_or_else(|| wrong("Value should be UUID format")))
            }
            Self::Prefixes => each(name, value, |item| {
                prefix(item).map(Into::into).ok_or_else(|| wrong("Value should be IPv4 or IPv6 CIDR format"))
            }),
            Self::Texted => match value {
                Value::Object(_) => Ok(value.clone()),
                _ => Err(wrong("Value not a valid dict.")),
            },
            Self::Same(known) => nested(name, value, known, usage, path),
            Self::Nested(known, usage) => nested(name, value, known, usage, path),
            Self::NestedList(known, usage) => each(name, value, |item| nested(name, item, known, usage, path)),
        }
    }
}

fn each(name: &str, value: &Value, read: impl Fn(&Value) -> Result<Value, Failure>) -> Result<Value, Failure> {
    let wrong = || Failure::input(name, &python(value), &format!("Value not a valid list: {}", python(value)));
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(read).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn nested(name: &str, value: &Value, known: &[Attribute], usage: u8, path: &str) -> Result<Value, Failure> {
    let object = value.as_object().ok_or_else(|| Failure::input(name, &python(value), "Value not a valid dict."))?;
    check(known, usage, object, &format!("{path}.{name}")).map(Value::Object)
}
