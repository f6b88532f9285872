//! Load balancers as tests see them without asking over HTTP.

use super::{
    Octavia, Operating, Provisioning,
    object::{Kind, Object},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A load balancer with all that belongs to it. Listeners are in the order of their ports, pools of their names, members of
/// their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct LoadBalancerView {
    pub id: String,
    pub project_id: String,
    pub name: String,
    pub description: String,
    pub provider: String,
    pub tags: Vec<String>,
    pub admin_state_up: bool,
    pub provisioning_status: Provisioning,
    pub operating_status: Operating,
    pub vip_address: String,
    pub vip_port_id: String,
    pub vip_subnet_id: String,
    pub additional_vips: Vec<VipView>,
    pub listeners: Vec<ListenerView>,
    pub pools: Vec<PoolView>,
}

/// An additional address of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct VipView {
    pub ip_address: String,
    pub port_id: String,
    pub subnet_id: String,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct ListenerView {
    pub id: String,
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    pub admin_state_up: bool,
    pub provisioning_status: Provisioning,
    pub operating_status: Operating,
    pub protocol: String,
    pub protocol_port: i64,
    pub default_pool_id: Option<String>,
    pub connection_limit: i64,
    pub timeout_client_data: i64,
    pub timeout_member_data: i64,
    pub timeout_member_connect: i64,
    pub timeout_tcp_inspect: i64,
    pub allowed_cidrs: Vec<String>,
    pub insert_headers: BTreeMap<String, String>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct PoolView {
    pub id: String,
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    pub admin_state_up: bool,
    pub provisioning_status: Provisioning,
    pub operating_status: Operating,
    pub protocol: String,
    pub lb_algorithm: String,
    pub session_persistence: Option<Value>,
    pub health_monitor: Option<HealthMonitorView>,
    pub members: Vec<MemberView>,
}

/// A health monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct HealthMonitorView {
    pub id: String,
    pub name: String,
    pub provisioning_status: Provisioning,
    pub operating_status: Operating,
    pub kind: String,
    pub delay: i64,
    pub timeout: i64,
    pub max_retries: i64,
    pub max_retries_down: i64,
    pub url_path: Option<String>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of Octavia's attributes")]
pub struct MemberView {
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub admin_state_up: bool,
    pub provisioning_status: Provisioning,
    pub operating_status: Operating,
    pub address: String,
    pub protocol_port: i64,
    pub weight: i64,
    pub backup: bool,
    pub subnet_id: Option<String>,
}

fn texts(object: &Object, name: &str) -> Vec<String> {
    let list = object.attributes.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn optional(object: &Object, name: &str) -> Option<String> {
    Some(object.text(name)).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn number(object: &Object, name: &str) -> i64 {
    object.number(name).unwrap_or_default()
}

impl Octavia {
    /// All load balancers of all projects, in the order of their names.
    pub fn views(&self) -> Vec<LoadBalancerView> {
        let mut views: Vec<_> = self.store.of_kind(Kind::LoadBalancer).map(|object| self.view(object)).collect();
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        views
    }

    fn view(&self, object: &Object) -> LoadBalancerView {
        let mut listeners: Vec<_> = self.store.children(object.id, Kind::Listener).map(listener).collect();
        listeners.sort_by(|a, b| (a.protocol_port, &a.protocol).cmp(&(b.protocol_port, &b.protocol)));
        let mut pools: Vec<_> = self.store.children(object.id, Kind::Pool).map(|pool| self.pool_view(pool)).collect();
        pools.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        LoadBalancerView {
            id: object.id.to_string(),
            project_id: object.project.to_string(),
            name: object.text("name").to_owned(),
            description: object.text("description").to_owned(),
            provider: object.text("provider").to_owned(),
            tags: texts(object, "tags"),
            admin_state_up: object.is_up(),
            provisioning_status: object.provisioning,
            operating_status: object.operating,
            vip_address: object.text("vip_address").to_owned(),
            vip_port_id: object.text("vip_port_id").to_owned(),
            vip_subnet_id: object.text("vip_subnet_id").to_owned(),
            additional_vips: vips(object),
            listeners,
            pools,
        }
    }

    fn pool_view(&self, object: &Object) -> PoolView {
        let mut members: Vec<_> = self.store.children(object.id, Kind::Member).map(member).collect();
        members.sort_by(|a, b| (&a.address, a.protocol_port).cmp(&(&b.address, b.protocol_port)));
        PoolView {
            id: object.id.to_string(),
            name: object.text("name").to_owned(),
            description: object.text("description").to_owned(),
            tags: texts(object, "tags"),
            admin_state_up: object.is_up(),
            provisioning_status: object.provisioning,
            operating_status: object.operating,
            protocol: object.text("protocol").to_owned(),
            lb_algorithm: object.text("lb_algorithm").to_owned(),
            session_persistence: object.attributes.get("session_persistence").filter(|sp| !sp.is_null()).cloned(),
            health_monitor: self.store.monitor_of(object.id).map(monitor),
            members,
        }
    }
}

fn vips(object: &Object) -> Vec<VipView> {
    let list = object.attributes.get("additional_vips").and_then(Value::as_array);
    let text = |vip: &Value, name: &str| vip[name].as_str().unwrap_or_default().to_owned();
    let vip = |vip: &Value| VipView {
        ip_address: text(vip, "ip_address"),
        port_id: text(vip, "port_id"),
        subnet_id: text(vip, "subnet_id"),
    };
    list.into_iter().flatten().map(vip).collect()
}

fn listener(object: &Object) -> ListenerView {
    let headers = object.attributes.get("insert_headers").and_then(Value::as_object);
    let header = |(name, value): (&String, &Value)| (name.clone(), super::value::python(value));
    ListenerView {
        id: object.id.to_string(),
        name: object.text("name").to_owned(),
        description: object.text("description").to_owned(),
        tags: texts(object, "tags"),
        admin_state_up: object.is_up(),
        provisioning_status: object.provisioning,
        operating_status: object.operating,
        protocol: object.text("protocol").to_owned(),
        protocol_port: number(object, "protocol_port"),
        default_pool_id: optional(object, "default_pool_id"),
        connection_limit: number(object, "connection_limit"),
        timeout_client_data: number(object, "timeout_client_data"),
        timeout_member_data: number(object, "timeout_member_data"),
        timeout_member_connect: number(object, "timeout_member_connect"),
        timeout_tcp_inspect: number(object, "timeout_tcp_inspect"),
        allowed_cidrs: texts(object, "allowed_cidrs"),
        insert_headers: headers.into_iter().flatten().map(header).collect(),
    }
}

fn monitor(object: &Object) -> HealthMonitorView {
    HealthMonitorView {
        id: object.id.to_string(),
        name: object.text("name").to_owned(),
        provisioning_status: object.provisioning,
        operating_status: object.operating,
        kind: object.text("type").to_owned(),
        delay: number(object, "delay"),
        timeout: number(object, "timeout"),
        max_retries: number(object, "max_retries"),
        max_retries_down: number(object, "max_retries_down"),
        url_path: optional(object, "url_path"),
    }
}

fn member(object: &Object) -> MemberView {
    MemberView {
        id: object.id.to_string(),
        name: object.text("name").to_owned(),
        tags: texts(object, "tags"),
        admin_state_up: object.is_up(),
        provisioning_status: object.provisioning,
        operating_status: object.operating,
        address: object.text("address").to_owned(),
        protocol_port: number(object, "protocol_port"),
        weight: number(object, "weight"),
        backup: object.flag("backup"),
        subnet_id: optional(object, "subnet_id"),
    }
}
