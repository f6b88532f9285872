//! `kill -9` of the daemon at any step of what it does with ports: the next start repairs all of it.

mod life;

use crate::{
    fixture::{Node, route, run},
    node_port::{self, NAME},
};
use futures::future::BoxFuture;
use kuryr_datapath::{
    Driver,
    ovs::{NodePortSpec, Ovs},
};
use life::{Story, Subject, killed_at_every_step};

type Done = BoxFuture<'static, ()>;

/// What all stories of a pod have in common: the next thing is an ADD.
const OF_A_POD: Story = Story {
    before: nothing,
    meanwhile: |_| (),
    work: nothing,
    done: nothing,
    next: add,
    right: |_| (),
    clear: end,
    neighbours: true,
};

/// What all stories of the node port have in common.
const OF_THE_NODE: Story =
    Story { next: ensure, right: node_port::assert_right, clear: remove_node_port, done: nothing, ..OF_A_POD };

fn nothing(_: Ovs, _: Subject) -> Done {
    Box::pin(async {})
}

fn hold(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { ovs.hold(&of.spec).await.unwrap() })
}

/// The network has another MTU since.
fn hold_as_it_was(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { ovs.hold(&kuryr_datapath::HoldSpec { mtu: 1300, ..of.spec }).await.unwrap() })
}

fn plug(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { drop(ovs.plug(&of.attachment).await.unwrap()) })
}

fn plug_older(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { drop(ovs.plug(&of.older).await.unwrap()) })
}

fn adopt(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move {
        ovs.hold(&of.spec).await.unwrap();
        assert!(ovs.plug(&of.attachment).await.unwrap().was_held);
    })
}

fn give_back(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { ovs.give_back(&of.attachment.container_id, "eth0").await.unwrap() })
}

fn let_go(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { ovs.let_go(&of.spec.port_id).await.unwrap() })
}

fn unplug(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { ovs.unplug(&of.attachment.container_id, "eth0").await.unwrap() })
}

fn remove_stale(ovs: Ovs, _: Subject) -> Done {
    Box::pin(async move {
        let stale = ovs.stale().await.unwrap();
        assert_eq!(stale.len(), 1, "{stale:?}");
        ovs.remove_stale(&stale[0]).await.unwrap();
    })
}

/// An ADD of the pod.
fn add(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move {
        ovs.plug(&of.attachment).await.unwrap();
        assert_eq!(ovs.check(&of.attachment).await.unwrap(), []);
    })
}

/// The DELs, and the end of holding.
fn end(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move {
        ovs.unplug(&of.attachment.container_id, "eth0").await.unwrap();
        ovs.unplug(&of.older.container_id, "eth0").await.unwrap();
        ovs.let_go(&of.spec.port_id).await.unwrap();
    })
}

fn is_attached(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move {
        assert_eq!(ovs.check(&of.attachment).await.unwrap(), [], "a living pod has lost its interface");
        is(&ovs, &of, (1, 0)).await;
    })
}

fn is_held(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { is(&ovs, &of, (0, 1)).await })
}

fn is_gone(ovs: Ovs, of: Subject) -> Done {
    Box::pin(async move { is(&ovs, &of, (0, 0)).await })
}

/// How many interfaces the port has in sandboxes, and how many that are held.
async fn is(ovs: &Ovs, of: &Subject, wanted: (usize, usize)) {
    let attached = ovs.attachments().await.unwrap().into_iter().filter(|a| a.port_id == of.spec.port_id).count();
    let held = ovs.held().await.unwrap().into_iter().filter(|held| held.spec == of.spec).count();
    assert_eq!((attached, held), wanted);
}

fn ensure(ovs: Ovs, _: Subject) -> Done {
    Box::pin(async move { drop(ovs.node_port(NAME).ensure(&node_port::spec()).await.unwrap()) })
}

/// Nothing of it is as it is to be.
fn ensure_otherwise(ovs: Ovs, _: Subject) -> Done {
    let spec = NodePortSpec {
        mtu: 1300,
        addresses: vec!["10.244.0.201/16".parse().unwrap()],
        routes: vec![route("10.97.0.0/16", "10.244.0.1")],
        ..node_port::spec()
    };
    Box::pin(async move { drop(ovs.node_port(NAME).ensure(&spec).await.unwrap()) })
}

fn remove_node_port(ovs: Ovs, _: Subject) -> Done {
    Box::pin(async move { ovs.node_port(NAME).remove().await.unwrap() })
}

