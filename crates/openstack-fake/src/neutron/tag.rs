//! Tags of objects.

use super::{
    Failure, Neutron, Object, Outcome, Request,
    body::Body,
    object::{Meta, Names},
};
use crate::call::Answer;
use serde_json::{Value, json};

/// Longest tag.
const LONGEST: usize = 255;

const TAGS: Names = Names {
    one: "tags",
    many: "tags",
    quota: "",
    title: "Tag",
    not_found: "TagNotFound",
    missing: "could not be found.",
};

impl Neutron {
    pub(super) fn tags<O: Object>(&mut self, request: &Request<'_>, id: &str, rest: &[&str]) -> Outcome {
        let method = request.call.method.as_str();
        let new = if method == "PUT" && rest.is_empty() { Some(read(request)?) } else { None };
        let id = self.find::<O>(request, id)?.meta().id;
        let Some(meta) = O::get_mut(self, id) else { return Err(Failure::no_such_path()) };
        match (method, rest, new) {
            ("GET", [], _) => Ok(answer(meta)),
            ("PUT", [], Some(tags)) => {
                meta.tags = tags;
                meta.touch();
                Ok(answer(meta))
            }
            ("PUT", [tag], _) => {
                if !meta.tags.iter().any(|known| known == tag) {
                    meta.tags.push((*tag).to_owned());
                    meta.touch();
                }
                Ok(Answer::empty(201))
            }
            ("DELETE", [], _) => {
                meta.tags.clear();
                meta.touch();
                Ok(Answer::empty(204))
            }
            ("DELETE", [tag], _) => {
                let place = meta.tags.iter().position(|known| known == tag);
                let place = place.ok_or_else(|| Failure::not_found(TAGS, tag))?;
                meta.tags.remove(place);
                meta.touch();
                Ok(Answer::empty(204))
            }
            _ => Err(Failure::no_such_path()),
        }
    }
}

fn answer(meta: &Meta) -> Answer {
    Answer::json(200, &json!({ "tags": meta.tags }))
}

/// The tags of a request that replaces all.
fn read(request: &Request<'_>) -> Result<Vec<String>, Failure> {
    let body = request.call.body.as_deref().and_then(Value::as_object);
    let body = body.map(Body).ok_or_else(|| Failure::http("Body contains invalid data"))?;
    let list = match body.get("tags") {
        Some(Value::Array(list)) => list,
        Some(other) => return Err(Failure::invalid(&format!("'{}' is not a list", super::attribute::plain(other)))),
        None => return Err(Failure::invalid("Invalid tags body")),
    };
    let mut tags: Vec<String> = Vec::with_capacity(list.len());
    for value in list {
        let text = super::attribute::plain(value);
        if text.chars().count() > LONGEST {
            return Err(Failure::invalid(&format!("'{text}' exceeds maximum length of {LONGEST}")));
        }
        if !tags.contains(&text) {
            tags.push(text);
        }
    }
    tags.sort();
    Ok(tags)
}
