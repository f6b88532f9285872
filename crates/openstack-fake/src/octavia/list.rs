//! Lists: filters, sorting, pages, fields.

use super::{
    Failure, Octavia, Outcome, Request,
    object::{Json, Kind, Object},
    render::chosen,
    value::text_as_flag,
};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Value, json};
use std::{cmp::Ordering, collections::BTreeMap};

/// Parameters that aren't filters.
const AUXILIARY: [&str; 7] = ["limit", "marker", "sort", "sort_key", "sort_dir", "fields", "page_reverse"];
const TAGS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];
/// What objects answer but can't be filtered by.
const NOT_FILTERS: [&str; 6] = ["tenant_id", "additional_vips", "loadbalancers", "listeners", "pools", "members"];

/// What some fields are called in Octavia's database: filters are taken by these names as well.
const IN_THE_DATABASE: [(&str, &str); 3] =
    [("load_balancer_id", "loadbalancer_id"), ("enabled", "admin_state_up"), ("ip_address", "address")];

/// The fields that a query asks for.
pub(super) fn fields(query: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == "fields").map(|(_, value)| value.into_owned()).collect()
}

/// What a list request asks for.
struct Query {
    parameters: BTreeMap<String, Vec<String>>,
    /// Fields to sort by; whether descending.
    sort: Vec<(String, bool)>,
    limit: Option<usize>,
}

