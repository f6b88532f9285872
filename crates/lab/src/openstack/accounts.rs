//! Who may do what: service users, the catalogue, and Kuryr's own project and user.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    PASSWORD, clouds, keystone, neutron_api, octavia_api,
    rest::{ADMIN, Login, Session, id},
};
use crate::engine::{CONTROL, Component, Lab, netns};

/// Kuryr's login.
pub const KURYR: Login<'static> = Login { user: "kuryr", project: "kuryr" };

/// The roles of the user `kuryr` in its project; it needs no administrator's rights:
/// * `member` to own networks, ports, groups and load balancers;
/// * `service`, because Neutron lets only an administrator or this role set `binding:host_id` of a port
///   (`create_port:binding:host_id`, `ADMIN_OR_SERVICE` in neutron/conf/policies/port.py); with `member` alone a POST is
///   answered with 403.
///
/// Tried with neutron 29.0.0 and octavia 19.0.0. The role `service` is wider than one would wish: its bearer sees, changes
/// and deletes the ports of every project, and makes ports in every network. So Kuryr must never trust a list to hold
/// only what is its own.
const KURYR_ROLES: [&str; 2] = ["member", "service"];

/// The accounts and the catalogue.
pub(super) struct Accounts;

impl Component for Accounts {
    fn name(&self) -> String {
        "keystone-accounts".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["keystone".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        netns::enter(CONTROL, || {
            let keystone = Keystone(Session::open(ADMIN)?);
            keystone.service_users()?;
            keystone.catalogue()?;
            keystone.project(KURYR.project)?;
            keystone.user(KURYR.user)?;
            keystone.grant(KURYR.user, KURYR.project, &KURYR_ROLES)?;
            let credential = application_credential()?;
            clouds::write(lab, &credential)
        })?
    }
}

struct Keystone(Session);

impl Keystone {
    fn ensure(&self, list: &str, single: &str, object: &Value) -> Result<Value> {
        let name = object.get("name").and_then(Value::as_str).unwrap_or_default();
        let url = format!("{}/{list}", keystone::url());
        self.0.ensure(&url, &format!("name={name}"), list, single, object)
    }

    fn project(&self, name: &str) -> Result<Value> {
        self.ensure("projects", "project", &json!({"name": name, "domain_id": "default"}))
    }

    fn user(&self, name: &str) -> Result<Value> {
        self.ensure("users", "user", &json!({"name": name, "domain_id": "default", "password": PASSWORD}))
    }

    fn grant(&self, user: &str, project: &str, roles: &[&str]) -> Result<()> {
        let (user, project) = (id(&self.user(user)?)?, id(&self.project(project)?)?);
        for role in roles {
            let role = id(&self.ensure("roles", "role", &json!({"name": role}))?)?;
            let url = format!("{}/projects/{project}/users/{user}/roles/{role}", keystone::url());
            self.0.put(&url, None)?;
        }
        Ok(())
    }

    fn service_users(&self) -> Result<()> {
        self.project("service")?;
        for user in ["neutron", "octavia"] {
            self.user(user)?;
            self.grant(user, "service", &["admin", "service"])?;
        }
        Ok(())
    }

    fn catalogue(&self) -> Result<()> {
        let endpoints = format!("{}/endpoints", keystone::url());
        for (name, kind, url) in
            [("neutron", "network", neutron_api::url()), ("octavia", "load-balancer", octavia_api::url())]
        {
            let service = id(&self.ensure("services", "service", &json!({"name": name, "type": kind}))?)?;
            for interface in ["public", "internal", "admin"] {
                let filter = format!("service_id={service}&interface={interface}");
                let endpoint =
                    json!({"service_id": service, "interface": interface, "url": url, "region_id": "RegionOne"});
                self.0.ensure(&endpoints, &filter, "endpoints", "endpoint", &endpoint)?;
            }
        }
        Ok(())
    }
}

/// An application credential of the user `kuryr`: its id. Only the user itself can make one.
fn application_credential() -> Result<String> {
    let session = Session::open(KURYR)?;
    let url = format!("{}/users/{}/application_credentials", keystone::url(), session.user_id);
    let credential = json!({"name": "kuryr", "secret": PASSWORD});
    id(&session.ensure(&url, "name=kuryr", "application_credentials", "application_credential", &credential)?)
}
