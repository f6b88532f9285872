//! Neutron's Networking API v2.0, as far as `crates/openstack` has a call for it. What is said and refused, and with
//! which words, was read off a Neutron 29 with ML2/OVN; the contract tests hold it to that.

mod address;
mod address_group;
mod association;
mod attribute;
mod body;
mod control;
mod extension;
mod failure;
mod floating_ip;
mod group;
mod group_attributes;
mod group_view;
mod list;
mod network;
mod object;
mod pool;
mod port;
mod port_addresses;
mod port_attributes;
mod port_store;
mod quota;
mod router;
mod router_interface;
mod rule;
mod rule_content;
mod subnet;
mod tag;
#[cfg(test)]
mod tests;

use crate::{
    Config,
    call::{Answer, Call, Headers},
    keystone::Caller,
    uuid::Uuid,
};
use body::Body;
use failure::{Failure, Outcome};
use hyper::Method;
use list::Query;
use object::Object;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

pub use group_view::{AddressGroupView, RuleView, SecurityGroupView};
pub use port::PortView;

/// Everything that Neutron knows.
pub(crate) struct Neutron {
    options: Options,
    networks: BTreeMap<Uuid, network::Network>,
    subnets: BTreeMap<Uuid, subnet::Subnet>,
    pools: BTreeMap<Uuid, pool::SubnetPool>,
    groups: BTreeMap<Uuid, group::SecurityGroup>,
    address_groups: BTreeMap<Uuid, address_group::AddressGroup>,
    ports: port_store::Ports,
    routers: BTreeMap<Uuid, router::Router>,
    floating_ips: BTreeMap<Uuid, floating_ip::FloatingIp>,
    quotas: HashMap<String, BTreeMap<String, i64>>,
}

/// How this Neutron is set up.
struct Options {
    hosts: Option<BTreeSet<String>>,
    tag_ports: bool,
    most_per_page: Option<usize>,
    default_quota: i64,
    address_groups: bool,
    new_group_rules: Vec<Json>,
}

/// One request in the course of being carried out.
struct Request<'a> {
    caller: &'a Caller,
    call: &'a Call,
    revision: Option<i64>,
    /// The collection's URL, for links to pages.
    url: String,
}

impl Neutron {
    pub fn new(config: &Config) -> Self {
        let options = Options {
            hosts: config.hosts.clone(),
            tag_ports: config.tag_ports,
            most_per_page: config.most_per_page,
            default_quota: config.default_quota,
            address_groups: config.address_groups,
            new_group_rules: config.new_group_rules.iter().filter_map(Value::as_object).cloned().collect(),
        };
        Self {
            options,
            networks: BTreeMap::new(),
            subnets: BTreeMap::new(),
            pools: BTreeMap::new(),
            groups: BTreeMap::new(),
            address_groups: BTreeMap::new(),
            ports: port_store::Ports::default(),
            routers: BTreeMap::new(),
            floating_ips: BTreeMap::new(),
            quotas: HashMap::new(),
        }
    }

    /// Carries out a request of somebody who is logged in. `base` is the URL of the API's version.
    pub fn handle(&mut self, caller: &Caller, call: &Call, headers: &Headers, base: &str) -> Answer {
        let url = format!("{base}/{}", call.path);
        let request = Request { caller, call, revision: headers.revision, url };
        self.dispatch(&request).unwrap_or_else(Failure::into_answer)
    }

    fn dispatch(&mut self, request: &Request<'_>) -> Outcome {
        let put = request.call.method == Method::PUT;
        match request.call.segments().as_slice() {
            ["networks", rest @ ..] => self.resource::<network::Network>(request, rest),
            ["subnets", rest @ ..] => self.resource::<subnet::Subnet>(request, rest),
            ["subnetpools", rest @ ..] => self.resource::<pool::SubnetPool>(request, rest),
            ["security-groups", rest @ ..] => self.resource::<group::SecurityGroup>(request, rest),
            ["security-group-rules", rest @ ..] => self.resource::<rule::Rule>(request, rest),
            ["address-groups", ..] if !self.options.address_groups => Err(Failure::no_such_path()),
            ["address-groups", id, "add_addresses"] if put => self.change_addresses(request, id, true),
            ["address-groups", id, "remove_addresses"] if put => self.change_addresses(request, id, false),
            ["address-groups", rest @ ..] => self.resource::<address_group::AddressGroup>(request, rest),
            ["ports", rest @ ..] => self.resource::<port::Port>(request, rest),
            ["routers", id, action] if put && action.ends_with("_router_interface") => {
                self.router_interface(request, id, action)
            }
            ["routers", rest @ ..] => self.resource::<router::Router>(request, rest),
            ["floatingips", rest @ ..] => {
                self.settle_floating_ips();
                self.resource::<floating_ip::FloatingIp>(request, rest)
            }
            ["quotas", rest @ ..] => self.quota(request, rest),
            ["extensions"] => Ok(extension::list(self.options.address_groups)),
            _ => Err(Failure::no_such_path()),
        }
    }

