//! The cloud of one world: Keystone and Neutron in memory, with the faults that tests ask for.

use super::life::{Life, Moment};
use kuryr_core::names::OwnerMark;
use kuryr_openstack::{CloudConfig, config::Files};
use kuryr_openstack_fake::{
    Config, Effect, Event, FakeCloud, Fault as Injected, Latency, LoadBalancers, Method, Moment as Commit, Next,
    PortView, Service,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this status without Neutron hearing of it.
    Answer(u16),
    /// Neutron carries it out, the client gets 504.
    LoseAnswer,
    /// Neutron carries it out and goes away without an answer.
    BreakOff,
    /// Neutron gets it only when the test says so; the client may have gone by then.
    Hold(Arc<Notify>),
}

/// The cloud of one world.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

struct Inner {
    fake: FakeCloud,
    state: Mutex<State>,
    /// Late requests may arrive.
    late: Notify,
}

#[derive(Default)]
struct State {
    /// The controller whose requests arrive.
    life: Option<Life>,
    holds: Vec<(Method, Arc<Notify>)>,
    /// Whose requests are under way, and their numbers in that life, by the cloud's own number.
    under_way: BTreeMap<u64, (Life, usize)>,
    /// Late requests that aren't carried out yet, by the cloud's own number.
    late: BTreeSet<u64>,
    /// Ports that a node has plugged: to delete one is to take it from a pod.
    plugged: BTreeMap<String, String>,
    /// What must never have happened.
    wrongs: Vec<String>,
}

impl Cloud {
    /// A cloud as the lab's is. It ends with the last clone.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// As [`Self::start`], with the networks of Services and an external one.
    pub async fn start_with_services() -> Self {
        Self::start_with(Config::lab()).await
    }

    async fn start_with(config: Config) -> Self {
        let fake = FakeCloud::start(config).await.unwrap();
        let cloud = Self(Arc::new(Inner { fake, state: Mutex::default(), late: Notify::new() }));
        // Not a clone: the cloud would never end.
        let weak = Arc::downgrade(&cloud.0);
        cloud.0.fake.on_request(move |event| {
            let cloud = weak.upgrade().map(Cloud);
            Box::pin(async move {
                match cloud {
                    Some(cloud) => cloud.event(event).await,
                    None => Next::Close,
                }
            })
        });
        cloud
    }

    /// How Kuryr logs in.
    pub fn config(&self) -> CloudConfig {
        let folder = tempfile::tempdir().unwrap();
        let clouds = folder.path().join("clouds.yaml");
        std::fs::write(&clouds, self.0.fake.clouds_yaml()).unwrap();
        CloudConfig::read(&Files { clouds, secure: None }, Some("kuryr")).unwrap()
    }

