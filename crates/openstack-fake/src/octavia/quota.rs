//! Quotas of projects.

use super::{
    Failure, Octavia, Outcome, Request,
    object::{Json, Kind},
};
use crate::call::Answer;
use serde_json::{Value, json};

/// Names of quotas; the last two are of kinds that this Octavia doesn't have.
const NAMES: [&str; 7] = ["loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule"];

/// Two that Octavia once misspelt and still takes.
const MISSPELT: [(&str, &str); 2] = [("load_balancer", "loadbalancer"), ("health_monitor", "healthmonitor")];

/// The quota of this name, however it is spelt.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let right = MISSPELT.iter().find(|(wrong, _)| *wrong == name).map_or(name, |(_, right)| *right);
    NAMES.into_iter().find(|known| *known == right)
}

impl Octavia {
    pub(super) fn quota(&mut self, request: &Request<'_>, rest: &[&str]) -> Outcome {
        match (request.call.method.as_str(), rest) {
            ("GET", []) => {
                let projects = self.quotas.keys().filter(|project| request.may_touch(project).is_ok());
                let all: Vec<Value> = projects.map(|project| self.limits(project)).collect();
                Ok(Answer::json(200, &json!({ "quotas": all, "quotas_links": [] })))
            }
            ("GET", [project]) => {
                request.may_touch(project)?;
                Ok(Answer::json(200, &json!({ "quota": self.limits(project) })))
            }
            ("GET", [project, "default"]) => {
                request.may_touch(project)?;
                let mut limits = self.limits("");
                (limits["project_id"], limits["tenant_id"]) = ((*project).into(), (*project).into());
                Ok(Answer::json(200, &json!({ "quota": limits })))
            }
            ("PUT", [project]) => {
                only_admin(request)?;
                self.change_limits(project, request.call.body.as_deref())?;
                Ok(Answer::json(202, &json!({ "quota": self.limits(project) })))
            }
            ("DELETE", [project]) => {
                only_admin(request)?;
                let known = self.quotas.remove(*project);
                known
                    .map(|_| Answer::empty(202))
                    .ok_or_else(|| Failure::new(404, format!("Quotas {project} not found.")))
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    fn limit(&self, project: &str, name: &str) -> i64 {
        let set = self.quotas.get(project).and_then(|limits| limits.get(name));
        set.copied().unwrap_or(self.options.default_quota)
    }

    fn limits(&self, project: &str) -> Value {
        let mut limits: Json =
            NAMES.into_iter().map(|name| (name.to_owned(), self.limit(project, name).into())).collect();
        if !project.is_empty() {
            limits.extend(["project_id", "tenant_id"].map(|name| (name.to_owned(), project.into())));
        }
        for (wrong, right) in MISSPELT {
            limits.insert(wrong.to_owned(), self.limit(project, right).into());
        }
        limits.into()
    }

    fn change_limits(&mut self, project: &str, body: Option<&Value>) -> Result<(), Failure> {
        let limits = body.and_then(|body| body.get("quota")).and_then(Value::as_object);
        let limits = limits.ok_or_else(|| Failure::new(400, "Missing argument: \"quotas\""))?;
        for (name, value) in limits {
            let unknown = || Failure::new(400, format!("Unknown attribute for argument quotas.quota: {name}"));
            let known = known(name).ok_or_else(unknown)?;
            let text = super::value::python(value);
            let limit = value.as_i64().ok_or_else(|| Failure::input(name, &text, "Value should be an integer"))?;
            if limit < -1 {
                return Err(Failure::input(name, &text, "Value should be greater or equal to -1"));
            }
            self.set_quota(project, known, limit);
        }
        Ok(())
    }

    /// A project's limit; -1: none.
    pub fn set_quota(&mut self, project: &str, name: &'static str, limit: i64) {
        self.quotas.entry(project.to_owned()).or_default().insert(name, limit);
    }

    /// Whether a project may have so many more objects of a kind.
    pub(super) fn check_quota(&self, kind: Kind, project: &str, new: usize) -> Result<(), Failure> {
        let limit = self.limit(project, kind.one());
        if limit < 0 || new == 0 {
            return Ok(());
        }
        let wanted = i64::try_from(self.store.count(kind, project) + new).unwrap_or(i64::MAX);
        if wanted > limit { Err(Failure::quota(kind)) } else { Ok(()) }
    }
}

pub(super) fn only_admin(request: &Request<'_>) -> Result<(), Failure> {
    if request.caller.admin { Ok(()) } else { Err(Failure::forbidden()) }
}
