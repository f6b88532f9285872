//! What ends the start, and what only delays it.

use super::harness::{Fault, eventually, in_world};
use http::Method;
use kuryr_openstack::config::Files;

#[test]
fn a_wrong_name_ends_the_start_with_one_line() {
    in_world(|world| async move {
        let mut wrong = world.clone();
        wrong.settings.pods.subnets = vec!["nowhere".to_owned()];
        let error = wrong.start().ended().await.unwrap_err();
        assert_eq!(error.to_string(), "pods.subnets: there is no subnet `nowhere` that this project may see");

        let mut wrong = world.clone();
        wrong.settings.pods.security_groups = vec!["nowhere".to_owned()];
        let error = wrong.start().ended().await.unwrap_err();
        let line = "pods.securityGroups: there is no security group `nowhere` that this project may see";
        assert_eq!(error.to_string(), line);
    });
}

#[test]
fn wrong_credentials_end_the_start_with_one_line() {
    in_world(|world| async move {
        let folder = tempfile::tempdir().unwrap();
        let clouds = folder.path().join("clouds.yaml");
        let text = format!(
            "clouds: {{x: {{auth: {{auth_url: '{}', username: kuryr, password: wrong, project_name: kuryr, \
             user_domain_id: default, project_domain_id: default}}}}}}",
            world.cloud.auth_url
        );
        std::fs::write(&clouds, text).unwrap();
        let mut wrong = world.clone();
        wrong.cloud = kuryr_openstack::CloudConfig::read(&Files { clouds, secure: None }, Some("x")).unwrap();
        let error = wrong.start().ended().await.unwrap_err().to_string();
        assert!(error.contains("401") && error.lines().count() == 1, "{error}");
    });
}

#[test]
fn a_neutron_that_does_not_answer_yet_is_waited_for() {
    in_world(|world| async move {
        world.fake.times(6, Method::GET, Fault::Answer(503));
        let controller = world.start();
        eventually("it has been asked more than once", || async {
            (world.fake.count(&Method::GET, "subnets") > 6).then_some(())
        })
        .await;
        let pod = world.create_pod("web", false).await;
        world.allocated(&pod).await;
        controller.stop().await;
    });
}
