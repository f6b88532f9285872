//! Creation and lookups against a Neutron in memory.

use super::*;
use futures::future::join_all;
use kuryr_openstack::{Kind, Method, neutron::PortId};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};
use tokio::sync::Semaphore;

const WINDOW: Duration = Duration::from_millis(1);

/// A Neutron that answers only as often as it is let.
#[derive(Clone)]
struct Stub(Arc<Inner>);

struct Inner {
    answers: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Names of the ports that were asked for together.
    posts: Vec<Vec<String>>,
    lists: Vec<usize>,
    ports: Vec<Port>,
    /// Ports that fit the quota.
    quota: Option<usize>,
    /// Names that Neutron refuses.
    refused: HashSet<String>,
    /// The next answers are lost, although the ports are created.
    lost: usize,
    /// The next answers lack their last port.
    short: usize,
}

impl Stub {
    fn new() -> Self {
        Self(Arc::new(Inner { answers: Semaphore::new(Semaphore::MAX_PERMITS), state: Mutex::default() }))
    }

    /// Answers nothing until [`Self::answer`].
    fn silent() -> Self {
        Self(Arc::new(Inner { answers: Semaphore::new(0), state: Mutex::default() }))
    }

    fn answer(&self, times: usize) {
        self.0.answers.add_permits(times);
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap())
    }

    fn posts(&self) -> Vec<usize> {
        self.with(|state| state.posts.iter().map(Vec::len).collect())
    }
}

impl Ports for Stub {
    async fn create(&self, ports: Vec<NewPort>, _: Rank) -> Result<Vec<Port>, Error> {
        let name = |port: &NewPort| port.name.clone().unwrap();
        self.with(|state| state.posts.push(ports.iter().map(name).collect()));
        self.0.answers.acquire().await.unwrap().forget();
        self.with(|state| {
            let refusal = |kind| Error::new(kind, Method::POST, "/v2.0/ports", "no");
            if ports.iter().any(|port| state.refused.contains(&name(port))) {
                return Err(refusal(Kind::BadRequest));
            }
            if state.quota.is_some_and(|quota| state.ports.len() + ports.len() > quota) {
                return Err(refusal(Kind::OverQuota));
            }
            let created = ports.iter().map(|port| Port {
                id: PortId::from(format!("id-{}", name(port))),
                name: name(port),
                description: port.description.clone().unwrap(),
                device_id: port.device_id.clone().unwrap(),
                ..Port::default()
            });
            let mut created: Vec<_> = created.collect();
            state.ports.extend(created.iter().cloned());
            // Neutron promises no order.
            created.reverse();
            if state.lost > 0 {
                state.lost -= 1;
                return Err(refusal(Kind::Timeout).with_outcome_unknown(true));
            }
            if state.short > 0 {
                state.short -= 1;
                created.pop();
            }
            Ok(created)
        })
    }

    async fn list(&self, query: PortQuery) -> Result<Vec<Port>, Error> {
        self.with(|state| state.lists.push(query.device_ids.len() + query.ids.len()));
        self.0.answers.acquire().await.unwrap().forget();
        let wanted = |port: &&Port| query.device_ids.contains(&port.device_id) || query.ids.contains(&port.id);
        Ok(self.with(|state| state.ports.iter().filter(wanted).cloned().collect()))
    }
}

fn port(name: &str) -> NewPort {
    NewPort {
        name: Some(name.to_owned()),
        description: Some(format!("kuryr:c:{name}")),
        device_id: Some(name.to_owned()),
        ..NewPort::on("net".into())
    }
}

fn pod() -> Flow {
    Flow::Miss("shop".to_owned())
}

/// All of these ports at once, and what each caller was told.
async fn create(creator: &Creator<Stub>, names: &[String]) -> Vec<Result<Port, Error>> {
    join_all(names.iter().map(|name| creator.create(name, port(name), pod()))).await
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number:02}")).collect()
}

#[tokio::test]
async fn a_burst_is_created_by_few_requests_and_each_gets_its_own() {
    let (stub, names) = (Stub::new(), names(40));
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    for (name, created) in names.iter().zip(create(&creator, &names).await) {
        assert_eq!(created.unwrap().name, *name);
    }
    assert!(stub.posts().len() <= 8, "{:?}", stub.posts());
}

#[tokio::test]
async fn only_who_asks_for_something_impossible_is_refused() {
    let (stub, names) = (Stub::new(), names(8));
    stub.with(|state| state.refused.insert("p05".to_owned()));
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    let created = create(&creator, &names).await;
    for (name, created) in names.iter().zip(created) {
        match created {
            Ok(created) => assert_eq!(created.name, *name),
            Err(error) => {
                assert_eq!((error.kind(), error.outcome_unknown(), &**name), (Kind::BadRequest, false, "p05"));
            }
        }
    }
    assert_eq!(stub.with(|state| state.ports.len()), 7);
    assert_eq!(stub.posts(), [8, 4, 4, 2, 1, 1, 2]);
}

#[tokio::test]
async fn an_unknown_outcome_is_told_to_each() {
    let (stub, names) = (Stub::new(), names(5));
    stub.with(|state| state.lost = 1);
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    let created = create(&creator, &names).await;
    assert!(created.iter().all(|created| created.as_ref().is_err_and(Error::outcome_unknown)));
    assert_eq!(stub.posts(), [5], "not asked again: they may exist");
}

#[tokio::test]
async fn a_port_that_the_answer_lacks_may_exist() {
    let (stub, names) = (Stub::new(), names(3));
    stub.with(|state| state.short = 1);
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    let created = create(&creator, &names).await;
    let lacking: Vec<_> = created.iter().filter_map(|created| created.as_ref().err()).collect();
    assert!(lacking.len() == 1 && lacking[0].outcome_unknown(), "{lacking:?}");
}

