//! Connections to the API server that die without a word, and watches that have nothing to tell.

use crate::{
    cluster::{Cluster, connect},
    scenarios::Rig,
    support::{call, quick, until},
};
use kuryr_cni::Command;
use kuryr_daemon::Timeouts;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Which connections are mute: they stay open, and nothing passes them any more.
#[derive(Clone, Copy, Default)]
struct Mute {
    /// Those before this one.
    before: usize,
    /// All, those to come too.
    all: bool,
}

impl Mute {
    const fn is(self, connection: usize) -> bool {
        self.all || connection < self.before
    }
}

/// A way to the API server on which silence can be ordered.
struct Way {
    address: SocketAddr,
    mute: watch::Sender<Mute>,
    connections: Arc<AtomicUsize>,
}

impl Way {
    async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mute, connections) = (watch::Sender::new(Mute::default()), Arc::<AtomicUsize>::default());
        let (orders, count) = (mute.clone(), connections.clone());
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(near, count.fetch_add(1, Ordering::SeqCst), orders.subscribe()));
            }
        });
        Self { address, mute, connections }
    }

    /// The connections that there are go mute. New ones work, as behind a balancer that has forgotten its connections.
    fn forget(&self) {
        self.mute.send_replace(Mute { before: self.connections.load(Ordering::SeqCst), all: false });
    }

    /// Nothing passes at all.
    fn cut(&self) {
        self.mute.send_replace(Mute { before: 0, all: true });
    }

    /// Connections work again, those that were mute end.
    fn mend(&self) {
        self.mute.send_replace(Mute::default());
    }
}

/// Passes everything on until silence is ordered; then keeps the connection open until silence ends.
async fn pass(mut near: TcpStream, connection: usize, mut mute: watch::Receiver<Mute>) {
    let mut orders = mute.clone();
    let passed = async {
        let mut far = TcpStream::connect("127.0.0.1:6443").await.unwrap();
        let _ = copy_bidirectional(&mut near, &mut far).await;
    };
    tokio::pin!(passed);
    tokio::select! {
        biased;
        _ = orders.wait_for(|mute| mute.is(connection)) => {}
        () = &mut passed => return,
    }
    // Both ends stay open: to the API server the node is as silent.
    let _ = mute.wait_for(|mute| !mute.is(connection)).await;
}

/// How long the quietest watch hasn't said anything, in seconds.
async fn silence(rig: &Rig) -> f64 {
    let text = rig.daemon.admin("/metrics").await.1;
    let lines = text.lines().filter(|line| line.starts_with("kuryr_watch_silence_seconds{"));
    let ages: Vec<f64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(ages.len(), 4, "one of each kind: {text}");
    ages.into_iter().fold(0.0, f64::max)
}

/// Waits until the way is silent for longer than any watch is.
async fn nothing_heard(rig: &Rig, longer_than: f64) {
    until("silence", || async { silence(rig).await > longer_than }).await;
}

/// A pod that is made now gets its interface: the daemon sees what happens.
async fn serves(rig: &Rig, name: &str) {
    let (pod, uid, _) = rig.allocated(name).await;
    rig.daemon.call(call(Command::Add, name, &pod, &uid)).await.unwrap();
}

pub async fn a_silent_connection_is_noticed_and_a_quiet_one_is_not_silent(cluster: Cluster) {
    let way = Way::open().await;
    let through = Cluster { client: connect(way.address).await, node: cluster.node.clone() };
    // A watch is given up after 5 s more.
    let timeouts = Timeouts { watch_seconds: 1, add_seconds: 60, ..quick() };
    let mut rig = Rig::with(through, timeouts).await;
    rig.cluster = cluster;
    // Nothing changes, and yet each watch says that it lives: every one has been silent and then was heard again.
    for _ in 0..2 {
        nothing_heard(&rig, 0.5).await;
        until("a sign of life", || async { silence(&rig).await < 0.5 }).await;
    }
    way.forget();
    serves(&rig, "one").await;
    // Then new connections, too, are taken and not answered.
    way.cut();
    nothing_heard(&rig, 7.0).await;
    until("errors of the watches", || async {
        rig.daemon.admin("/metrics").await.1.contains("kuryr_watch_errors_total{")
    })
    .await;
    assert_eq!(rig.daemon.admin("/live").await.0, 200);
    way.mend();
    serves(&rig, "two").await;
    until("the watches to be heard again", || async { silence(&rig).await < 5.0 }).await;
    rig.daemon.stop().await;
}
