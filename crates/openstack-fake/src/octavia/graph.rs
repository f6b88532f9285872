//! Everything that a load balancer is created with.

use super::{
    Failure, Octavia,
    create::{into_object, take_list},
    object::{Json, Kind},
};
use crate::uuid::Uuid;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The attributes that a pool that is only named has as well, because they have defaults.
const WITH_DEFAULTS: [&str; 3] = ["name", "admin_state_up", "tls_enabled"];

fn name(object: &Json) -> Option<&str> {
    object.get("name").and_then(Value::as_str)
}

impl Octavia {
    /// Creates pools, their monitors and members, and then listeners that name them.
    pub(super) fn graph_create(
        &mut self,
        load_balancer: Uuid,
        mut listeners: Vec<Json>,
        mut pools: Vec<Json>,
    ) -> Result<(), Failure> {
        let references = gather_pools(&mut listeners, &mut pools)?;
        let mut names: Vec<&str> = pools.iter().map(|pool| name(pool).unwrap_or_default()).collect();
        for wanted in references {
            if !names.contains(&wanted.as_str()) {
                let message = format!("Pool '{wanted}' was referenced but no full definition was found.");
                return Err(Failure::validation(&message));
            }
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let message = "Pool names must be unique when creating a fully populated loadbalancer.";
            return Err(Failure::validation(message));
        }
        let project = self.owner(load_balancer)?.project.clone();
        self.check_quota(Kind::Pool, &project, pools.len())?;
        let mut ids = HashMap::new();
        for pool in pools {
            let name = name(&pool).unwrap_or_default().to_owned();
            ids.insert(name, self.graph_pool(load_balancer, pool)?);
        }
        self.check_quota(Kind::Listener, &project, listeners.len())?;
        for mut listener in listeners {
            if let Some(pool) = listener.remove("default_pool").and_then(into_object) {
                let name = name(&pool).unwrap_or_default();
                let id = ids.get(name).ok_or_else(|| missing(name))?;
                listener.insert("default_pool_id".to_owned(), id.to_string().into());
            }
            self.insert_listener(load_balancer, listener)?;
        }
        Ok(())
    }

    fn graph_pool(&mut self, load_balancer: Uuid, mut pool: Json) -> Result<Uuid, Failure> {
        for attribute in ["protocol", "lb_algorithm"] {
            if pool.get(attribute).is_none_or(Value::is_null) {
                let name = name(&pool).unwrap_or_default();
                let message = format!("Pool definition for '{name}' missing required attribute: {attribute}");
                return Err(Failure::validation(&message));
            }
        }
        let monitor = pool.remove("healthmonitor").and_then(into_object);
        let members = take_list(&mut pool, "members");
        let id = self.insert_pool(load_balancer, pool)?;
        let project = self.owner(load_balancer)?.project.clone();
        if let Some(monitor) = monitor {
            self.check_quota(Kind::HealthMonitor, &project, 1)?;
            self.insert_monitor(id, monitor)?;
        }
        self.check_quota(Kind::Member, &project, members.len())?;
        for member in members {
            self.insert_member(id, member)?;
        }
        Ok(id)
    }
}

fn missing(name: &str) -> Failure {
    Failure::new(400, format!("Missing details for Pool object: {name}"))
}

/// Moves the pools that listeners bring along to the others. What is left of them is their names; those that were named
/// only are returned.
fn gather_pools(listeners: &mut [Json], pools: &mut Vec<Json>) -> Result<Vec<String>, Failure> {
    let mut references = Vec::new();
    for listener in listeners {
        let Some(pool) = listener.get("default_pool").and_then(Value::as_object) else { continue };
        let Some(name) = name(pool).map(ToOwned::to_owned) else {
            return Err(Failure::validation("Pools must be named when creating a fully populated loadbalancer."));
        };
        if pool.keys().any(|attribute| !WITH_DEFAULTS.contains(&attribute.as_str())) {
            let reference = json!({ "name": name });
            let whole = listener.insert("default_pool".to_owned(), reference);
            pools.extend(whole.and_then(into_object));
        } else {
            references.push(name);
        }
    }
    Ok(references)
}
