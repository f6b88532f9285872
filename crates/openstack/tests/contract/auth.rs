//! Logins.

use super::{
    backend::{Backend, connect},
    fixture::unique,
};
use futures::FutureExt;
use kuryr_openstack::{
    Cloud, CloudConfig, Endpoint, Kind,
    config::{ApplicationCredential, Credential, Domain, Named},
    endpoint::Service,
};
use reqwest::Method;
use serde::Deserialize;
use std::panic::{AssertUnwindSafe, resume_unwind};

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    domain_id: String,
}

#[derive(Debug, Deserialize)]
struct NewApplicationCredential {
    id: String,
    secret: String,
}

/// User and project of the configured credentials.
fn password(config: &CloudConfig) -> (Named, Named) {
    match &config.credential {
        Credential::Password { user, project, .. } => (user.clone(), project.clone()),
        Credential::ApplicationCredential { .. } => {
            panic!("the cloud of KURYR_CONTRACT_CLOUD must log in with a password")
        }
    }
}

async fn user(cloud: &Cloud, user: &Named) -> User {
    match user {
        Named::Id(id) => {
            cloud.run(&Endpoint::new(Service::IDENTITY, Method::GET, &["users", id]).answer_in("user")).await.unwrap()
        }
        Named::Name { name, .. } => {
            let endpoint = Endpoint::<Vec<User>>::new(Service::IDENTITY, Method::GET, &["users"])
                .query(vec![("name", name.clone())])
                .answer_in("users");
            cloud.run(&endpoint).await.unwrap().pop().unwrap()
        }
    }
}

async fn works(config: CloudConfig) {
    let cloud = connect(config).await.unwrap();
    assert!(!cloud.project_id().await.unwrap().as_str().is_empty());
    assert!(!cloud.neutron().list_extensions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_password_logs_in_by_names_and_by_ids() {
    let backend = Backend::start().await;
    let config = backend.config.clone();
    let (who, _) = password(&config);
    let cloud = connect(config.clone()).await.unwrap();
    works(config.clone()).await;

    let mut by_id = config.clone();
    let by_id_user = user(&cloud, &who).await;
    let project_id = cloud.project_id().await.unwrap();
    if let Credential::Password { user, project, .. } = &mut by_id.credential {
        *user = Named::Id(by_id_user.id);
        *project = Named::Id(project_id.into());
    }
    works(by_id).await;

    // The domain by its name instead of its identifier.
    #[derive(Deserialize)]
    struct DomainAnswer {
        name: String,
    }
    let path = ["domains", &by_id_user.domain_id];
    let endpoint = Endpoint::<DomainAnswer>::new(Service::IDENTITY, Method::GET, &path).answer_in("domain");
    let domain_name = cloud.run(&endpoint).await.unwrap().name;
    let mut by_domain_name = config;
    if let Credential::Password { user: Named::Name { domain, .. }, .. } = &mut by_domain_name.credential {
        *domain = Domain::Name(domain_name);
    }
    works(by_domain_name).await;
}

#[tokio::test]
async fn an_application_credential_logs_in_by_id_and_by_name() {
    let backend = Backend::start().await;
    let config = backend.config.clone();
    let (who, _) = password(&config);
    let cloud = connect(config.clone()).await.unwrap();
    let user = user(&cloud, &who).await;
    let name = unique();
    let path = ["users", &user.id, "application_credentials"];
    let endpoint = Endpoint::<NewApplicationCredential>::new(Service::IDENTITY, Method::POST, &path)
        .body("application_credential", &serde_json::json!({ "name": name }))
        .answer_in("application_credential");
    let new = cloud.run(&endpoint).await.unwrap();

    let with = |credential| CloudConfig {
        credential: Credential::ApplicationCredential { credential, secret: new.secret.clone().into() },
        ..config.clone()
    };
    let by_name = |user| with(ApplicationCredential::Name { name: name.clone(), user });
    let result = AssertUnwindSafe(async {
        works(with(ApplicationCredential::Id(new.id.clone()))).await;
        works(by_name(Named::Id(user.id.clone()))).await;
        works(by_name(who)).await;
        let mut wrong = with(ApplicationCredential::Id(new.id.clone()));
        if let Credential::ApplicationCredential { secret, .. } = &mut wrong.credential {
            *secret = "wrong".to_owned().into();
        }
        assert_eq!(connect(wrong).await.unwrap_err().kind(), Kind::Unauthorized);
    })
    .catch_unwind()
    .await;
    let path = ["users", &user.id, "application_credentials", &new.id];
    cloud.run(&Endpoint::<()>::new(Service::IDENTITY, Method::DELETE, &path)).await.unwrap();
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_one_clear_line() {
    let backend = Backend::start().await;
    let mut config = backend.config.clone();
    if let Credential::Password { password, .. } = &mut config.credential {
        *password = "wrong".to_owned().into();
    }
    let name = config.name.clone();
    let error = connect(config).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains(&format!("credentials of cloud `{name}`")) && !text.contains('\n'), "{text}");
    assert!(error.request_id().is_some(), "{text}");
}

#[tokio::test]
async fn a_wrong_region_says_what_the_catalogue_has() {
    let backend = Backend::start().await;
    let nowhere = CloudConfig { region: Some("Nowhere".to_owned()), ..backend.config.clone() };
    let cloud = connect(nowhere).await.unwrap();
    let error = cloud.neutron().list_extensions().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoEndpoint);
    assert!(error.to_string().contains("`Nowhere`; it has") && error.to_string().contains("public in "), "{error}");
}
