//! Logins.

use super::fixture::{config, connect};
use kuryr_openstack::{Kind, config::Credential};

#[tokio::test]
async fn a_password_logs_in_and_is_for_a_project() {
    let cloud = connect(config()).await.unwrap();
    assert!(!cloud.project_id().await.unwrap().as_str().is_empty());
    assert!(!cloud.neutron().list_extensions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_one_clear_line() {
    let mut config = config();
    let Credential::Password { password, .. } = &mut config.credential else {
        panic!("the cloud of KURYR_CONTRACT_CLOUD must log in with a password")
    };
    *password = "wrong".to_owned().into();
    let name = config.name.clone();
    let error = connect(config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains(&format!("credentials of cloud `{name}`")) && !text.contains('\n'), "{text}");
}
