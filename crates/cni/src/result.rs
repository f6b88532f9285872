//! The result of ADD, in the version that the caller asked for.

use crate::{
    error::{CniError, Code},
    version::SpecVersion,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// What ADD made. The newest specification has the most fields; [`AddResult::render`] leaves out what an older one lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AddResult {
    /// The interfaces on the host and in the sandbox.
    pub interfaces: Vec<Interface>,
    /// The addresses, each with the interface that has it.
    pub ips: Vec<Ip>,
    /// The routes in the sandbox.
    pub routes: Vec<Route>,
    /// The name servers. Kubernetes ignores them: a pod's `dnsPolicy` decides.
    pub dns: Dns,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its MTU in bytes, from 1.1.0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Path of the network namespace that it is in. None on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// The address with the length of its subnet's prefix, as `10.1.0.5/16`.
    pub address: String,
    /// The subnet's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination, as `0.0.0.0/0`.
    pub dst: String,
    /// The next hop. None means the gateway of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
}

/// Name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Their addresses, in the order to ask them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
}

impl AddResult {
    /// The result as `version` of the specification has it.
    #[must_use]
    pub fn render(&self, version: SpecVersion) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".to_owned(), version.as_str().into());
        object.insert("interfaces".to_owned(), self.interfaces.iter().map(|i| i.render(version)).collect());
        object.insert("ips".to_owned(), self.ips.iter().map(|ip| ip.render(version)).collect());
        if !self.routes.is_empty() {
            object.insert("routes".to_owned(), json!(self.routes));
        }
        object.insert("dns".to_owned(), json!(self.dns));
        Value::Object(object)
    }

    /// Reads a `prevResult` of any version.
    ///
    /// # Errors
    /// Code 6 when it isn't a result.
    pub fn read(result: &Value) -> Result<Self, CniError> {
        Self::deserialize(result).map_err(|error| {
            CniError::new(Code::Decode, "`prevResult` of the network configuration can't be read")
                .details(error.to_string())
        })
    }
}

impl Interface {
    fn render(&self, version: SpecVersion) -> Value {
        let mut shown = self.clone();
        shown.mtu = self.mtu.filter(|_| version >= SpecVersion::V1_1_0);
        json!(shown)
    }
}

impl Ip {
    fn render(&self, version: SpecVersion) -> Value {
        let mut shown = json!(self);
        if version < SpecVersion::V1_0_0 {
            shown["version"] = if self.address.contains(':') { "6" } else { "4" }.into();
        }
        shown
    }
}
