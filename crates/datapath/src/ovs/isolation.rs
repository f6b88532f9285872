//! Keeps what pods send away from the node's own network stack.
//!
//! With the kernel's datapath Open vSwitch takes a pod's frames before anybody else sees them. The userspace datapath
//! only gets a copy of them (`AF_PACKET`): the host's end of the veth is an ordinary device of the node, whose kernel
//! would answer ARP for any address of the node with the veth's own MAC address, and let the pod into every service of the
//! host, past Neutron's security groups. So netfilter, which comes after the copy, drops all that arrives by such a device.

use crate::netns::Namespace;
use kuryr_core::names::HOST_INTERFACE_PREFIX;
use std::{io, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt, process::Child, process::Command, sync::Mutex, time::timeout};

/// The pods' frames can't be kept away from the node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program isn't there.
    #[error(
        "can't shield the node from its pods: the program `nft` is not in the PATH of the Kuryr daemon; nodes whose \
         integration bridge has the userspace datapath need it: install the package nftables"
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

/// The rules in the node's namespace, and whether this process has installed them.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    installed: Mutex<bool>,
}

impl Isolation {
    /// Installs the rules, unless this process has done so.
    pub async fn ensure(&self, namespace: &Namespace, limit: Duration) -> crate::Result<()> {
        let mut installed = self.installed.lock().await;
        if !*installed {
            install(namespace, limit).await?;
            *installed = true;
        }
        Ok(())
    }

    /// Installs the rules whether they are there or not: somebody may have flushed or changed them. When it fails, the
    /// next [`Isolation::ensure`] tries again: no pod is plugged without them.
    pub async fn renew(&self, namespace: &Namespace, limit: Duration) -> crate::Result<()> {
        let mut installed = self.installed.lock().await;
        *installed = false;
        install(namespace, limit).await?;
        *installed = true;
        Ok(())
    }
}

/// Replaces our two tables, in one transaction: at no moment are they gone. Declaring a table before it is deleted makes
/// the deletion succeed where there was none.
fn ruleset() -> String {
    let table = |family: &str, hook: &str| {
        format!(
            "table {family} kuryr\n\
             delete table {family} kuryr\n\
             table {family} kuryr {{\n\
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
