//! The statuses of a load balancer and all that belongs to it, in one answer, and its statistics.

use super::{
    Failure, Octavia, Outcome, Request,
    object::{Kind, Object},
};
use crate::call::Answer;
use serde_json::{Value, json};

/// What every part says.
fn part(object: &Object) -> Value {
    json!({
        "id": object.id.to_string(), "name": object.text("name"),
        "provisioning_status": object.provisioning.text(), "operating_status": object.operating.text(),
    })
}

impl Octavia {
    pub(super) fn status_tree(&self, request: &Request<'_>, id: &str) -> Outcome {
        let object = self.readable(request, Kind::LoadBalancer, id)?;
        let mut tree = part(object);
        let listeners = self.store.children(object.id, Kind::Listener);
        tree["listeners"] = listeners.map(|listener| self.listener_statuses(listener)).collect();
        Ok(Answer::json(200, &json!({ "statuses": { "loadbalancer": tree } })))
    }

    /// Only pools that a listener has are in the tree.
    fn listener_statuses(&self, listener: &Object) -> Value {
        let mut tree = part(listener);
        let pool = listener.uuid("default_pool_id").and_then(|id| self.store.get(id));
        tree["pools"] = pool.into_iter().map(|pool| self.pool_statuses(pool)).collect();
        tree
    }

    fn pool_statuses(&self, pool: &Object) -> Value {
        let mut tree = part(pool);
        tree["health_monitor"] = Value::Null;
        if let Some(monitor) = self.store.monitor_of(pool.id) {
            tree["health_monitor"] = part(monitor);
            tree["health_monitor"]["type"] = monitor.text("type").into();
        }
        let members = self.store.children(pool.id, Kind::Member).map(|member| {
            let mut tree = part(member);
            tree["address"] = member.text("address").into();
            tree["protocol_port"] = member.number("protocol_port").into();
            tree
        });
        tree["members"] = members.collect();
        tree
    }

    /// Nothing ever passes.
    pub(super) fn stats(&self, request: &Request<'_>, id: &str) -> Outcome {
        let kinds = [Kind::LoadBalancer, Kind::Listener];
        let found = kinds.into_iter().find_map(|kind| self.find(kind, id).ok());
        let object = found.ok_or_else(|| Failure::not_found(Kind::LoadBalancer, id))?;
        request.may_touch(&object.project)?;
        let names = ["active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections"];
        let stats: Value = names.into_iter().map(|name| (name.to_owned(), json!(0))).collect();
        Ok(Answer::json(200, &json!({ "stats": stats })))
    }
}
