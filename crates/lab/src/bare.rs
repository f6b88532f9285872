//! An API server and its etcd alone, for tests: no node, no cloud, no other controller. It is there in a few seconds, several of
//! them don't see each other, and it needs no running lab, only what [`crate::install`] provides.

use std::{
    fs::{self, File},
    net::TcpStream,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::{engine::Directories, install::Artefacts};

/// Where the servers keep their files: in a file system in memory, which only they see.
const FILES: &str = "/mnt";

/// What an administrator says who he is.
const TOKEN: &str = "admin";

/// How long the servers may take until they listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// kube-apiserver and etcd in a network namespace of their own. They end with the process, however it ends, and leave nothing.
pub struct BareApiServer {
    netns: File,
}

impl BareApiServer {
    /// Starts them and waits until the API server listens.
    ///
    /// # Errors
    /// When a program is missing or ends, or without the rights of root.
    pub fn start() -> Result<Self> {
        let artefacts = Artefacts::at(&Directories::from_env().cache)?;
        let (etcd, apiserver) = (artefacts.etcd(), artefacts.kubernetes("kube-apiserver"));
        for program in [&etcd, &apiserver] {
            if !program.is_file() {
                bail!("{} doesn't exist: `cargo xtask lab up` installs it", program.display());
            }
        }
        let (sender, started) = mpsc::channel();
        // The servers are told to die with the thread that has started them, and namespaces are a thread's.
        thread::spawn(move || match serve(&etcd, &apiserver) {
            Ok((netns, children)) => {
                // Nobody listens any more when the process ends.
                let _ = sender.send(Ok(netns));
                loop {
                    thread::park();
                    debug_assert!(!children.is_empty(), "they live as long as this thread");
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        });
        let netns = started.recv().context("the thread of the servers has ended")??;
        Ok(Self { netns })
    }

    /// Brings this thread to where the API server can be reached. Threads that it starts are there, too.
    ///
    /// # Errors
    /// Without the rights of root.
    pub fn enter(&self) -> Result<()> {
        setns(self.netns.as_fd(), CloneFlags::CLONE_NEWNET).context("entering the API server's network namespace")
    }

    /// The kubeconfig of its administrator.
    #[must_use]
    pub fn kubeconfig() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bare",
            "clusters": [{ "name": "bare", "cluster": { "server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true } }],
            "users": [{ "name": "bare", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "bare", "context": { "cluster": "bare", "user": "bare" } }],
        })
    }
}

/// Starts the servers from this thread, in namespaces that are this thread's alone.
fn serve(etcd: &Path, apiserver: &Path) -> Result<(File, Vec<Child>)> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("making namespaces: root is needed")?;
    let no_path = None::<&str>;
    mount(no_path, "/", no_path, MsFlags::MS_REC | MsFlags::MS_PRIVATE, no_path)
        .context("keeping mounts to ourselves")?;
    mount(Some("tmpfs"), FILES, Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))
        .with_context(|| format!("mounting a file system in memory on {FILES}"))?;
    run("ip", &["link", "set", "lo", "up"])?;
    let file = |name: &str| format!("{FILES}/{name}");
    let key = KeyPair::generate().context("making the key of service accounts")?;
    write(&file("accounts.key"), &key.serialize_pem())?;
    write(&file("accounts.pub"), &key.public_key_pem())?;
    write(&file("tokens.csv"), &format!("{TOKEN},admin,admin,system:masters\n"))?;
    let etcd = spawn(etcd, &[format!("--data-dir={}", file("etcd")), "--unsafe-no-fsync".to_owned()])?;
    let arguments = [
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--secure-port=6443".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--cert-dir={}", file("certs")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=AlwaysAllow".to_owned(),
        // Nobody makes the accounts that pods would need.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // Old versions stay readable: tests look at the past.
        "--etcd-compaction-interval=0".to_owned(),
        // Many tests share the server; none of them is to wait for its turn.
        "--enable-priority-and-fairness=false".to_owned(),
        "--profiling=false".to_owned(),
    ];
    let mut children = vec![etcd, spawn(apiserver, &arguments)?];
    listens(&mut children)?;
    let netns = File::open("/proc/thread-self/ns/net").context("opening the network namespace")?;
    Ok((netns, children))
}

fn spawn(program: &Path, arguments: &[String]) -> Result<Child> {
    let log = log(program);
    let log = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(arguments)
        .stdout(log.try_clone().context("sharing a log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

fn log(program: &Path) -> PathBuf {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Path::new(FILES).join(format!("{name}.log"))
}

/// Waits until the API server listens; what is missing then, the first requests wait for.
fn listens(children: &mut [Child]) -> Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", 6443)).is_err() {
        for (child, program) in children.iter_mut().zip(["etcd", "kube-apiserver"]) {
            if let Some(status) = child.try_wait().context("looking at the servers")? {
                let text = fs::read_to_string(log(Path::new(program))).unwrap_or_default();
                let last: Vec<_> = text.lines().rev().take(3).collect();
                return Err(anyhow!("{program} has ended ({status}): {}", last.join(" | ")));
            }
        }
        if Instant::now() > give_up {
            bail!("kube-apiserver doesn't listen after {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn write(file: &str, content: &str) -> Result<()> {
    fs::write(file, content).with_context(|| format!("writing {file}"))
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
