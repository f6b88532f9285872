//! Keeps what pods send away from the node's own network stack.
//!
//! With the kernel's datapath Open vSwitch takes a pod's frames before anybody else sees them, as long as the host's end is
//! a port of the bridge. The userspace datapath only ever gets a copy of them (`AF_PACKET`): the host's end of the veth is an
//! ordinary device of the node, whose kernel would answer ARP for any address of the node with the veth's own MAC address,
//! and let the pod into every service of the host, past Neutron's security groups. So netfilter, which comes after the
//! copy, drops all that arrives by such a device.

use crate::{netfilter::Watch, netns::Namespace};
use kuryr_core::names::HOST_INTERFACE_PREFIX;
use nix::libc::{NFPROTO_ARP, NFPROTO_INET};
use std::{
    io,
    process::Stdio,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Child, process::Command, sync::Mutex, sync::OnceCell, time::timeout};

/// The name of our tables.
const TABLE: &str = "kuryr";

/// Their families, as the kernel numbers them.
const FAMILIES: &[u8] = &[NFPROTO_INET as u8, NFPROTO_ARP as u8];

/// Time between two repairs: where somebody changes the ruleset all the time, not all of the time is ours.
const PAUSE: Duration = Duration::from_millis(100);

/// The pods' frames can't be kept away from the node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program isn't there.
    #[error(
        "can't shield the node from its pods: the program `nft` is not in the PATH of the Kuryr daemon; nodes whose \
         integration bridge has the userspace datapath can't do without, others should have it: install the package \
         nftables"
    )]
    Missing,
    /// The program can't be run.
    #[error("can't shield the node from its pods: running `nft` failed: {source}")]
    Run {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program ran and failed.
    #[error(
        "can't shield the node from its pods: `nft` ended with {status} in network namespace {namespace}: {said}; \
         the kernel needs nf_tables with the families inet and arp (CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_ARP)"
    )]
    Refused {
        /// Where the rules were to be.
        namespace: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it wrote to its standard error.
        said: String,
    },
    /// The program did not end.
    #[error("can't shield the node from its pods: `nft` did not end within {seconds} s")]
    Slow {
        /// How long was waited, in seconds.
        seconds: u64,
    },
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Run { source } }
    }
}

/// How far the rules are, as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has tried, or they were flushed.
    Missing,
    Installed,
    /// They can't be installed.
    Refused,
}

/// The rules in the node's namespace. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Isolation(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    namespace: Namespace,
    /// How long `nft` may take.
    limit: Duration,
    state: Mutex<State>,
    watched: OnceCell<()>,
}

impl Isolation {
    /// The rules of `namespace`. Nothing is done yet.
    pub fn new(namespace: Namespace, limit: Duration) -> Self {
        Self(Arc::new(Rules { namespace, limit, state: Mutex::new(State::Missing), watched: OnceCell::new() }))
    }

    /// Installs the rules, unless this process has done so and nobody has removed them since.
    ///
    /// # Errors
    /// Where they are `needed` and can't be installed. Where they aren't, it is tried once, and told in the log.
    pub async fn ensure(&self, needed: bool) -> crate::Result<()> {
        let mut state = match self.0.state.try_lock() {
            Ok(state) => state,
            Err(_) if needed => self.0.state.lock().await,
            // Somebody is at it.
            Err(_) => return Ok(()),
        };
        match (*state, needed) {
            (State::Installed, _) | (State::Refused, false) => Ok(()),
            (State::Missing | State::Refused, true) => self.0.install(&mut state).await,
            (State::Missing, false) => {
                if let Err(error) = self.0.install(&mut state).await {
                    tracing::warn!(%error, "the node isn't shielded from a pod whose interface is off the bridge");
                }
                Ok(())
            }
        }
    }

    /// Installs the rules whether they are there or not: somebody may have changed them. When it fails, the next
    /// [`Isolation::ensure`] tries again, where they are needed: no pod is plugged without them.
    pub async fn renew(&self) -> crate::Result<()> {
        self.0.install(&mut *self.0.state.lock().await).await
    }
}

impl Rules {
    async fn install(self: &Arc<Self>, state: &mut State) -> crate::Result<()> {
        *state = State::Refused;
        // First, so that no change of what is installed now is missed.
        self.watched.get_or_try_init(|| self.watch()).await?;
        self.replace(state).await
    }

    async fn replace(&self, state: &mut State) -> crate::Result<()> {
        *state = State::Refused;
        install(&self.namespace, self.limit).await?;
        *state = State::Installed;
        Ok(())
    }

    /// Starts to follow the rules. The task ends with the last user of them.
    async fn watch(self: &Arc<Self>) -> crate::Result<()> {
        let watch = Watch::open(&self.namespace, TABLE, FAMILIES).await?;
        tokio::spawn(follow(watch, Arc::downgrade(self)));
        Ok(())
    }

    /// Brings the rules back after somebody has removed them, or may have.
    async fn bring_back(&self, removed: bool) {
        let mut state = self.state.lock().await;
        // What was never installed was not lost, and a plug that came first has done it.
        if *state != State::Installed {
            return;
        }
        match self.replace(&mut state).await {
            Ok(()) if removed => {
                tracing::warn!("somebody removed the nftables rules that shield the node from its pods; they are back");
            }
            Ok(()) => tracing::debug!("so many nftables rules have changed that ours are installed again"),
            Err(error) => {
                tracing::error!(%error, "the nftables rules that shield the node from its pods may be gone");
            }
        }
    }
}

async fn follow(mut watch: Watch, rules: Weak<Rules>) {
    loop {
        let removed = match watch.lost().await {
            Ok(removed) => removed,
            Err(error) => {
                tracing::warn!(%error, "can't follow the changes of nftables; the rules are looked after every few minutes");
                return;
            }
        };
        let Some(rules) = rules.upgrade() else { return };
        rules.bring_back(removed).await;
        drop(rules);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Replaces our two tables, in one transaction: at no moment are they gone. Declaring a table before it is deleted makes
/// the deletion succeed where there was none.
fn ruleset() -> String {
    let table = |family: &str, hook: &str| {
        format!(
            "table {family} {TABLE}\n\
             delete table {family} {TABLE}\n\
             table {family} {TABLE} {{\n\
             chain from-pods {{\n\
             type filter hook {hook}; policy accept;\n\
             iifname \"{HOST_INTERFACE_PREFIX}*\" drop\n\
             }}\n\
             }}\n"
        )
    };
    // Before connection tracking (raw), so that it doesn't see each packet twice.
    table("inet", "prerouting priority raw") + &table("arp", "input priority 0")
}

async fn install(namespace: &Namespace, limit: Duration) -> crate::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    // A child starts in the namespace of the thread that makes it.
    let child = namespace.run(move || {
        let _entered = runtime.enter();
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn()
    });
    let child = child.await?.map_err(Error::from)?;
    let output = timeout(limit, feed(child, ruleset())).await;
    let output =
        output.map_err(|_| Error::Slow { seconds: limit.as_secs() })?.map_err(|source| Error::Run { source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(Error::Refused { namespace: namespace.to_string(), status: output.status, said }.into())
}

/// Gives `text` to the program and waits for its end.
async fn feed(mut child: Child, text: String) -> io::Result<std::process::Output> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(text.as_bytes()).await {
            // It ended before it had read all: its status and its words say more than this.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
    }
    child.wait_with_output().await
}
