//! ADD: waits for the pod's KuryrPort, makes its interfaces, and answers when packets pass.

use super::{answer, datapath_error};
use crate::{
    decide::{AddFacts, AddStep, Asked, ClaimSight, PodSight, Refusal},
    in_flight::{Adding, Stage},
    metrics::Phase,
    node::{Claim, Node, neutron_says},
};
use futures::{FutureExt, future::try_join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use kuryr_api::{KuryrPort, conditions};
use kuryr_cni::{Call, CniError, Code, PodArgs, SpecVersion};
use kuryr_core::names;
use kuryr_datapath::{Attachment, Plugged};
use serde_json::Value;
use std::sync::Arc;
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

/// How long a pod may be missing in the cache before the API server is asked about it.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// How long an answer that the pod exists holds.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Serves an ADD. It runs on a task of its own: when the caller goes away, or its time is over, it is cancelled, and takes
/// itself apart before it leaves the table of calls in flight.
pub(super) async fn add(node: &Arc<Node>, call: Call, version: SpecVersion) -> Result<Value, CniError> {
    let pod = PodArgs::parse(&call.args)?;
    let deadline = Instant::now() + node.settings.timeouts.add();
    let adding = node.in_flight.begin(&call.container_id, &pod);
    let _cancel_when_dropped = adding.cancel.clone().drop_guard();
    let name = format!("{}/{}", pod.namespace, pod.name);
    let work = Work { node: Arc::clone(node), call, pod, adding, deadline };
    let task = node.tasks.spawn(work.run(version));
    // The task keeps the deadline itself. A step of the datapath that is slow to give up must not hold the answer back.
    match tokio::time::timeout_at(deadline + Duration::from_secs(2), task).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(CniError::new(Code::Internal, format!("ADD for pod {name} was aborted: {error}"))),
        Err(_) => Err(super::too_slow(&format!("ADD for pod {name}"), node.settings.timeouts.add())),
    }
}

struct Work {
    node: Arc<Node>,
    call: Call,
    pod: PodArgs,
    adding: Adding,
    deadline: Instant,
}

