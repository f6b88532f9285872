//! What the resources of all services have in common: how they are named, read, listed, created, changed and deleted.

use crate::{Cloud, Endpoint, Error, Priority, endpoint::Service};
use futures::Stream;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

/// The names by which a resource goes in paths and bodies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resource {
    /// In the path and in metrics.
    pub path: &'static str,
    /// Around one object.
    pub one: &'static str,
    /// Around a list.
    pub many: &'static str,
}

/// Parameters after the `?`.
pub(crate) type Query = Vec<(&'static str, String)>;

/// The requests of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub cloud: Cloud,
    service: Service,
    /// What all paths begin with, below the service's root.
    prefix: &'static [&'static str],
    priority: Priority,
}

impl Api {
    pub fn new(cloud: Cloud, service: Service, prefix: &'static [&'static str]) -> Self {
        Self { cloud, service, prefix, priority: Priority::default() }
    }

    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { priority, ..self.clone() }
    }

    /// A request about `path`, counted under the resource's name.
    pub fn endpoint<A>(&self, resource: Resource, method: Method, path: &[&str]) -> Endpoint<A> {
        let path = [self.prefix, path].concat();
        Endpoint::new(self.service, method, &path).resource(resource.path).priority(self.priority)
    }

    /// A request about the service as a whole, beside all versions of its API.
    pub fn at_the_root<A>(&self, resource: Resource) -> Endpoint<A> {
        let endpoint = Endpoint::new(self.service, Method::GET, &[]).unversioned();
        endpoint.resource(resource.path).priority(self.priority)
    }

    pub async fn get<A: DeserializeOwned>(&self, resource: Resource, id: &str) -> Result<A, Error> {
        self.cloud.run(&self.endpoint(resource, Method::GET, &[resource.path, id]).answer_in(resource.one)).await
    }

    pub async fn list<A>(&self, resource: Resource, query: Query) -> Result<Vec<A>, Error>
    where
        A: DeserializeOwned + Send + 'static,
    {
        self.list_at(resource, &[resource.path], query).await
    }

    /// A list that isn't at the resource's own path, as one that belongs to an object.
    pub async fn list_at<A>(&self, resource: Resource, path: &[&str], query: Query) -> Result<Vec<A>, Error>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let endpoint = self.endpoint(resource, Method::GET, path).query(query);
        self.cloud.run_list(&endpoint.answer_in(resource.many)).await
    }

    pub fn stream<A>(&self, resource: Resource, query: Query) -> impl Stream<Item = Result<A, Error>> + Send + use<A>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let endpoint = self.endpoint(resource, Method::GET, &[resource.path]).query(query);
        self.cloud.run_stream(endpoint.answer_in(resource.many))
    }

    pub async fn create<A: DeserializeOwned>(&self, resource: Resource, new: &impl Serialize) -> Result<A, Error> {
        let endpoint = self.endpoint(resource, Method::POST, &[resource.path]);
        self.cloud.run(&endpoint.body(resource.one, new).answer_in(resource.one)).await
    }

    /// One request for all: the service creates either every object or none.
    pub async fn create_bulk<A: DeserializeOwned, N: Serialize>(
        &self,
        resource: Resource,
        new: &[N],
    ) -> Result<Vec<A>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let endpoint = self.endpoint(resource, Method::POST, &[resource.path]).items(new.len());
        self.cloud.run(&endpoint.body(resource.many, &new).answer_in(resource.many)).await
    }

    pub async fn update<A: DeserializeOwned>(
        &self,
        resource: Resource,
        id: &str,
        update: &impl Serialize,
    ) -> Result<A, Error> {
        let endpoint = self.endpoint(resource, Method::PUT, &[resource.path, id]);
        self.cloud.run(&endpoint.body(resource.one, update).answer_in(resource.one)).await
    }

    pub async fn delete(&self, resource: Resource, id: &str) -> Result<(), Error> {
        self.cloud.run(&self.endpoint(resource, Method::DELETE, &[resource.path, id])).await
    }
}
