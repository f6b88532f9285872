//! Lists: filters, sorting, pages, fields.

use super::{
    Failure, Neutron, Object, Outcome, Request,
    body::text_as_flag,
    object::{self, META_FIELDS, field},
};
use crate::{call::Answer, uuid::Uuid};
use serde_json::Value;

/// Filters that every kind of object with tags has.
const TAG_FILTERS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];

/// Fields that can't be filtered by.
const NOT_FILTERS: [&str; 4] = ["created_at", "updated_at", "binding:vif_details", "addresses"];

/// What a list request asks for.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// Values by field, in the order of the query. Values of one field are alternatives.
    pub filters: Vec<(String, Vec<String>)>,
    pub fields: Vec<String>,
    limit: Option<usize>,
    marker: Option<String>,
    reverse: bool,
    /// Fields to sort by; whether descending.
    sort: Vec<(String, bool)>,
    /// Everything but the marker and the direction, for links.
    rest: Vec<(String, String)>,
}

impl Query {
    /// Reads a query. `fields` are those of the kind of object beside the common ones.
    pub fn parse(query: &str, fields: &[&str]) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        let (mut keys, mut directions) = (Vec::new(), Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if key != "marker" && key != "page_reverse" {
                parsed.rest.push((key.clone(), value.clone()));
            }
            match key.as_str() {
                "fields" => parsed.fields.push(value),
                "limit" => parsed.limit = limit(&value)?,
                "marker" => parsed.marker = Some(value),
                "page_reverse" => parsed.reverse = text_as_flag(&value).unwrap_or(false),
                "sort_key" => keys.push(value),
                "sort_dir" => directions.push(value == "desc"),
                _ => parsed.filter(key, value),
            }
        }
        if keys.len() != directions.len() {
            return Err(Failure::http("The number of sort_keys and sort_dirs must be same"));
        }
        parsed.sort = keys.into_iter().zip(directions).collect();
        let known = |name: &str| {
            (META_FIELDS.contains(&name) || fields.contains(&name) || TAG_FILTERS.contains(&name))
                && !NOT_FILTERS.contains(&name)
        };
        let unknown: Vec<String> =
            parsed.filters.iter().filter(|(name, _)| !known(name)).map(|(name, _)| format!("'{name}'")).collect();
        if !unknown.is_empty() {
            let message = format!("[{}] is invalid attribute for filtering", unknown.join(", "));
            return Err(Failure::http(message));
        }
        if let Some((unknown, _)) = parsed.sort.iter().find(|(name, _)| !known(name)) {
            return Err(Failure::http(format!("['{unknown}'] is invalid attribute for sort_keys")));
        }
        Ok(parsed)
    }

    fn filter(&mut self, name: String, value: String) {
        match self.filters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.filters.push((name, vec![value])),
        }
    }

    /// The values of a filter; none: no such filter.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.filters.iter().find(|(known, _)| known == name).map(|(_, values)| values.as_slice())
    }

    /// The marker, where the order is that of the identifiers: an index can begin there.
    pub fn begins_after(&self) -> Option<Uuid> {
        let marker = self.marker.as_deref().filter(|_| self.sort.is_empty() && !self.reverse);
        marker.and_then(|marker| marker.parse().ok())
    }

    fn matches<O: Object>(&self, object: &O) -> Result<bool, Failure> {
        for (name, values) in &self.filters {
            let fits = match name.as_str() {
                "tags" => split(values).iter().all(|tag| has_tag(object, tag)),
                "tags-any" => split(values).iter().any(|tag| has_tag(object, tag)),
                "not-tags" => !split(values).iter().all(|tag| has_tag(object, tag)),
                "not-tags-any" => !split(values).iter().any(|tag| has_tag(object, tag)),
                name => fits(&field(object, name), values)?,
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn limit(text: &str) -> Result<Option<usize>, Failure> {
    let limit: usize = text.parse().map_err(|_| {
        let message = format!("Bad limit request: Limit must be an integer 0 or greater and not '{text}'.");
        Failure::new(400, "BadRequest", message)
    })?;
    Ok((limit > 0).then_some(limit))
}

fn split(values: &[String]) -> Vec<&str> {
    values.iter().flat_map(|value| value.split(',')).collect()
}

fn has_tag<O: Object>(object: &O, tag: &str) -> bool {
    object.meta().tags.iter().any(|known| known == tag)
}

/// Whether a field has one of the values.
fn fits(field: &Value, values: &[String]) -> Result<bool, Failure> {
    match field {
        Value::Bool(flag) => {
            for value in values {
                let wanted = text_as_flag(value);
                let wanted =
                    wanted.ok_or_else(|| Failure::invalid(&format!("'{value}' cannot be converted to boolean")))?;
                if wanted == *flag {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::String(text) => Ok(values.iter().any(|value| value == text)),
        Value::Number(number) => Ok(values.iter().any(|value| *value == number.to_string())),
        Value::Null => Ok(values.iter().any(String::is_empty)),
        Value::Array(list) if list.iter().any(Value::is_object) => Ok(some_row_fits(list, values)),
        Value::Array(list) => Ok(list.iter().filter_map(Value::as_str).any(|item| values.iter().any(|v| v == item))),
        Value::Object(_) => Ok(false),
    }
}

/// Filters such as `fixed_ips=subnet_id=S&fixed_ips=ip_address=A`: for each column that is named, one of the rows must
/// have one of its values; not all in the same row.
fn some_row_fits(rows: &[Value], values: &[String]) -> bool {
    let conditions: Vec<(&str, &str)> = values.iter().filter_map(|value| value.split_once('=')).collect();
    let row_fits = |row: &Value, column: &str| {
        let (member, part) = column.strip_suffix("_substr").map_or((column, false), |member| (member, true));
        let text = row.get(member).and_then(Value::as_str).unwrap_or_default();
        let mut wanted = conditions.iter().filter(|(name, _)| *name == column);
        wanted.any(|(_, value)| if part { text.contains(value) } else { text == *value })
    };
    conditions.iter().all(|(column, _)| rows.iter().any(|row| row_fits(row, column)))
}

impl Neutron {
    /// Answers a list request from objects that come in the order of their identifiers.
    pub(super) fn page<'a, O: Object + 'a>(
        &self,
        request: &Request<'_>,
        query: &Query,
        candidates: impl Iterator<Item = &'a O>,
    ) -> Outcome {
        if let Some(marker) = &query.marker {
            self.find::<O>(request, marker)?;
        }
        let limit = match (query.limit, self.options.most_per_page) {
            (Some(limit), Some(most)) => Some(limit.min(most)),
            (limit, most) => limit.or(most),
        };
        let seen = candidates.filter(|object| self.visible(request.caller, *object));
        let page = choose(query, limit, seen)?;
        let mut body = format!("{{\"{}\":[", O::NAMES.many).into_bytes();
        for (place, object) in page.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            body.extend(object::json(*object, &query.fields).to_string().into_bytes());
        }
        body.push(b']');
        if let Some(limit) = limit {
            let links = Value::Array(links(query, limit, &page, &request.url));
            body.extend(format!(",\"{}_links\":{links}", O::NAMES.many).into_bytes());
        }
        body.push(b'}');
        Ok(Answer::text(200, body))
    }
}

/// The objects of one page.
fn choose<'a, O: Object>(
    query: &Query,
    limit: Option<usize>,
    objects: impl Iterator<Item = &'a O>,
) -> Result<Vec<&'a O>, Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut chosen = Vec::new();
    if query.sort.is_empty() && !query.reverse {
        let after: Option<Uuid> = query.marker.as_deref().and_then(|marker| marker.parse().ok());
        for object in objects.filter(|object| after.is_none_or(|after| object.meta().id > after)) {
            if chosen.len() == limit {
                break;
            }
            if query.matches(object)? {
                chosen.push(object);
            }
        }
        return Ok(chosen);
    }
    for object in objects {
        if query.matches(object)? {
            chosen.push(object);
        }
    }
    for (name, descending) in query.sort.iter().rev() {
        // A stable sort by each key, the last first, is a sort by all keys.
        let key = |object: &&O| field(*object, name).to_string();
        match descending {
            true => chosen.sort_by_cached_key(|object| std::cmp::Reverse(key(object))),
            false => chosen.sort_by_cached_key(key),
        }
    }
    let place = query.marker.as_deref().map(|marker| {
        let place = chosen.iter().position(|object| object.meta().id.to_string() == marker);
        place.unwrap_or(chosen.len())
    });
    if query.reverse {
        chosen.truncate(place.unwrap_or(chosen.len()));
        let first = chosen.len().saturating_sub(limit);
        chosen.drain(..first);
    } else {
        chosen.drain(..place.map_or(0, |place| (place + 1).min(chosen.len())));
        chosen.truncate(limit);
    }
    Ok(chosen)
}

/// Links to the next and the previous page.
fn links<O: Object>(query: &Query, limit: usize, page: &[&O], url: &str) -> Vec<Value> {
    let link = |rel: &str, marker: Option<&&O>, reverse: bool| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&query.rest);
        if let Some(object) = marker {
            form.append_pair("marker", &object.meta().id.to_string());
        }
        if reverse {
            form.append_pair("page_reverse", "True");
        }
        serde_json::json!({ "rel": rel, "href": format!("{url}?{}", form.finish()) })
    };
    let full = page.len() >= limit;
    let mut links = Vec::new();
    if full || query.reverse {
        links.push(link("next", page.last(), false));
    }
    if full || !query.reverse {
        links.push(link("previous", page.first(), true));
    }
    links
}
