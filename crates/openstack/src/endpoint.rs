//! A request as a value: everything about it, and nothing about how it is executed.

use crate::Priority;
use reqwest::Method;
use serde::Serialize;
use std::{collections::BTreeMap, marker::PhantomData};

/// A service of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Service {
    /// Type in Keystone's catalogue (OpenStack service types authority).
    pub catalogue_type: &'static str,
    /// The path that all of its resources are below. The catalogue's URL may already end with it, or with another spelling of it (`v2`,
    /// `v2.0`).
    pub root: &'static str,
}

impl Service {
    /// Keystone.
    pub const IDENTITY: Self = Self { catalogue_type: "identity", root: "v3" };
    /// Neutron.
    pub const NETWORK: Self = Self { catalogue_type: "network", root: "v2.0" };
    /// Octavia.
    pub const LOAD_BALANCER: Self = Self { catalogue_type: "load-balancer", root: "v2" };
}

/// When a request may be sent again although an earlier attempt may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Always: carrying it out twice is the same as once (GET, PUT of a whole state, a login).
    Safe,
    /// Always: as `Safe`, and 404 on a repetition means that an earlier attempt did it.
    Delete,
    /// Only when no attempt can have been carried out (POST that creates something).
    Never,
}

/// One request: its service, method, path, query, body, and the type `A` of its answer.
#[derive(Debug)]
pub struct Endpoint<A> {
    pub(crate) call: Call,
    answer: PhantomData<fn() -> A>,
}

impl<A> Clone for Endpoint<A> {
    fn clone(&self) -> Self {
        Self { call: self.call.clone(), answer: PhantomData }
    }
}

/// What an [`Endpoint`] is without the type of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub service: Service,
    pub method: Method,
    /// What the request is about, for metrics: `ports`, `security-groups`.
    pub resource: &'static str,
    /// Path below the service's root; the parts are not yet percent-encoded.
    pub path: Vec<String>,
    pub query: Vec<(&'static str, String)>,
    /// The body as JSON, or why it couldn't be written.
    pub body: Result<Option<Vec<u8>>, String>,
    /// The member of the answer that holds the value; `None` when the answer has no content.
    pub key: Option<&'static str>,
    pub repeat: Repeat,
    /// Objects that the request changes: what its timeout depends on.
    pub items: usize,
    /// Whether a write's time says how busy the service is: it doesn't where it depends on how large the object is.
    pub paced: bool,
    /// Whose turn it is first where requests wait.
    pub priority: Priority,
    /// Whether the path is below the service's root. Only the list of its versions isn't.
    pub versioned: bool,
    /// Whether the request carries the token. Only the login doesn't.
    pub with_token: bool,
}

impl<A> Endpoint<A> {
    /// A request for `path`, whose parts are percent-encoded when it is sent. A POST is taken for one that creates
    /// something, so it isn't repeated blindly unless [`Self::repeat`] says so.
    #[must_use]
    pub fn new(service: Service, method: Method, path: &[&str]) -> Self {
        let repeat = match method {
            Method::POST | Method::PATCH => Repeat::Never,
            Method::DELETE => Repeat::Delete,
            _ => Repeat::Safe,
        };
        let call = Call {
            service,
            method,
            resource: "other",
            path: path.iter().map(|&part| part.to_owned()).collect(),
            query: Vec::new(),
            body: Ok(None),
            key: None,
            repeat,
            items: 1,
            paced: true,
            priority: Priority::default(),
            versioned: true,
            with_token: true,
        };
        Self { call, answer: PhantomData }
    }

    /// The name of the resource in metrics.
    #[must_use]
    pub fn resource(mut self, resource: &'static str) -> Self {
        self.call.resource = resource;
        self
    }

    /// Parameters after the `?`.
    #[must_use]
    pub fn query(mut self, query: Vec<(&'static str, String)>) -> Self {
        self.call.query = query;
        self
    }

    /// A body `{key: value}`, as nearly every OpenStack request has it.
    #[must_use]
    pub fn body(mut self, key: &str, value: &impl Serialize) -> Self {
        let body = BTreeMap::from([(key, value)]);
        self.call.body = serde_json::to_vec(&body).map(Some).map_err(|error| error.to_string());
        self
    }

    /// The member of the answer that holds the value.
    #[must_use]
    pub fn answer_in(mut self, key: &'static str) -> Self {
        self.call.key = Some(key);
        self
    }

    /// When the request may be sent again.
    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.call.repeat = repeat;
        self
    }

    /// How many objects a bulk request changes; its timeout grows with it.
    #[must_use]
    pub fn items(mut self, items: usize) -> Self {
        self.call.items = items;
        self
    }

    /// What the request is for: whose turn it is first where requests wait.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.call.priority = priority;
        self
    }

    /// The request takes longer the larger the object is, which says nothing about how busy the service is.
    pub(crate) fn of_any_size(mut self) -> Self {
        self.call.paced = false;
        self
    }

    /// The path is below the service's endpoint itself, beside all versions of its API.
    pub(crate) fn unversioned(mut self) -> Self {
        self.call.versioned = false;
        self
    }

    /// Sends the request without a token.
    pub(crate) fn without_token(mut self) -> Self {
        self.call.with_token = false;
        self
    }
}

impl Call {
    /// The path below the service's endpoint, as errors and logs show it.
    pub fn display_path(&self) -> String {
        let root = self.versioned.then_some(self.service.root);
        let parts: Vec<&str> = root.into_iter().chain(self.path.iter().map(String::as_str)).collect();
        format!("/{}", parts.join("/"))
    }

    /// Whether carrying it out changes anything. A POST that may always be repeated (a login) doesn't.
    pub fn has_effect(&self) -> bool {
        match self.method {
            Method::GET | Method::HEAD => false,
            Method::POST => self.repeat != Repeat::Safe,
            _ => true,
        }
    }
}
