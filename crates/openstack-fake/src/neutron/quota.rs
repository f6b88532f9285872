//! Quotas of projects.

use super::{
    Failure, Neutron, Object, Outcome, Request,
    body::{Body, as_number},
    floating_ip::FloatingIp,
    group::SecurityGroup,
    network::Network,
    object::Names,
    pool::SubnetPool,
    port::Port,
    router::Router,
    rule::Rule,
    subnet::Subnet,
};
use crate::call::Answer;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How many objects of a kind a project has.
type Count = fn(&Neutron, &str) -> usize;

/// Kinds of objects with quotas.
const KINDS: [(&str, Count); 11] = [
    (Network::NAMES.quota, Network::count),
    (Subnet::NAMES.quota, Subnet::count),
    (SubnetPool::NAMES.quota, SubnetPool::count),
    (Port::NAMES.quota, Port::count),
    (SecurityGroup::NAMES.quota, SecurityGroup::count),
    (Rule::NAMES.quota, Rule::count),
    (Router::NAMES.quota, Router::count),
    ("router_route", none),
    (FloatingIp::NAMES.quota, FloatingIp::count),
    ("rbac_policy", none),
    ("trunk", none),
];

/// Kinds that this Neutron doesn't have.
const fn none(_: &Neutron, _: &str) -> usize {
    0
}

/// The envelope of quotas.
const QUOTA: Names = Names {
    one: "quota",
    many: "quotas",
    quota: "",
    title: "Quota for project",
    not_found: "TenantQuotaNotFound",
    missing: "could not be found.",
};

impl Neutron {
    pub(super) fn quota(&mut self, request: &Request<'_>, rest: &[&str]) -> Outcome {
        match (request.call.method.as_str(), rest) {
            ("GET", [project, "details" | "details.json"]) => {
                may_read(request, project)?;
                Ok(self.quota_details(project))
            }
            ("GET", [project]) => {
                may_read(request, project)?;
                Ok(self.limits(project))
            }
            ("PUT", [project]) => {
                if !request.caller.admin {
                    return Err(Failure::forbidden("update_quota"));
                }
                self.set_limits(project, Body::one(request.call, QUOTA)?)?;
                Ok(self.limits(project))
            }
            ("DELETE", [project]) => {
                if !request.caller.admin {
                    return Err(Failure::forbidden("delete_quota"));
                }
                let known = self.quotas.remove(*project);
                known.map(|_| Answer::empty(204)).ok_or_else(|| Failure::not_found(QUOTA, project))
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    fn limit(&self, project: &str, kind: &str) -> i64 {
        let set = self.quotas.get(project).and_then(|limits| limits.get(kind));
        set.copied().unwrap_or(self.options.default_quota)
    }

    fn limits(&self, project: &str) -> Answer {
        let limits: Map<String, Value> =
            KINDS.iter().map(|(kind, _)| ((*kind).to_owned(), self.limit(project, kind).into())).collect();
        Answer::json(200, &json!({ "quota": limits }))
    }

    fn quota_details(&self, project: &str) -> Answer {
        let details = KINDS.iter().map(|(kind, count)| {
            let usage = json!({ "limit": self.limit(project, kind), "used": count(self, project), "reserved": 0 });
            ((*kind).to_owned(), usage)
        });
        Answer::json(200, &json!({ "quota": details.collect::<Map<_, _>>() }))
    }

    fn set_limits(&mut self, project: &str, body: Body<'_>) -> Result<(), Failure> {
        let mut limits = self.quotas.get(project).cloned().unwrap_or_default();
        for (kind, value) in body.0 {
            if !KINDS.iter().any(|(known, _)| known == kind) {
                return Err(Failure::http(format!("Unrecognized attribute(s) '{kind}'")));
            }
            let text = super::attribute::plain(value);
            let limit = as_number(value).ok_or_else(|| Failure::invalid(&format!("'{text}' is not an integer")))?;
            if limit < -1 {
                let reason = format!("'{limit}' is too small - must be at least '-1'.");
                return Err(Failure::attribute(kind, &reason));
            }
            limits.insert(kind.clone(), limit);
        }
        self.quotas.insert(project.to_owned(), limits);
        Ok(())
    }

    /// Whether the projects may have so many more objects of a kind.
    pub(super) fn check_quota<O: Object>(&self, request: &Request<'_>, bodies: &[Body<'_>]) -> Result<(), Failure> {
        let mut new: HashMap<_, i64> = HashMap::new();
        for body in bodies {
            *new.entry(request.project(*body)).or_default() += 1;
        }
        for (project, new) in new {
            self.check_room::<O>(&project, new)?;
        }
        Ok(())
    }

    /// Whether a project may have so many more objects of a kind.
    pub(super) fn check_room<O: Object>(&self, project: &str, new: i64) -> Result<(), Failure> {
        if !KINDS.iter().any(|(kind, _)| *kind == O::NAMES.quota) {
            return Ok(());
        }
        let limit = self.limit(project, O::NAMES.quota);
        let used = i64::try_from(O::count(self, project)).unwrap_or(i64::MAX);
        if limit >= 0 && used.saturating_add(new) > limit {
            let message = format!("Quota exceeded for resources: ['{}'].", O::NAMES.quota);
            return Err(Failure::conflict("OverQuota", message));
        }
        Ok(())
    }
}

fn may_read(request: &Request<'_>, project: &str) -> Result<(), Failure> {
    if request.caller.admin || *request.caller.project == *project {
        return Ok(());
    }
    let message = "User does not have admin privileges: Only admin is authorized to access quotas for another project.";
    Err(Failure::new(403, "AdminRequired", message))
}
