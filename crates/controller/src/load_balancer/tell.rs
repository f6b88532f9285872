//! What is told of a load balancer: its status, and Events on its Service.

use super::{
    Turn,
    status::{self, Facts, NoAddress},
};
use crate::{
    error::Error,
    runtime::{apply, cache::object_ref, queue},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kuryr_api::{FloatingIpStatus, KuryrLoadBalancer, KuryrLoadBalancerStatus, conditions};
use kuryr_core::service::{Observed, Step, plan};

impl Turn<'_> {
    pub(super) async fn publish(
        &self,
        observed: &Observed,
        step: &Step,
        floating_ip: &Result<Option<FloatingIpStatus>, NoAddress>,
    ) -> Result<(), Error> {
        let facts = Facts {
            desired: self.desired.as_ref(),
            current: plan::current(&self.identity, observed),
            step,
            stuck: observed.stuck,
            floating_ip,
        };
        match status::status(&self.object, &facts, Timestamp::now()) {
            Some(status) => self.write(status).await,
            None => Ok(()),
        }
    }

    /// Writes the status, and tells on the Service what is new of it and bad.
    async fn write(&self, status: KuryrLoadBalancerStatus) -> Result<(), Error> {
        for (reason, message) in status::news(&self.present().conditions, &status.conditions) {
            self.services.events.warn(&self.service(), "Serve", reason, message).await;
        }
        let written = apply::status(&self.services.load_balancers_api(&self.object), &*self.object, &status).await?;
        if conditions::is_true(&status.conditions, conditions::READY)
            && let Some(took) = self.services.memory.served(&self.uid)
        {
            self.services.metrics.served(took);
        }
        self.services.load_balancers.wrote(written);
        Ok(())
    }

    /// Says why a request failed, as far as that isn't over in a moment.
    pub(super) async fn tell_failure(&self, error: &Error) -> Result<(), Error> {
        let failure = match error {
            Error::OpenStack { source, .. } => status::failure(source, self.present().load_balancer_id.is_none()),
            Error::Service { problem, .. } => (kuryr_api::conditions::load_balancer::REFUSED, problem.clone()),
            Error::Kubernetes { .. } | Error::Unusable { .. } => return Ok(()),
        };
        let key = queue::key::<KuryrLoadBalancer>(&object_ref(self.object.namespace().as_deref(), &self.name));
        if error.class() == kuryr_core::error::Class::Conflict
            && self.services.retries.in_a_row(&key, error.class()) < 3
        {
            return Ok(());
        }
        let Some(status) = status::failed(&self.object, &failure, Timestamp::now()) else { return Ok(()) };
        match self.write(status).await {
            Err(error) if !error.is_stale() => Err(error),
            _ => Ok(()),
        }
    }

    fn service(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: self.object.namespace(),
            name: Some(self.object.spec.service_name.clone()),
            uid: Some(self.object.spec.service_uid.clone()),
            ..ObjectReference::default()
        }
    }
}