    /// Octavia.
    pub fn octavia(&self) -> LoadBalancers<'_> {
        self.0.fake.octavia()
    }

    /// All security groups, with their rules.
    pub fn security_groups(&self) -> Vec<kuryr_openstack_fake::SecurityGroupView> {
        self.0.fake.security_groups()
    }

    /// All address groups.
    pub fn address_groups(&self) -> Vec<kuryr_openstack_fake::AddressGroupView> {
        self.0.fake.address_groups()
    }

    /// Somebody asks Neutron for something by hand, in Kuryr's project.
    pub fn by_hand(&self, method: Method, path: &str, body: Option<serde_json::Value>) -> (u16, serde_json::Value) {
        self.0.fake.by_hand("kuryr", method, path, body)
    }

    /// Gives the group of a rule the same rule once more; its id.
    pub fn double_rule(&self, rule: &str) -> Option<String> {
        self.0.fake.double_rule(rule)
    }

    /// Where Neutron listens: host and port.
    pub fn neutron(&self) -> String {
        let url: http::Uri = self.0.fake.url(Service::Network).parse().unwrap();
        url.authority().unwrap().to_string()
    }

    /// From now on requests are this controller's.
    pub fn serve(&self, life: &Life) {
        self.state().life = Some(life.clone());
    }

    /// Requests that were on their way when their controller died arrive now.
    pub fn deliver_late_requests(&self) {
        self.0.late.notify_waiters();
    }

    /// Whether all late requests have been carried out.
    pub fn late_requests_are_done(&self) -> bool {
        self.state().late.is_empty()
    }

    /// The next request of this method meets this fault. Several wait for their turn.
    pub fn next(&self, method: Method, fault: Fault) {
        self.times(1, method, fault);
    }

    /// So many requests of this method meet this fault.
    pub fn times(&self, times: usize, method: Method, fault: Fault) {
        let effect = match fault {
            Fault::Answer(status) => Effect::Status(status, None),
            Fault::LoseAnswer => Effect::StatusAfterCommit(504),
            Fault::BreakOff => Effect::LostAfterCommit,
            Fault::Hold(released) => return self.state().holds.push((method, released)),
        };
        self.inject(&Injected::new(effect).method(method).times(times));
    }

    /// Every write is answered with this status, without Neutron hearing of it.
    pub fn refuse(&self, status: u16) {
        self.inject(&Injected::new(Effect::Status(status, None)).when(|call| call.is_write()));
    }

    /// The service refuses connections from now on.
    pub async fn shut(&self, service: Service) {
        self.0.fake.refuse(service).await;
    }

    /// The service accepts connections again.
    pub fn open(&self, service: Service) {
        self.0.fake.accept(service).unwrap();
    }

    /// Every request to the service is answered with 503.
    pub fn overload(&self, service: Service) {
        self.0.fake.inject(&Injected::new(Effect::Status(503, None)).of(service));
    }

    /// A fault of Neutron.
    pub fn inject(&self, fault: &Injected) {
        self.0.fake.inject(&fault.clone().of(Service::Network));
    }

    /// A fault of any service.
    pub fn inject_anywhere(&self, fault: &Injected) {
        self.0.fake.inject(fault);
    }

    /// All tokens end now.
    pub fn expire_tokens(&self) {
        self.0.fake.expire_tokens();
    }

    /// A quota of the project, as `loadbalancer`; -1: any.
    pub fn set_quota_of(&self, kind: &str, limit: i64) {
        self.0.fake.set_quota("kuryr", kind, limit);
    }

    /// All that was asked so far.
    pub fn journal(&self) -> Vec<kuryr_openstack_fake::Entry> {
        self.0.fake.journal()
    }

    /// All ports of all projects.
    pub fn all_ports(&self) -> Vec<PortView> {
        self.0.fake.ports()
    }

    /// No more faults.
    pub fn heal(&self) {
        self.0.fake.clear_faults();
    }

    /// How many ports Kuryr may have; -1: any.
    pub fn set_quota(&self, ports: i64) {
        self.0.fake.set_quota("kuryr", "port", ports);
    }

    /// Neutron takes its time, as the lab's does.
    pub fn be_slow(&self) {
        self.0.fake.set_latency(Latency::Lab);
    }

    /// How many requests of this method to this collection (`ports`) came so far.
    pub fn count(&self, method: &Method, collection: &str) -> usize {
        self.0.fake.count(|entry| entry.method == *method && entry.resource == collection)
    }

    /// How many requests to this path have got this status.
    pub fn answers(&self, path: &str, status: u16) -> usize {
        self.0.fake.count(|entry| entry.path == path && entry.status == Some(status))
    }

    /// Whether the first request to make a port has been carried out.
    pub fn first_was_made(&self) -> bool {
        let journal = self.0.fake.journal();
        let first = journal.iter().find(|entry| entry.method == Method::POST && entry.resource == "ports");
        first.is_some_and(|entry| entry.carried_out)
    }

    /// How many requests came to Neutron so far.
    pub fn total(&self) -> usize {
        self.0.fake.count(|entry| entry.service == Service::Network)
    }

    /// How many requests came that would change something.
    pub fn writes(&self) -> usize {
        self.0.fake.writes()
    }

    /// The ports that carry the mark of this cluster, whatever state the cluster is in.
    pub fn ports(&self, cluster: &str) -> Vec<PortView> {
        let is_ours = |port: &PortView| OwnerMark::parse(&port.description).is_some_and(|mark| mark.cluster == cluster);
        self.0.fake.ports().into_iter().filter(is_ours).collect()
    }

    /// Somebody deletes a port by hand.
    pub fn delete_port(&self, id: &str) {
        assert!(self.0.fake.delete_behind(id), "there is no port {id}");
    }

    /// The dataplane says that it forwards a port's packets.
    pub fn activate(&self, id: &str) {
        self.0.fake.plugged(id).unwrap();
    }

    /// A node has plugged a port for this claim.
    pub fn plug(&self, port: &str, claim: &str) {
        self.state().plugged.insert(port.to_owned(), claim.to_owned());
    }

    /// A node has taken the claim's interfaces away.
    pub fn unplug(&self, claim: &str) {
        self.state().plugged.retain(|_, holder| holder != claim);
    }

    /// What must never have happened and did.
    pub fn wrongs(&self) -> Vec<String> {
        self.state().wrongs.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn event(&self, event: Event) -> Next {
        let call = &event.call;
        let service = match call.service {
            Service::Network => "neutron",
            Service::LoadBalancer => "octavia",
            Service::Identity => return Next::Continue,
        };
        let named = format!("{} {service}/{}", call.method, call.resource());
        match event.moment {
            Commit::BeforeCommit => self.before(&named, &event).await,
            Commit::AfterCommit => self.after(&named, call.number),
        }
    }

    async fn before(&self, named: &str, event: &Event) -> Next {
        let call = &event.call;
        let (life, hold) = {
            let mut state = self.state();
            let at = state.holds.iter().position(|(method, _)| *method == call.method);
            let hold = at.map(|at| state.holds.remove(at).1);
            (state.life.clone(), hold)
        };
        if let Some(released) = hold {
            // It has left its controller: it arrives also when that is no more.
            released.notified().await;
        } else if let Some(life) = life {
            if life.is_over() {
                return Next::Close;
            }
            let nth = tokio::select! {
                nth = life.before(named) => nth,
                () = life.ended() => return Next::Close,
            };
            if life.ends_at(named, nth, Moment::Late) {
                let late = self.0.late.notified();
                self.state().late.insert(call.number);
                life.end();
                late.await;
            }
            self.state().under_way.insert(call.number, (life, nth));
        }
        if call.method == Method::DELETE && call.resource() == "ports" {
            let id = call.path.rsplit('/').next().unwrap_or_default();
            let mut state = self.state();
            if let Some(claim) = state.plugged.get(id) {
                let wrong = format!("the port {id} is deleted while a node has it plugged for the KuryrPort {claim}");
                state.wrongs.push(wrong);
            }
        }
        Next::Continue
    }

    fn after(&self, named: &str, number: u64) -> Next {
        let under_way = {
            let mut state = self.state();
            state.late.remove(&number);
            state.under_way.remove(&number)
        };
        let Some((life, nth)) = under_way else { return Next::Continue };
        life.stir();
        if life.ends_at(named, nth, Moment::After) {
            life.end();
        }
        // A dead one hears no answer.
        if life.is_over() { Next::Close } else { Next::Continue }
    }
}