#[tokio::test]
async fn who_no_longer_waits_takes_nothing_from_the_others() {
    let (stub, names) = (Stub::silent(), names(20));
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    let mut waiting: Vec<_> = names
        .iter()
        .map(|name| {
            let (creator, name) = (creator.clone(), name.clone());
            tokio::spawn(async move { creator.create(&name, port(&name), pod()).await })
        })
        .collect();
    while stub.posts() != [8, 8] {
        tokio::task::yield_now().await;
    }
    // One whose request is on its way, and one whose isn't.
    for gone in [19, 0] {
        waiting.remove(gone).abort();
    }
    stub.answer(3);
    for created in waiting {
        created.await.unwrap().unwrap();
    }
    let asked: HashSet<String> = stub.with(|state| state.posts.concat().into_iter().collect());
    assert!(asked.contains("p00") && !asked.contains("p19"), "{asked:?}");
    // The port that nobody took is found by its mark.
    stub.answer(1);
    let found = Finder::new(stub.clone(), WINDOW).find("p00", None).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn what_fits_the_quota_is_created_and_the_others_are_told_at_once() {
    let (stub, names) = (Stub::new(), names(30));
    stub.with(|state| state.quota = Some(13));
    let (creator, mut woken) = Creator::new(stub.clone(), WINDOW);
    let created = create(&creator, &names).await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 13);
    assert!(created.iter().filter_map(|created| created.as_ref().err()).all(|error| error.kind() == Kind::OverQuota));
    let posts = stub.posts().len();
    assert!(posts <= 12, "{:?}", stub.posts());
    // Nobody asks in vain now.
    let late = creator.create("late", port("late"), pod()).await.unwrap_err();
    assert_eq!((late.kind(), stub.posts().len()), (Kind::OverQuota, posts));
    // Everybody is woken once there is room: a few find out, the others follow.
    stub.with(|state| state.quota = Some(100));
    creator.room(&"net".into());
    let mut served = HashSet::new();
    while served.len() < 18 {
        let name = woken.next().await.unwrap();
        creator.create(&name, port(&name), pod()).await.unwrap();
        assert!(served.insert(name), "woken once");
    }
}

#[tokio::test]
async fn room_is_looked_for_now_and_then_by_one_port() {
    let stub = Stub::new();
    stub.with(|state| state.quota = Some(0));
    let (creator, mut woken) = Creator::patient(stub.clone(), WINDOW, |_| Duration::from_millis(20));
    let refused = create(&creator, &names(6)).await;
    assert!(refused.iter().all(Result::is_err));
    let posts = stub.posts().len();
    for _ in 0..3 {
        let name = woken.next().await.unwrap();
        let _ = creator.create(&name, port(&name), pod()).await;
    }
    assert!(stub.posts()[posts..].iter().all(|size| *size == 1), "{:?}", stub.posts());
    stub.with(|state| state.quota = Some(100));
    loop {
        let name = woken.next().await.unwrap();
        if creator.create(&name, port(&name), pod()).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn lookups_are_gathered() {
    let stub = Stub::new();
    let (creator, _woken) = Creator::new(stub.clone(), WINDOW);
    let all = names(100);
    create(&creator, &all).await.into_iter().for_each(|created| drop(created.unwrap()));
    let finder = Finder::new(stub.clone(), WINDOW);
    let found = join_all(all.iter().map(|name| finder.find(name, None))).await;
    for (name, found) in all.iter().zip(found) {
        assert_eq!(found.unwrap().iter().map(|port| &port.name).collect::<Vec<_>>(), [name]);
    }
    assert_eq!(stub.with(|state| state.lists.clone()), [40, 40, 20]);
    // A port whose device somebody changed is found by its id; one that doesn't exist isn't.
    stub.with(|state| state.ports[0].device_id = "other".to_owned());
    let id = PortId::from("id-p00");
    assert_eq!(finder.find("p00", Some(&id)).await.unwrap()[0].id, id);
    assert!(finder.find("p00", Some(&PortId::from("gone"))).await.unwrap().is_empty());
    assert!(finder.find("nobody", None).await.unwrap().is_empty());
}

/// Objects that ask for their ports as reconcilers do: they come in where they are let, and come again when they are woken.
#[tokio::test]
async fn whoever_wants_few_ports_does_not_wait_for_whoever_wants_many() {
    let stub = Stub::silent();
    let (creator, mut woken) = Creator::new(stub.clone(), WINDOW);
    let flow = |name: &str| Flow::Miss(name.split('-').next().unwrap_or_default().to_owned());
    let ask = |name: String| {
        let creator = creator.clone();
        if creator.admits(&name, &port(&name), &flow(&name)) {
            tokio::spawn(async move { creator.create(&name, port(&name), flow(&name)).await.unwrap() });
        }
    };
    let many = 300;
    (0..many).for_each(|number| ask(format!("a-{number:03}")));
    ask("b-0".to_owned());
    while stub.posts() != [8, 8] {
        tokio::task::yield_now().await;
    }
    let inside = stub.posts().iter().sum::<usize>();
    assert!(inside < 100, "few have a place");
    // From now on Neutron answers.
    stub.answer(1000);
    let served = || stub.with(|state| state.ports.len());
    while served() < many + 1 {
        tokio::select! {
            name = woken.next() => ask(name.unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    let order = stub.with(|state| state.posts.concat());
    let turn = order.iter().position(|name| name == "b-0").unwrap();
    assert!(turn <= 80, "it was the {turn}th of {}", order.len());
    let all: HashSet<_> = order.iter().collect();
    assert_eq!((all.len(), order.len()), (many + 1, many + 1), "each is made once");
}