fn no_node_port(ovs: Ovs, _: Subject) -> Done {
    Box::pin(async move { assert_eq!(ovs.node_port(NAME).status().await.unwrap(), None) })
}

/// The machine is new: nobody has made the namespace in which held ports wait.
fn no_holding_namespace(node: &Node) {
    if std::path::Path::new(&node.file("holding")).exists() {
        run("umount", &["--lazy", &node.file("holding")]);
        std::fs::remove_file(node.file("holding")).unwrap();
    }
}

/// The host's end of the one interface that the story is about.
fn its_device(node: &Node) -> String {
    let condition = "external_ids:iface-id=11111111-1111-1111-1111-11111111110b";
    node.vsctl(&["--bare", "--columns=name", "find", "interface", condition])
}

#[test]
fn killed_while_it_holds_a_port() {
    killed_at_every_step(&Story { work: hold, done: is_held, ..OF_A_POD });
}

#[test]
fn killed_while_it_holds_the_first_port_of_a_node() {
    let story = Story { meanwhile: no_holding_namespace, work: hold, done: is_held, neighbours: false, ..OF_A_POD };
    killed_at_every_step(&story);
}

#[test]
fn killed_while_it_holds_a_changed_port_anew() {
    killed_at_every_step(&Story { before: hold_as_it_was, work: hold, done: is_held, ..OF_A_POD });
}

#[test]
fn killed_while_it_lets_go_of_a_port() {
    killed_at_every_step(&Story { before: hold, work: let_go, done: is_gone, ..OF_A_POD });
}

#[test]
fn killed_while_it_makes_an_interface() {
    killed_at_every_step(&Story { work: plug, done: is_attached, ..OF_A_POD });
}

#[test]
fn killed_while_it_makes_an_interface_again() {
    killed_at_every_step(&Story { before: plug, work: plug, done: is_attached, ..OF_A_POD });
}

#[test]
fn killed_while_an_interface_replaces_one_of_an_older_sandbox() {
    killed_at_every_step(&Story { before: plug_older, work: plug, done: is_attached, ..OF_A_POD });
}

#[test]
fn killed_while_a_pod_adopts_a_held_port() {
    killed_at_every_step(&Story { before: hold, work: plug, done: is_attached, ..OF_A_POD });
}

#[test]
fn killed_while_it_replaces_an_adopted_interface() {
    killed_at_every_step(&Story { before: adopt, work: plug, done: is_attached, ..OF_A_POD });
}

#[test]
fn killed_while_a_pod_gives_back_an_interface_that_was_made() {
    killed_at_every_step(&Story { before: plug, work: give_back, done: is_held, ..OF_A_POD });
}

#[test]
fn killed_while_a_pod_gives_back_an_interface_that_was_held() {
    killed_at_every_step(&Story { before: adopt, work: give_back, done: is_held, ..OF_A_POD });
}

#[test]
fn killed_while_it_unplugs_an_interface_that_was_made() {
    killed_at_every_step(&Story { before: plug, work: unplug, done: is_gone, ..OF_A_POD });
}

#[test]
fn killed_while_it_unplugs_an_interface_that_was_held() {
    killed_at_every_step(&Story { before: adopt, work: unplug, done: is_gone, ..OF_A_POD });
}

#[test]
fn killed_while_it_removes_a_device_without_a_port() {
    let lose = |node: &Node| drop(node.vsctl(&["del-port", &its_device(node)]));
    killed_at_every_step(&Story { before: plug, meanwhile: lose, work: remove_stale, done: is_gone, ..OF_A_POD });
}

#[test]
fn killed_while_it_removes_a_port_without_a_device() {
    let lose = |node: &Node| drop(node.netns.run("ip", &["link", "del", &its_device(node)]));
    killed_at_every_step(&Story { before: hold, meanwhile: lose, work: remove_stale, done: is_gone, ..OF_A_POD });
}

#[test]
fn killed_while_it_makes_the_node_port() {
    killed_at_every_step(&Story { work: ensure, ..OF_THE_NODE });
}

#[test]
fn killed_while_it_changes_the_node_port() {
    killed_at_every_step(&Story { before: ensure_otherwise, work: ensure, ..OF_THE_NODE });
}

#[test]
fn killed_while_it_removes_the_node_port() {
    killed_at_every_step(&Story { before: ensure, work: remove_node_port, done: no_node_port, ..OF_THE_NODE });
}