    /// What can be done with every kind of object.
    fn resource<O: Object>(&mut self, request: &Request<'_>, rest: &[&str]) -> Outcome {
        match (request.call.method.as_str(), rest) {
            ("GET", []) => O::list(self, request),
            ("POST", []) => self.create::<O>(request),
            ("GET", [id]) => {
                let object = self.find::<O>(request, id)?;
                let fields = Query::parse(&request.call.query, O::FIELDS)?.fields;
                Ok(object::answer_one(200, object, &fields))
            }
            ("PUT", [id]) => {
                let id = self.checked::<O>(request, id)?;
                let change = Body::one(request.call, O::NAMES)?;
                O::update(self, request, id, change)?;
                Ok(object::answer_one(200, self.stored::<O>(id)?, &[]))
            }
            ("DELETE", [id]) => {
                let id = self.checked::<O>(request, id)?;
                O::delete(self, request, id)?;
                Ok(Answer::empty(204))
            }
            (_, [id, "tags", rest @ ..]) if O::HAS_TAGS => self.tags::<O>(request, id, rest),
            _ => Err(Failure::no_such_path()),
        }
    }

    /// Creates one object, or all or none of several.
    fn create<O: Object>(&mut self, request: &Request<'_>) -> Outcome {
        let (bodies, bulk) = Body::many(request.call, O::NAMES)?;
        for body in &bodies {
            O::check(self, request, *body)?;
        }
        self.check_quota::<O>(request, &bodies)?;
        let mut created: Vec<Uuid> = Vec::with_capacity(bodies.len());
        for body in bodies {
            match O::create(self, request, body) {
                Ok(id) => created.push(id),
                Err(failure) => {
                    created.iter().for_each(|id| O::remove(self, *id));
                    return Err(failure);
                }
            }
        }
        let objects: Vec<&O> = created.iter().filter_map(|id| O::get(self, *id)).collect();
        match (bulk, objects.as_slice()) {
            (false, [object]) => Ok(object::answer_one(201, *object, &[])),
            _ => Ok(object::answer_many(201, &objects)),
        }
    }

    /// The object with this identifier, if the caller may see it.
    fn find<O: Object>(&self, request: &Request<'_>, id: &str) -> Result<&O, Failure> {
        let object = id.parse().ok().and_then(|id| O::get(self, id));
        object.filter(|object| self.visible(request.caller, *object)).ok_or_else(|| Failure::not_found(O::NAMES, id))
    }

    /// The identifier of an object that the caller may change, at the revision that the request is for.
    fn checked<O: Object>(&self, request: &Request<'_>, id: &str) -> Result<Uuid, Failure> {
        let object = self.find::<O>(request, id)?;
        if !may_change(request.caller, object) {
            return Err(Failure::no_such_path());
        }
        match (request.revision, object.meta().revision) {
            (Some(wanted), current) if wanted != current => Err(Failure::revision(wanted, current)),
            _ => Ok(object.meta().id),
        }
    }

    /// An object that was found before in the same request.
    fn stored<O: Object>(&self, id: Uuid) -> Result<&O, Failure> {
        O::get(self, id).ok_or_else(|| Failure::not_found(O::NAMES, &id.to_string()))
    }

    /// Whether a project sees an object: its own, what is shared, and everything for the cloud's own services.
    fn visible<O: Object>(&self, caller: &Caller, object: &O) -> bool {
        may_change(caller, object) || object.is_shared() || (caller.service && O::SERVICES_SEE)
    }
}

fn may_change<O: Object>(caller: &Caller, object: &O) -> bool {
    caller.admin || (caller.service && O::SERVICES_CHANGE) || *object.meta().project == *caller.project
}

impl Request<'_> {
    /// The project that a new object belongs to: the caller's, or for administrators the one that is named.
    fn project(&self, body: Body<'_>) -> Arc<str> {
        match body.text("project_id").or_else(|| body.text("tenant_id")) {
            Some(project) if *project != *self.caller.project => project.into(),
            _ => Arc::clone(&self.caller.project),
        }
    }
}

/// A JSON object.
type Json = Map<String, Value>;

impl Neutron {
    /// Creates something for a seeded cloud, as its project would.
    pub fn seed(&mut self, project: &Arc<str>, path: &str, body: Value) -> Answer {
        self.internal(&Caller::of_the_cloud(project), Method::POST, path, Some(body))
    }

    /// Carries out a request of another service, which no fault meets and no journal notes. The status and the body.
    pub fn ask(&mut self, caller: &Caller, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.internal(caller, method, path, body);
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Makes a port for something of Neutron's own, such as a router.
    fn own_port(&mut self, project: &Arc<str>, port: Value) -> Result<Uuid, Failure> {
        let Value::Object(port) = port else { return Err(Failure::no_such_path()) };
        let caller = Caller::of_the_cloud(project);
        let call = Call {
            number: 0,
            service: crate::Service::Network,
            method: Method::POST,
            path: "ports".to_owned(),
            query: String::new(),
            body: None,
        };
        let request = Request { caller: &caller, call: &call, revision: None, url: String::new() };
        port::Port::create(self, &request, Body(&port))
    }

    fn drop_port(&mut self, port: Uuid) {
        port::Port::remove(self, port);
    }

    fn internal(&mut self, caller: &Caller, method: Method, path: &str, body: Option<Value>) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = Call {
            number: 0,
            service: crate::Service::Network,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            body: body.map(Arc::new),
        };
        self.handle(caller, &call, &Headers::default(), "")
    }
}
