//! What the API server lets through, Kuryr can read: no hand edit makes an object unreadable (promise P7). Every value of every
//! kind is replaced by many wrong ones.

use crate::scene::Scene;
use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, discovery::Scope},
};
use kuryr_api::{KuryrLoadBalancer, KuryrNetworkPolicy, KuryrPool, KuryrPoolPort, KuryrPort};
use kuryr_e2e::{
    Cluster,
    policies::objects,
    wait::{eventually, holds},
    workload::{Namespace, POD_PATIENCE},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

/// Attempts in flight.
const AT_ONCE: usize = 16;

/// What is put in the place of each value. Some of it is right in some places.
fn values() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "x",
        "10.0.0.1",
        "10.0.0.01",
        "10.0.0.256",
        "10.0.0.1 ",
        "10.0.0",
        "fd00::1",
        "FD00::1",
        "fd00::1%eth0",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "1::2::3",
        "[::1]",
        "10.0.0.0/24",
        "10.0.0.1/24",
        "10.0.0.0/024",
        "10.0.0.0/33",
        "fd00::/129",
        "fd00::/64",
        "::/0",
        "0.0.0.0/0",
        "0.0.0.0/",
        "10.0.0.0/+8",
        "::ffff:10.0.0.0/104",
        "fa:16:3e:00:00:01",
        "FA:16:3E:00:00:01",
        "fa-16-3e-00-00-01",
        "fa:16:3e:00:00",
        "+a:16:3e:00:00:01",
        "2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00+00:99",
        "2026-01-01T00:00:00.1234567890123Z",
        "2026-01-01T00:00:00x123z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "-001-01-01T00:00:00Z",
        "2026-01-01T00:00:00,5Z",
        "True",
        "OVS",
        "ovs",
        "Dataplane",
        "NeutronStatus",
        "Node",
        "KuryrPort",
        "Pod",
    ];
    let numbers =
        ["-1", "0", "1.0", "1.5", "33", "128", "129", "255", "256", "65536", "2147483648", "4294967296", "1e3", "1e30"];
    let long = "x".repeat(300);
    let mut all: Vec<_> = texts.iter().map(|&text| json!(text)).collect();
    all.extend(numbers.iter().filter_map(|number| serde_json::from_str(number).ok()));
    all.extend([json!(9_223_372_036_854_775_807_u64), json!(u64::MAX), json!(long), json!(true), Value::Null]);
    all.extend([json!([]), json!({}), json!([null]), json!([{}]), json!(["x"]), json!({ "a": "b" })]);
    all
}

/// The paths of all values within `value`, as JSON pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

/// `value` with each of its values replaced in turn, and left out in turn: what was done, and the outcome.
fn mutations(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut paths = Vec::new();
    pointers(value, "", &mut paths);
    for path in paths {
        for other in values() {
            let mut changed = value.clone();
            let Some(place) = changed.pointer_mut(&path) else { continue };
            *place = other.clone();
            all.push((format!("{path} = {other}"), changed));
        }
        let Some((parent, key)) = path.rsplit_once('/') else { continue };
        let mut changed = value.clone();
        if let Some(fields) = changed.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(key);
            all.push((format!("without {path}"), changed));
        }
    }
    all
}

/// One kind, asked without its types.
struct Probe<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    resource: ApiResource,
    scope: Scope,
}

impl Probe<'_> {
    fn api(&self) -> Api<DynamicObject> {
        match (&self.scope, self.namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), namespace, &self.resource)
            }
            _ => Api::all_with(self.client.clone(), &self.resource),
        }
    }

    /// The object that would be made with this spec.
    async fn with_spec(&self, spec: &Value) -> Result<DynamicObject, kube::Error> {
        let object = DynamicObject::new("attempt", &self.resource).data(json!({ "spec": spec }));
        let params = PostParams { dry_run: true, ..PostParams::default() };
        self.api().create(&params, &object).await
    }

    /// What an object would be with this status.
    async fn with_status(&self, name: &str, status: &Value) -> Result<DynamicObject, kube::Error> {
        let patch = serde_json::from_value(json!([{ "op": "add", "path": "/status", "value": status }]));
        let patch = Patch::<()>::Json(patch.map_err(kube::Error::SerdeError)?);
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        self.api().patch_status(name, &params, &patch).await
    }
}

