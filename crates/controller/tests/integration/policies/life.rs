//! What policies, pods and their labels become.

use super::super::harness::{eventually_so, in_world};
use super::fixture::{
    Neutron, PORT, at_rest, delete_policy, marked, objects, only, only_the_common_groups, passes, pod, policy, port_of,
    programmed, relabel, running, says,
};
use http::Method;
use kube::api::ListParams;
use serde_json::json;

#[test]
fn a_policy_closes_what_it_doesn_t_allow_and_opens_again_when_it_goes() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db, other) = (
            running(&world, "web", "web").await,
            running(&world, "db", "db").await,
            running(&world, "other", "other").await,
        );
        passes(&world, &[(&web, &db, true), (&other, &db, true)]).await;
        only(&world, "db", "db", "web").await;
        passes(&world, &[(&web, &db, true), (&other, &db, false), (&db, &other, true)]).await;
        let told = programmed(&world, "db").await;
        assert_eq!((told.pods, told.group_count, told.address_groups, told.members), (1, 1, 1, 2), "{told:?}");
        assert_eq!((told.rules, told.groups.len()), (2, 1), "a rule for each family");
        relabel(&world, "other", "web").await;
        passes(&world, &[(&other, &db, true)]).await;
        relabel(&world, "other", "none").await;
        passes(&world, &[(&other, &db, false), (&web, &db, true)]).await;
        only(&world, "db", "db", "none").await;
        passes(&world, &[(&other, &db, true), (&web, &db, false)]).await;
        delete_policy(&world, "db").await;
        passes(&world, &[(&other, &db, true), (&web, &db, true)]).await;
        only_the_common_groups(&world, 1).await;
        eventually_so("the object goes with its policy", || async {
            let left = objects(&world).list(&ListParams::default()).await.unwrap().items.len();
            // The API server's garbage collector isn't there; nobody else deletes it.
            if left <= 1 { Ok(()) } else { Err(format!("{left}")) }
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn a_pod_is_closed_from_its_first_moment() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        policy(&world, "closed", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })).await;
        programmed(&world, "closed").await;
        world.fake.be_slow();
        let pods = [pod(&world, "a", "a").await, pod(&world, "b", "b").await];
        // Every look at their ports finds them closed to each other.
        eventually_so("both pods have their ports", || async {
            let neutron = Neutron::of(&world);
            let ports = world.neutron_ports();
            for port in &ports {
                let open = ["10.244.0.99", "fd00:244::99"].map(|ip| ip.parse().unwrap());
                let open = open
                    .into_iter()
                    .any(|ip| neutron.lets(port, true, ip, PORT) || neutron.lets(port, false, ip, PORT));
                assert!(!open, "{port:?} was open");
            }
            if port_of(&world, &pods[0]).await.is_some() && port_of(&world, &pods[1]).await.is_some() {
                Ok(())
            } else {
                Err(format!("{} ports", ports.len()))
            }
        })
        .await;
        passes(&world, &[(&pods[0], &pods[1], false)]).await;
        controller.stop().await;
    });
}

#[test]
fn a_pod_that_comes_or_goes_is_one_request_whatever_else_there_is() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        for number in 0..10 {
            only(&world, &format!("p{number}"), &format!("a{number}"), "web").await;
        }
        let db = running(&world, "db", "a0").await;
        let web = running(&world, "web", "web").await;
        passes(&world, &[(&web, &db, true)]).await;
        world.rests(&controller.life).await;
        let of = |method: Method, kind: &str| world.fake.count(&method, kind);
        let groups = || of(Method::POST, "security-groups") + of(Method::POST, "security-group-rules");
        let (before, changed) = (groups(), || of(Method::PUT, "address-groups"));
        let had = changed();
        let more = running(&world, "more", "web").await;
        passes(&world, &[(&more, &db, true)]).await;
        world.rests(&controller.life).await;
        assert_eq!(
            (groups() - before, changed() - had),
            (0, 1),
            "one address more in the one group that all policies share"
        );
        world.delete_pod("more").await;
        world.confirm(&world.ports_of(more.metadata.uid.as_deref().unwrap()).await.pop().unwrap()).await;
        eventually_so("its address is out", || async {
            if changed() - had == 2 { Ok(()) } else { Err(format!("{}", changed() - had)) }
        })
        .await;
        world.rests(&controller.life).await;
        assert_eq!((groups() - before, changed() - had), (0, 2));
        controller.stop().await;
    });
}

#[test]
fn a_policy_that_can_t_be_meant_closes_and_says_why() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        // The API server lets through a port's name that no container could have; nobody has it.
        let spec = json!({ "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "ports": [{ "port": "nobody" }] }] });
        policy(&world, "db", spec).await;
        passes(&world, &[(&web, &db, false)]).await;
        says(&world, "db", "Accepted", "True", "AsDesired").await;
        let spec = json!({ "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "ports": [{ "port": "http" }] }] });
        policy(&world, "db", spec).await;
        passes(&world, &[(&web, &db, true)]).await;
        controller.stop().await;
    });
}

#[test]
fn what_policies_become_is_found_again_by_the_next_controller() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        only(&world, "db", "db", "web").await;
        only(&world, "old", "db", "old").await;
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        passes(&world, &[(&web, &db, true)]).await;
        programmed(&world, "old").await;
        programmed(&world, "db").await;
        world.rests(&controller.life).await;
        let before = marked(&world);
        controller.stop().await;
        let writes = world.fake.writes();
        let controller = world.start();
        world.rests(&controller.life).await;
        assert_eq!((world.fake.writes() - writes, marked(&world)), (0, before), "nothing is to be done");
        controller.stop().await;
        // What went while nobody looked is cleared away.
        delete_policy(&world, "old").await;
        relabel(&world, "web", "none").await;
        let controller = world.start();
        passes(&world, &[(&web, &db, false)]).await;
        eventually_so("the old policy's groups are gone", || async {
            let (groups, named) = marked(&world);
            if (groups.len(), named.len()) == (4, 1) {
                Ok(())
            } else {
                Err(format!("{} {}", groups.len(), named.len()))
            }
        })
        .await;
        controller.stop().await;
    });
}