impl Work {
    async fn run(self, version: SpecVersion) -> Result<Value, CniError> {
        let started = Instant::now();
        let _lock = tokio::select! {
            lock = self.node.in_flight.lock(&self.call.container_id) => lock,
            error = self.ended() => return Err(error),
        };
        let port = self.wait_for_claim().await?;
        self.adding.reached(Stage::Plug);
        self.wait_for_older_sandboxes().await?;
        let claimed = Instant::now();
        let wanted = answer::attachments(&port, &self.call)?;
        let made = self.make(&port, &wanted).await;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                self.adding.reached(Stage::Plug);
                self.unmake(&wanted).await;
                return Err(error);
            }
        };
        let metrics = &self.node.metrics;
        metrics.phase(Phase::Claim, claimed - started);
        metrics.phase(Phase::Plug, made.at - claimed);
        metrics.phase(Phase::Ready, made.at.elapsed());
        metrics.phase(Phase::Total, started.elapsed());
        made.plugged.iter().for_each(|plugged| metrics.plugged(plugged.was_held));
        Ok(answer::result(&port, &wanted, &made.plugged)?.render(version))
    }

    /// Plugs all interfaces and waits until packets pass.
    async fn make(&self, port: &KuryrPort, wanted: &[Attachment]) -> Result<Made, CniError> {
        self.unplug_older_sandboxes(wanted).await?;
        // Never dropped before its end: what it does must be on record, or undone, before this ADD leaves the table.
        let mut made = Vec::with_capacity(wanted.len());
        for attachment in wanted {
            let plugged = self.node.switch.driver.plug(attachment).await;
            made.push(plugged.map_err(|error| {
                datapath_error(format!("can't connect {} of pod {}", attachment.ifname, attachment.pod), &error)
            })?);
        }
        let made = Made { at: Instant::now(), plugged: made };
        self.adding.reached(Stage::Ready);
        let ready = try_join_all(wanted.iter().map(|attachment| self.wait_ready(port, attachment)));
        tokio::select! {
            biased;
            error = self.ended() => Err(match error.code {
                code if code == Code::TryAgainLater.number() => not_ready(port, wanted, &error),
                _ => error,
            }),
            refusal = self.refused(port) => Err(refusal),
            ready = ready => {
                ready?;
                self.announce(wanted).await;
                Ok(made)
            }
        }
    }

    /// Others may still know the addresses by the MAC address of an earlier port. Without it they find out by themselves, late.
    async fn announce(&self, wanted: &[Attachment]) {
        for attachment in wanted {
            if let Err(error) = self.node.switch.driver.announce(attachment).await {
                tracing::warn!(pod = %attachment.pod, interface = attachment.ifname,
                    error = %crate::caches::chain(&error), "can't announce the addresses of the pod");
            }
        }
    }

    /// Waits until packets of an interface pass, as far as whoever is to say it can tell.
    async fn wait_ready(&self, port: &KuryrPort, attachment: &Attachment) -> Result<(), CniError> {
        let ready = self.node.switch.driver.wait_ready(&attachment.container_id, &attachment.ifname);
        let ready = async {
            ready.await.map_err(|error| {
                let what = format!("{} of pod {} doesn't become ready", attachment.ifname, attachment.pod);
                datapath_error(what, &error)
            })
        };
        if !neutron_says(port, &attachment.port_id) {
            return ready.await;
        }
        // Such a dataplane tells nothing here but errors.
        let refused = async {
            match ready.await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        tokio::select! {
            error = refused => Err(error),
            () = self.wait_active(port) => Ok(()),
        }
    }

    /// Waits until the controller passes on that Neutron calls every port of the pod `ACTIVE`.
    async fn wait_active(&self, port: &KuryrPort) {
        let mut changed = self.node.changed.subscribe();
        let (namespace, name) = (&self.pod.namespace, port.metadata.name.as_deref().unwrap_or_default());
        let is_active = || {
            let found = self.node.caches.port(namespace, name);
            found.is_some_and(|found| {
                found.uid() == port.metadata.uid && conditions::is_true(found.conditions(), conditions::ACTIVE)
            })
        };
        while !is_active() {
            // The cache's sender lives as long as this: an error can't be.
            drop(changed.changed().await);
        }
    }

    /// Waits until the ADDs of the pod's older sandboxes, which this one has ended, are over: a plug in progress would take
    /// the Neutron port from the interface that this ADD makes.
    async fn wait_for_older_sandboxes(&self) -> Result<(), CniError> {
        let mut changed = self.node.changed.subscribe();
        while self.adding.has_older() {
            tokio::select! {
                _ = changed.changed() => {}
                error = self.ended() => return Err(error),
            }
        }
        // An ADD that was itself ended meanwhile doesn't begin to plug.
        self.ended().now_or_never().map_or(Ok(()), Err)
    }

    /// A pod has one sandbox, the newest. An older one is dead, or dying with its DEL still to come.
    async fn unplug_older_sandboxes(&self, wanted: &[Attachment]) -> Result<(), CniError> {
        let Some(first) = wanted.first() else { return Ok(()) };
        let driver = &self.node.switch.driver;
        let failed = |error| datapath_error(format!("can't clear the way for pod {}", first.pod), &error);
        for old in driver.attachments().await.map_err(failed)? {
            if old.pod.uid == first.pod.uid && old.container_id != first.container_id {
                tracing::warn!(pod = %old.pod, sandbox = old.container_id, "removing the interface of an older sandbox");
                driver.unplug(&old.container_id, &old.ifname).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Takes everything back. What can't be removed now stays on record: the runtime's DEL and the repair remove it.
    async fn unmake(&self, wanted: &[Attachment]) {
        for attachment in wanted {
            if let Err(error) = self.node.switch.driver.unplug(&attachment.container_id, &attachment.ifname).await {
                tracing::warn!(pod = %attachment.pod, interface = attachment.ifname,
                    error = %crate::caches::chain(&error), "can't take a failed ADD back yet");
            }
        }
    }

    /// Waits for the KuryrPort with all its addresses.
    async fn wait_for_claim(&self) -> Result<KuryrPort, CniError> {
        let mut changed = self.node.changed.subscribe();
        let mut waiting = Waiting::new(Instant::now() + ASK_AFTER);
        loop {
            changed.mark_unchanged();
            let (facts, port) = self.look(&mut waiting);
            match facts.step() {
                AddStep::Proceed => match port {
                    Some(port) => return Ok(port),
                    None => self.wait(&mut changed, waiting.ask_at, None).await?,
                },
                AddStep::Refuse(refusal) => return Err(self.refusal(refusal)),
                AddStep::Ask => {
                    waiting.asked = self.ask().await?;
                    waiting.ask_at = Instant::now() + if waiting.asked == Asked::No { ASK_AFTER } else { ASK_AGAIN };
                }
                AddStep::Wait => self.wait(&mut changed, waiting.ask_at, Some(facts)).await?,
            }
        }
    }

    /// Waits for a change, for the time to ask, or for the end of this ADD, which is then explained by `facts`.
    async fn wait(
        &self,
        changed: &mut watch::Receiver<()>,
        ask_at: Instant,
        facts: Option<AddFacts>,
    ) -> Result<(), CniError> {
        tokio::select! {
            _ = changed.changed() => Ok(()),
            () = tokio::time::sleep_until(ask_at), if ask_at > Instant::now() => Ok(()),
            error = self.ended() => Err(match facts {
                Some(facts) if error.code == Code::TryAgainLater.number() => self.not_allocated(facts, &error),
                _ => error,
            }),
        }
    }

    /// All that decides the next step, and the KuryrPort where it can be used.
    fn look(&self, waiting: &mut Waiting) -> (AddFacts, Option<KuryrPort>) {
        let caches = &self.node.caches;
        let synced = caches.unsynced().is_empty();
        let seen = caches.pod(&self.pod);
        waiting.pod_seen |= synced && matches!(seen.sight, PodSight::Present { .. });
        let port = seen.uid.as_deref().and_then(|uid| {
            self.adding.is_for(uid);
            caches.port(&self.pod.namespace, &names::kuryr_port(&self.pod.name, uid))
        });
        // A KuryrPort that speaks of another pod was written by hand: it isn't ours.
        let port = port.filter(|port| port.pod_uid() == seen.uid.as_deref());
        let facts = AddFacts {
            synced,
            pod: seen.sight,
            pod_seen: waiting.pod_seen,
            claim: port.as_ref().map_or(ClaimSight::Absent, |port| port.sight()),
            asked: waiting.asked,
            may_ask: Instant::now() >= waiting.ask_at,
        };
        (facts, port.and_then(|port| port.0.as_ref().ok().cloned()))
    }

    /// Asks the API server whether the pod still exists. No answer is no news.
    async fn ask(&self) -> Result<Asked, CniError> {
        let api = Api::<Pod>::namespaced(self.node.client.clone(), &self.pod.namespace);
        let answer = tokio::time::timeout(self.node.settings.timeouts.api(), api.get_metadata_opt(&self.pod.name));
        let answer = tokio::select! {
            answer = answer => answer,
            error = self.ended() => return Err(error),
        };
        Ok(match answer {
            Ok(Ok(Some(found))) => match crate::caches::see(Some(&found), self.pod.uid.as_deref()).sight {
                PodSight::Present { .. } => Asked::Present,
                PodSight::Absent | PodSight::Other => Asked::Gone,
            },
            Ok(Ok(None)) => Asked::Gone,
            Ok(Err(_)) | Err(_) => Asked::No,
        })
    }

    /// Ends when the pod or its KuryrPort goes while the interfaces become ready.
    async fn refused(&self, port: &KuryrPort) -> CniError {
        let mut changed = self.node.changed.subscribe();
        let mut waiting = Waiting::new(self.deadline + ASK_AGAIN);
        waiting.pod_seen = true;
        loop {
            changed.mark_unchanged();
            let (facts, found) = self.look(&mut waiting);
            let replaced = found.is_some_and(|found| found.metadata.uid != port.metadata.uid);
            match facts.step() {
                AddStep::Refuse(refusal) => return self.refusal(refusal),
                _ if replaced => return self.refusal(Refusal::ClaimDeleting),
                // The cache's sender lives as long as this: an error can't be.
                _ => drop(changed.changed().await),
            }
        }
    }

    /// Ends when the caller is gone, another call ends this one, or the time is over.
    async fn ended(&self) -> CniError {
        let pod = format!("{}/{}", self.pod.namespace, self.pod.name);
        tokio::select! {
            () = self.adding.cancel.cancelled() => {
                CniError::new(Code::Internal, format!("ADD for pod {pod} was cancelled"))
                    .details("its caller went away, or a DEL or a newer sandbox of the pod ended it")
            }
            () = tokio::time::sleep_until(self.deadline) => {
                let limit = self.node.settings.timeouts.add_seconds;
                CniError::new(Code::TryAgainLater, format!("pod {pod} has no network after {limit} s"))
            }
        }
    }

    fn refusal(&self, refusal: Refusal) -> CniError {
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        let (code, why) = match refusal {
            Refusal::PodGone => (Code::UnknownContainer, "is gone"),
            Refusal::PodTerminating => (Code::UnknownContainer, "is being deleted"),
            Refusal::ClaimDeleting => (Code::TryAgainLater, "gives its network port back"),
        };
        let uid = self.pod.uid.as_deref().map_or(String::new(), |uid| format!(" (uid {uid})"));
        CniError::new(code, format!("pod {namespace}/{name}{uid} {why}: it gets no interface"))
    }

    /// Why there are no addresses yet, for the user who reads the pod's events.
    fn not_allocated(&self, facts: AddFacts, timeout: &CniError) -> CniError {
        let why = match facts.claim {
            _ if !facts.synced => {
                format!("the API server hasn't given a list of {} yet", self.node.caches.unsynced().join(", "))
            }
            ClaimSight::Absent => "Kuryr's controller has made no KuryrPort for it: is it running?".to_owned(),
            ClaimSight::Malformed => {
                "its KuryrPort can't be read: are the daemon and the CRDs of one release?".to_owned()
            }
            ClaimSight::Pending => self
                .why_pending()
                .unwrap_or_else(|| "Kuryr's controller has not allocated its addresses yet: is it running?".to_owned()),
            ClaimSight::Deleting | ClaimSight::Allocated => "its KuryrPort has changed just now".to_owned(),
        };
        timeout.clone().details(why)
    }

    /// What the KuryrPort itself says.
    fn why_pending(&self) -> Option<String> {
        let uid = self.node.caches.pod(&self.pod).uid?;
        let name = names::kuryr_port(&self.pod.name, &uid);
        let port = self.node.caches.port(&self.pod.namespace, &name)?;
        let said = port.conditions().iter().find(|condition| condition.type_ == conditions::ALLOCATED)?;
        Some(format!("KuryrPort {name}: {}: {}", said.reason, said.message))
    }
}

/// What an ADD has plugged, and when it was done with that.
struct Made {
    at: Instant,
    plugged: Vec<Plugged>,
}

/// What an ADD remembers while it waits for its KuryrPort.
struct Waiting {
    pod_seen: bool,
    asked: Asked,
    ask_at: Instant,
}

impl Waiting {
    fn new(ask_at: Instant) -> Self {
        Self { pod_seen: false, asked: Asked::No, ask_at }
    }
}

fn not_ready(port: &KuryrPort, wanted: &[Attachment], timeout: &CniError) -> CniError {
    let ports: Vec<_> = wanted.iter().map(|attachment| attachment.port_id.as_str()).collect();
    let name = port.metadata.name.as_deref().unwrap_or_default();
    let (ports, by_neutron) = (ports.join(", "), wanted.iter().any(|a| neutron_says(port, &a.port_id)));
    timeout.clone().details(if by_neutron {
        format!(
            "its interface is connected (KuryrPort {name}), but Neutron hasn't said ACTIVE of port {ports} (condition \
             Active of the KuryrPort): is Neutron's agent running on this node, and Kuryr's controller?"
        )
    } else {
        format!(
            "its interface is connected (KuryrPort {name}), but the dataplane isn't ready for Neutron port {ports}: is \
             ovn-controller running on this node, and is the port bound to it?"
        )
    })
}
