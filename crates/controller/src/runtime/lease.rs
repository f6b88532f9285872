//! Requests about the one Lease object (`coordination.k8s.io/v1`). Every write is conditional on the version last seen.

use crate::{error::kubernetes_reason, settings::Lease as Settings};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Client, ResourceExt, api::PostParams};
use kuryr_api::CONTROLLER;
use kuryr_core::lease::{Record, Terms};
use std::{future::Future, time::Duration};

/// A request about the Lease that failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody has written, created or deleted the Lease since it was last seen.
    #[error("the Lease was written by somebody else at the same time")]
    Changed,
    /// The API server refused or could not be asked.
    #[error("could not {action} the Lease {lease}: {}", kubernetes_reason(source))]
    Kubernetes {
        /// What was tried.
        action: &'static str,
        /// Namespace and name.
        lease: String,
        /// The failure.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("could not {action} the Lease {lease}: no answer in {} s", limit.as_secs_f32())]
    Timeout {
        /// What was tried.
        action: &'static str,
        /// Namespace and name.
        lease: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// The way to the Lease, and the Lease as last seen.
pub struct Api {
    api: kube::Api<Lease>,
    name: String,
    limit: Duration,
    last: Option<Lease>,
}

impl Api {
    /// The Lease that the settings name.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        let api = kube::Api::namespaced(client.clone(), &settings.namespace);
        // A request that gets no answer leaves time for a second one.
        Self { api, name: settings.name.clone(), limit: settings.terms().renew_deadline / 2, last: None }
    }

    /// The Lease as it is now. `None`: there is none.
    ///
    /// # Errors
    /// When the API server can't be asked or refuses.
    pub async fn read(&mut self) -> Result<Option<Record>, Failure> {
        self.last = self.in_time("read", self.api.get_opt(&self.name)).await?;
        Ok(self.last.as_ref().map(record))
    }

    /// Writes the Lease, or creates it, in the name of this holder.
    ///
    /// # Errors
    /// [`Failure::Changed`] when it is no longer as last seen; when the API server can't be asked or refuses.
    pub async fn write(&mut self, holder: &str, terms: Terms, transition: bool) -> Result<Record, Failure> {
        let mut lease = self.last.clone().unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        let now = MicroTime(Timestamp::now());
        if transition || spec.acquire_time.is_none() {
            spec.acquire_time = Some(now.clone());
            // The first holder is no transition.
            let before = spec.lease_transitions;
            spec.lease_transitions = Some(before.map_or(0, |count| count.saturating_add(1)));
        }
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = Some(i32::try_from(terms.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        self.put(lease).await
    }

    /// Writes that nobody holds the Lease, as client-go does.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn give_back(&mut self) -> Result<(), Failure> {
        let mut lease = self.last.clone().unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..lease.spec.unwrap_or_default()
        });
        self.put(lease).await.map(drop)
    }

    async fn put(&mut self, mut lease: Lease) -> Result<Record, Failure> {
        let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
        let written = if self.last.is_some() {
            self.in_time("write", self.api.replace(&self.name, &parameters, &lease)).await?
        } else {
            lease.metadata.name = Some(self.name.clone());
            self.in_time("create", self.api.create(&parameters, &lease)).await?
        };
        let record = record(&written);
        self.last = Some(written);
        Ok(record)
    }

    async fn in_time<T>(
        &self,
        action: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let lease = || format!("{}/{}", self.api.namespace().unwrap_or_default(), self.name);
        match tokio::time::timeout(self.limit, request).await {
            Ok(Ok(answer)) => Ok(answer),
            // 409: another version is there (or, for a new one, any). 404: there is none any more.
            Ok(Err(kube::Error::Api(status)))
                if matches!((action, status.code), ("write", 404 | 409) | ("create", 409)) =>
            {
                Err(Failure::Changed)
            }
            Ok(Err(source)) => Err(Failure::Kubernetes { action, lease: lease(), source: Box::new(source) }),
            Err(_) => Err(Failure::Timeout { action, lease: lease(), limit: self.limit }),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or(0)),
        version: lease.resource_version().unwrap_or_default(),
    }
}