impl Query {
    fn parse(query: &str, most: usize) -> Result<Self, Failure> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            let inner = IN_THE_DATABASE.iter().find(|(inner, _)| *inner == name);
            let name = inner.map_or(name, |(_, outer)| (*outer).to_owned());
            parameters.entry(name).or_default().push(value);
        }
        let mut query = Self { parameters, sort: Vec::new(), limit: Some(most) };
        if let Some(text) = query.one("limit").map(ToOwned::to_owned) {
            query.limit = limit(&text, most)?;
        }
        query.sort = query.sort_keys()?;
        Ok(query)
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).and_then(|values| values.first()).map(String::as_str)
    }

    fn sort_keys(&self) -> Result<Vec<(String, bool)>, Failure> {
        let mut keys = Vec::new();
        if let Some(sort) = self.one("sort") {
            for part in sort.split(',') {
                let (key, direction) = part.split_once(':').unwrap_or((part, "asc"));
                keys.push((key.to_owned(), is_descending(direction)?));
            }
        } else if let Some(names) = self.one("sort_key") {
            let directions: Vec<&str> = self.one("sort_dir").map(|text| text.split(',').collect()).unwrap_or_default();
            for (place, key) in names.split(',').enumerate() {
                keys.push((key.to_owned(), is_descending(directions.get(place).copied().unwrap_or("asc"))?));
            }
        }
        for key in ["created_at", "id"] {
            if !keys.iter().any(|(known, _)| known == key) {
                keys.push((key.to_owned(), false));
            }
        }
        Ok(keys)
    }

    fn filters(&self) -> impl Iterator<Item = (&str, &[String])> {
        let pairs = self.parameters.iter().filter(|(name, _)| !AUXILIARY.contains(&name.as_str()));
        pairs.map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    fn matches(&self, object: &Json) -> Result<bool, Failure> {
        for (name, values) in self.filters() {
            let fits = if TAGS.contains(&name) { tags_fit(name, values, object) } else { fits(name, values, object)? };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn compare(&self, a: &Json, b: &Json) -> Ordering {
        for (key, descending) in &self.sort {
            let order = compare(&a[key], &b[key]);
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

fn limit(text: &str, most: usize) -> Result<Option<usize>, Failure> {
    let wrong = || Failure::query(format!("Supplied pagination limit '{text}' is not valid."));
    if text == "infinite" {
        return Ok(None);
    }
    let limit: i64 = text.parse().map_err(|_| wrong())?;
    Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0).map(|limit| limit.min(most)))
}

fn is_descending(text: &str) -> Result<bool, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(false),
        "desc" => Ok(true),
        other => Err(Failure::query(format!("Supplied sort direction '{other}' is not valid."))),
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// Whether a field has a value. More than one is more than Octavia's database can compare with.
fn fits(name: &str, values: &[String], object: &Json) -> Result<bool, Failure> {
    let [value] = values else {
        let reason = "(MySQLdb._exceptions.OperationalError) (4078, \"Illegal parameter data types varchar and row for \
                      operation '='\")";
        return Err(Failure::new(500, reason));
    };
    if name == "loadbalancer_id" {
        let owners = object.get("loadbalancers").and_then(Value::as_array);
        return Ok(owners.is_some_and(|owners| owners.iter().any(|owner| owner["id"] == value.as_str())));
    }
    Ok(match object.get(name) {
        Some(Value::Bool(flag)) => text_as_flag(value).unwrap_or(false) == *flag,
        // MySQL compares text without case.
        Some(Value::String(text)) => text.eq_ignore_ascii_case(value),
        Some(Value::Number(number)) => number.to_string() == *value,
        _ => false,
    })
}

fn tags_fit(name: &str, values: &[String], object: &Json) -> bool {
    let own: Vec<&str> = object["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut wanted = values.iter().flat_map(|value| value.split(','));
    match name {
        "tags" => wanted.all(|tag| own.contains(&tag)),
        "tags-any" => wanted.any(|tag| own.contains(&tag)),
        "not-tags" => !wanted.all(|tag| own.contains(&tag)),
        _ => !wanted.any(|tag| own.contains(&tag)),
    }
}

impl Octavia {
    /// Answers a list request: of a kind, or of the members of a pool.
    pub(super) fn list(&self, request: &Request<'_>, kind: Kind, parent: Option<Uuid>) -> Outcome {
        let query = Query::parse(&request.call.query, self.options.most_per_page)?;
        let known = self.known_filters(kind);
        if query.filters().any(|(name, _)| !known.contains(&name) && !TAGS.contains(&name)) {
            return Err(Failure::new(400, "One or more arguments are either duplicate or invalid"));
        }
        let project = query.one("project_id");
        if let Some(project) = project {
            request.may_touch(project)?;
        }
        let own = &*request.caller.project;
        let visible = |object: &&Object| request.caller.admin || *object.project == *own;
        let candidates: Vec<&Object> = match parent {
            Some(pool) => self.store.children(pool, kind).filter(visible).collect(),
            None => self.store.of_kind(kind).filter(visible).collect(),
        };
        let page = self.page(&query, &candidates)?;
        let links = links(&query, &page, &request.url);
        let fields = fields(&request.call.query);
        let objects: Vec<Value> = page.into_iter().map(|object| chosen(object, &fields).into()).collect();
        let mut body = Json::new();
        body.insert(kind.many().to_owned(), objects.into());
        body.insert(format!("{}_links", kind.many()), links.into());
        Ok(Answer::json(200, &body.into()))
    }

    /// Names that objects of a kind can be filtered by.
    fn known_filters(&self, kind: Kind) -> Vec<&'static str> {
        let own = super::attributes::of(kind).iter().map(|attribute| attribute.name);
        let common = ["id", "project_id", "provisioning_status", "operating_status", "created_at", "updated_at"];
        let relation = match kind {
            Kind::Listener | Kind::Pool => "loadbalancer_id",
            Kind::HealthMonitor | Kind::Member => "pool_id",
            Kind::LoadBalancer => "id",
        };
        let all = own.chain(common).chain([relation]);
        all.filter(|name| !NOT_FILTERS.contains(name) && *name != "healthmonitor" && *name != "l7policies").collect()
    }

    fn page(&self, query: &Query, candidates: &[&Object]) -> Result<Vec<Json>, Failure> {
        let mut found = Vec::new();
        for object in candidates {
            let mut json = self.json(object);
            if let (Kind::HealthMonitor | Kind::Member, Some(pool)) = (object.kind, object.parent) {
                json.insert("pool_id".to_owned(), pool.to_string().into());
            }
            if query.matches(&json)? {
                json.remove("pool_id");
                found.push(json);
            }
        }
        if let Some((key, _)) = query.sort.iter().find(|(key, _)| found.iter().any(|object| !object.contains_key(key)))
        {
            return Err(Failure::new(400, format!("Supplied sort key '{key}' is not valid.")));
        }
        // What comes in the order of creation needn't be sorted again.
        if query.sort.len() > 2 || query.sort.iter().any(|(_, descending)| *descending) {
            found.sort_by(|a, b| query.compare(a, b));
        }
        if let Some(marker) = query.one("marker") {
            let known = marker.parse().ok().and_then(|id| self.store.get(id));
            let known = known
                .ok_or_else(|| Failure::new(400, format!("Supplied pagination marker '{marker}' is not valid.")))?;
            let marker = self.json(known);
            let reverse = query.one("page_reverse") == Some("True");
            let side = if reverse { Ordering::Less } else { Ordering::Greater };
            found.retain(|object| query.compare(object, &marker) == side);
        }
        found.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(found)
    }
}

/// Links to other pages. They carry neither the filters nor the fields of the request: Octavia leaves them out.
fn links(query: &Query, page: &[Json], url: &str) -> Vec<Value> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else { return Vec::new() };
    let limit = query.limit.map_or_else(|| "None".to_owned(), |limit| limit.to_string());
    let mut attributes = format!("limit={limit}");
    for name in ["sort", "sort_key"] {
        if let Some(value) = query.one(name) {
            attributes.push_str(&format!("&{name}={value}"));
        }
    }
    let id = |object: &Json| object["id"].as_str().unwrap_or_default().to_owned();
    let mut links = Vec::new();
    if query.one("marker").is_some() {
        let href = format!("{url}?{attributes}&marker={}&page_reverse=True", id(first));
        links.push(json!({ "rel": "previous", "href": href }));
    }
    if query.limit.is_none_or(|limit| page.len() >= limit) {
        links.push(json!({ "rel": "next", "href": format!("{url}?{attributes}&marker={}", id(last)) }));
    }
    links
}