/// Whether the API server took it. What it took must be readable.
fn taken<K: DeserializeOwned>(what: &str, outcome: Result<DynamicObject, kube::Error>) -> Result<bool> {
    match outcome {
        Ok(object) => {
            let object = serde_json::to_value(object)?;
            let read: Result<K, _> = serde_json::from_value(object.clone());
            read.with_context(|| format!("{what} was taken, but can't be read: {object}"))?;
            Ok(true)
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => Ok(false),
        Err(error) => Err(error).context(what.to_owned()),
    }
}

/// Tries all mutations of an object's spec and status.
async fn stays_readable<K>(client: &Client, object: &K, scope: Scope, full_status: &Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Debug,
{
    let (namespace, name, kind) = (object.namespace(), object.name_any(), K::kind(&()));
    let probe = Probe { client, namespace: namespace.as_deref(), resource: ApiResource::erase::<K>(&()), scope };
    let spec = serde_json::to_value(object)?["spec"].take();
    ensure!(taken::<K>("as it is", probe.with_spec(&spec).await)?, "{kind}: the spec as it is was refused");
    let status = probe.with_status(&name, full_status).await;
    ensure!(taken::<K>("a full status", status)?, "{kind}: a full status was refused");
    let refused = stream::iter(mutations(&spec).into_iter().map(|(what, spec)| {
        let (probe, what) = (&probe, format!("{kind}.spec{what}"));
        async move { taken::<K>(&what, probe.with_spec(&spec).await) }
    }));
    let refused = count_refused(refused.buffer_unordered(AT_ONCE)).await?;
    ensure!(refused > 100, "{kind}: only {refused} wrong specs were refused");
    let refused = stream::iter(mutations(full_status).into_iter().map(|(what, status)| {
        let (probe, name, what) = (&probe, &name, format!("{kind}.status{what}"));
        async move { taken::<K>(&what, probe.with_status(name, &status).await) }
    }));
    let refused = count_refused(refused.buffer_unordered(AT_ONCE)).await?;
    ensure!(refused > 100, "{kind}: only {refused} wrong statuses were refused");
    Ok(())
}

async fn count_refused(outcomes: impl stream::Stream<Item = Result<bool>>) -> Result<usize> {
    outcomes.try_fold(0, async |refused, taken| Ok(refused + usize::from(!taken))).await
}

fn full_condition(type_: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": "Attempt", "message": "An attempt.", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn full_address() -> Value {
    json!({ "ip": "10.244.0.9", "prefixLength": 16, "gateway": "10.244.0.1", "subnetId": "four" })
}

fn full_interface() -> Value {
    json!({
        "name": "eth0", "poolPort": "p", "portId": "port", "macAddress": "fa:16:3e:00:00:01", "addresses": [full_address()],
        "routes": [{ "destination": "0.0.0.0/0", "gateway": "10.244.0.1" }], "nameServers": ["10.96.0.10"], "mtu": 1442,
        "binding": { "kind": "OVS", "readiness": "Dataplane" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_written_can_be_read() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let client = cluster.client.clone();
    Scene::play(&cluster, async |scene| {
        let claim = json!({
            "observedGeneration": 1, "interfaces": [full_interface()], "conditions": [full_condition("Allocated")],
        });
        stays_readable(&client, &scene.own.claim, Scope::Namespaced, &claim).await?;
        let port = json!({
            "observedGeneration": 1, "portId": "port", "macAddress": "fa:16:3e:00:00:01", "addresses": [full_address()],
            "routes": [{ "destination": "::/0", "gateway": "fd00::1" }], "nameServers": ["fd00::10"], "mtu": 1442,
            "securityGroupIds": ["group"], "conditions": [full_condition("Created")],
        });
        let mut full = scene.own.port.clone();
        full.spec.released_at = serde_json::from_value(json!("2026-01-01T00:00:00Z"))?;
        stays_readable(&client, &full, Scope::Cluster, &port).await?;
        let mut pool = a_pool(&client).await?;
        (pool.spec.minimum, pool.spec.maximum, pool.spec.plugged) = (Some(0), Some(5), Some(1));
        let status = pool.status.as_ref().context("a pool has a status")?;
        let mut status = serde_json::to_value(status)?;
        status["conditions"] = json!([full_condition("Filled")]);
        status["observedGeneration"] = json!(1);
        stays_readable(&client, &pool, Scope::Cluster, &status).await?;
        let load_balancer = a_load_balancer(&client).await?;
        let status = serde_json::to_value(load_balancer.status.as_ref().context("it has a status")?)?;
        stays_readable(&client, &load_balancer, Scope::Namespaced, &status).await?;
        let policy = a_policy(&cluster, &scene.space).await?;
        let status = json!({
            "observedGeneration": 1, "groups": [{ "id": "group", "ports": "80/TCP", "rules": 1 }], "groupCount": 1,
            "pods": 1, "rules": 1, "addressGroups": 1, "members": 1, "conditions": [full_condition("Programmed")],
        });
        stays_readable(&client, &policy, Scope::Namespaced, &status).await
    })
    .await
}

/// The load balancer of the API server's Service.
async fn a_load_balancer(client: &Client) -> Result<KuryrLoadBalancer> {
    let objects = Api::<KuryrLoadBalancer>::namespaced(client.clone(), "default");
    eventually("a KuryrLoadBalancer with a status", POD_PATIENCE, async || {
        let found = objects.list(&ListParams::default()).await?.items.into_iter().find(|one| one.status.is_some());
        holds(found.is_some(), || "there is none".to_owned())?;
        found.context("there is none")
    })
    .await
}

/// What a NetworkPolicy that isolates nobody has become.
async fn a_policy(cluster: &Cluster, space: &Namespace) -> Result<KuryrNetworkPolicy> {
    let spec = json!({ "podSelector": { "matchLabels": { "no": "pod" } } });
    objects::create(cluster, &space.name, "attempt", &spec).await?;
    let objects = cluster.api::<KuryrNetworkPolicy>(&space.name);
    eventually("a KuryrNetworkPolicy with a status", POD_PATIENCE, async || {
        let found = objects.list(&ListParams::default()).await?.items.into_iter().find(|one| one.status.is_some());
        holds(found.is_some(), || "there is none".to_owned())?;
        found.context("there is none")
    })
    .await
}

/// The pool of a node that runs a pod.
async fn a_pool(client: &Client) -> Result<KuryrPool> {
    let pools = Api::<KuryrPool>::all(client.clone());
    eventually("a KuryrPool with its levels", POD_PATIENCE, async || {
        let found = pools.list(&ListParams::default()).await?.items.into_iter().find(|pool| pool.status.is_some());
        holds(found.is_some(), || "there is none".to_owned())?;
        found.context("there is none")
    })
    .await
}

/// The wrong values that matter most, by name: the general test counts, this one tells.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_must_be_addresses() -> Result<()> {
    let cluster = Cluster::attach().await?;
    Scene::play(&cluster, async |scene| {
        let resource = ApiResource::erase::<KuryrPort>(&());
        let probe =
            Probe { client: &cluster.client, namespace: Some(&scene.space.name), resource, scope: Scope::Namespaced };
        let name = scene.own.claim.name_any();
        for (pointer, value) in [
            ("/addresses/0/ip", "10.0.0.256"),
            ("/addresses/0/ip", "pod"),
            ("/addresses/0/gateway", "10.0.0"),
            ("/addresses/0/gateway", "fd00::1"),
            ("/routes/0/destination", "10.0.0.0/33"),
            ("/routes/0/destination", "default"),
            ("/routes/0/gateway", "fd00::1"),
            ("/nameServers/0", "dns.example"),
            ("/macAddress", "fa:16:3e:00:00"),
        ] {
            let mut interface = full_interface();
            *interface.pointer_mut(pointer).context("no such value")? = json!(value);
            let outcome = probe.with_status(&name, &json!({ "interfaces": [interface] })).await;
            match outcome {
                Err(kube::Error::Api(status)) if status.code == 422 => {}
                other => bail!("{pointer} = {value}: {other:?}"),
            }
        }
        let mut interface = full_interface();
        interface["addresses"][0]["prefixLength"] = json!(33);
        let outcome = probe.with_status(&name, &json!({ "interfaces": [interface] })).await;
        ensure!(outcome.is_err(), "an IPv4 prefix of 33 bits was taken");
        Ok(())
    })
    .await
}

/// The kinds that are tried here are all of them.
#[test]
fn no_kind_is_forgotten() {
    let kinds: Vec<_> = kuryr_api::all_crds().into_iter().map(|crd| crd.spec.names.kind).collect();
    let tried = [
        KuryrPort::kind(&()),
        KuryrPoolPort::kind(&()),
        KuryrPool::kind(&()),
        KuryrLoadBalancer::kind(&()),
        KuryrNetworkPolicy::kind(&()),
    ];
    let tried = tried.map(String::from);
    assert_eq!(kinds, tried);
}
