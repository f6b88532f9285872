//! Objects as Octavia answers them.

use super::{
    Octavia,
    object::{Json, Kind, Object, time},
};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Value, json};

fn id_of(id: Uuid) -> Value {
    json!({ "id": id.to_string() })
}

impl Octavia {
    /// One object in its envelope, or those of its fields that are asked for.
    pub(super) fn answer_one(&self, status: u16, object: &Object, fields: &[String]) -> Answer {
        let mut envelope = Json::new();
        envelope.insert(object.kind.one().to_owned(), chosen(self.json(object), fields).into());
        Answer::json(status, &envelope.into())
    }

    /// A load balancer with everything in it, as the request that creates it is answered.
    pub(super) fn answer_full(&self, status: u16, object: &Object) -> Answer {
        Answer::json(status, &json!({ "loadbalancer": self.full(object) }))
    }

    fn ids(&self, parent: Uuid, kind: Kind) -> Value {
        self.store.children(parent, kind).map(|child| id_of(child.id)).collect()
    }

    /// An object with the identifiers of what belongs to it.
    pub(super) fn json(&self, object: &Object) -> Json {
        let mut json = common(object);
        match object.kind {
            Kind::LoadBalancer => {
                json.insert("listeners".to_owned(), self.ids(object.id, Kind::Listener));
                json.insert("pools".to_owned(), self.ids(object.id, Kind::Pool));
            }
            Kind::Listener => {
                json.insert("loadbalancers".to_owned(), object.parent.map(id_of).into_iter().collect());
            }
            Kind::Pool => {
                json.insert("loadbalancers".to_owned(), object.parent.map(id_of).into_iter().collect());
                json.insert("listeners".to_owned(), self.listener_ids(object));
                json.insert("members".to_owned(), self.ids(object.id, Kind::Member));
                if let Some(monitor) = self.store.monitor_of(object.id) {
                    json.insert("healthmonitor_id".to_owned(), monitor.id.to_string().into());
                }
            }
            Kind::Member => {}
            Kind::HealthMonitor => {
                json.insert("pools".to_owned(), object.parent.map(id_of).into_iter().collect());
            }
        }
        json
    }

    fn listener_ids(&self, pool: &Object) -> Value {
        self.store.listeners_of(pool.id, pool.parent).into_iter().map(id_of).collect()
    }

    /// An object with everything that belongs to it.
    fn full(&self, object: &Object) -> Value {
        let mut json = common(object);
        let children = |kind| self.store.children(object.id, kind).map(|child| self.full(child)).collect::<Value>();
        match object.kind {
            Kind::LoadBalancer => {
                json.insert("listeners".to_owned(), children(Kind::Listener));
                json.insert("pools".to_owned(), children(Kind::Pool));
            }
            Kind::Pool => {
                let monitor = self.store.monitor_of(object.id).map(|monitor| self.full(monitor));
                json.insert("healthmonitor".to_owned(), monitor.unwrap_or_default());
                json.insert("listeners".to_owned(), self.listener_ids(object));
                json.insert("members".to_owned(), children(Kind::Member));
            }
            Kind::Listener | Kind::Member | Kind::HealthMonitor => {}
        }
        json.into()
    }
}

/// What every object answers, and what is its own.
fn common(object: &Object) -> Json {
    let mut json = object.attributes.clone();
    for (name, value) in [
        ("id", object.id.to_string().into()),
        ("project_id", (*object.project).into()),
        ("tenant_id", (*object.project).into()),
        ("provisioning_status", object.provisioning.text().into()),
        ("operating_status", object.operating.text().into()),
        ("created_at", time(object.created).into()),
        ("updated_at", object.updated.map(time).into()),
    ] {
        json.insert(name.to_owned(), value);
    }
    for name in ["name", "description"] {
        if json.get(name).is_some_and(Value::is_null) {
            json.insert(name.to_owned(), "".into());
        }
    }
    if object.kind == Kind::Listener {
        json.insert("l7policies".to_owned(), json!([]));
    }
    // An empty list of prefixes is none.
    if json.get("allowed_cidrs").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        json.insert("allowed_cidrs".to_owned(), Value::Null);
    }
    json
}

pub(super) fn chosen(mut json: Json, fields: &[String]) -> Json {
    if !fields.is_empty() {
        json.retain(|name, _| fields.iter().any(|field| field == name));
    }
    json
}
