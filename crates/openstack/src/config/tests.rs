//! Clouds as people write them.

use super::*;
use secrecy::ExposeSecret;
use std::path::PathBuf;
use tempfile::TempDir;

/// `auth` members that everything else is added to.
const PASSWORD: &str = "auth: {auth_url: 'http://k:5000', username: u, password: p, project_name: pr, \
                        user_domain_id: default, project_domain_name: Default}";

/// Writes one cloud `c` and reads it.
fn read(cloud: &str) -> Result<CloudConfig, ConfigError> {
    let (_folder, files) = write(&format!("clouds:\n  c:\n    {}\n", cloud.replace('\n', "\n    ")), None);
    CloudConfig::read(&files, None)
}

/// A valid cloud with further keys, for other modules' tests too.
pub(crate) fn config(further: &str) -> CloudConfig {
    read(&format!("{PASSWORD}\n{further}")).unwrap()
}

fn write(clouds: &str, secure: Option<&str>) -> (TempDir, Files) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = Files { clouds: file("clouds.yaml", clouds), secure: secure.map(|secure| file("secure.yaml", secure)) };
    (folder, files)
}

#[test]
fn a_password_of_names() {
    let config = config("region_name: north\ninterface: internalURL\nverify: no\nidentity_api_version: 3");
    assert_eq!(config.auth_url.as_str(), "http://k:5000/v3");
    let Credential::Password { user, password, project } = &config.credential else { panic!() };
    assert_eq!(*user, Named::Name { name: "u".into(), domain: Domain::Id("default".into()) });
    assert_eq!(*project, Named::Name { name: "pr".into(), domain: Domain::Name("Default".into()) });
    assert_eq!(password.expose_secret(), "p");
    assert_eq!(
        (config.region.as_deref(), config.interface, config.verify),
        (Some("north"), Interface::Internal, false)
    );
}

#[test]
fn a_password_of_identifiers_and_digits() {
    let config = read(
        "auth_type: v3password\nauth:\n  auth_url: https://k/identity/v3/\n  user_id: 123\n  password: 4711\n  project_id: x",
    )
    .unwrap();
    assert_eq!(config.auth_url.as_str(), "https://k/identity/v3");
    let Credential::Password { user, password, project } = &config.credential else { panic!() };
    assert_eq!((user, project), (&Named::Id("123".into()), &Named::Id("x".into())));
    assert_eq!(password.expose_secret(), "4711");
    assert!(config.verify && config.interface == Interface::Public && config.region.is_none());
}

#[test]
fn an_application_credential_by_id_and_by_name() {
    let by_id = read(
        "auth_type: v3applicationcredential\nauth: {auth_url: 'http://k', application_credential_id: i, \
         application_credential_secret: s}",
    );
    let Credential::ApplicationCredential { credential, secret } = by_id.unwrap().credential else { panic!() };
    assert_eq!((credential, secret.expose_secret()), (ApplicationCredential::Id("i".into()), "s"));
    // Without auth_type the secret says what it is.
    let by_name = read(
        "auth: {auth_url: 'http://k', application_credential_name: n, application_credential_secret: s, username: u, \
         user_domain_name: d}",
    );
    let Credential::ApplicationCredential { credential, .. } = by_name.unwrap().credential else { panic!() };
    let user = Named::Name { name: "u".into(), domain: Domain::Name("d".into()) };
    assert_eq!(credential, ApplicationCredential::Name { name: "n".into(), user });
}

#[test]
fn endpoints_are_overridden_by_service_type() {
    let config = config("network_endpoint_override: http://n:9696/x\nload_balancer_endpoint_override: http://o:9876");
    let overrides: Vec<(&str, &str)> =
        config.endpoint_overrides.iter().map(|(service, url)| (service.as_str(), url.as_str())).collect();
    assert_eq!(overrides, [("load-balancer", "http://o:9876/"), ("network", "http://n:9696/x")]);
}

#[test]
fn secure_yaml_is_merged_over_clouds_yaml() {
    let clouds =
        "clouds: {c: {auth: {auth_url: 'http://k', username: u, user_domain_id: d, project_id: p, password: old}}}";
    let secure = "clouds: {c: {auth: {password: new}}, other: {auth: {password: x}}}";
    let (_folder, files) = write(clouds, Some(secure));
    let config = CloudConfig::read(&files, None).unwrap();
    let Credential::Password { password, .. } = config.credential else { panic!() };
    assert_eq!(password.expose_secret(), "new");
}

#[test]
fn what_is_wrong_is_one_line_with_file_cloud_and_key() {
    let auth = |members: &str| format!("auth: {{auth_url: 'http://k', {members}}}");
    let user = "username: u, password: p, user_domain_id: d";
    for (cloud, key, problem) in [
        ("region_name: x".to_owned(), "auth", "is missing"),
        ("auth: {username: u}".to_owned(), "auth.auth_url", "is missing"),
        ("auth: {auth_url: k}".to_owned(), "auth.auth_url", "isn't a URL"),
        ("auth: {auth_url: 'ftp://k'}".to_owned(), "auth.auth_url", "http://"),
        ("auth: {auth_url: 'http://k/v2.0'}".to_owned(), "auth.auth_url", "version 3"),
        (auth("usernam: u"), "auth.usernam", "is not a known key"),
        (auth("password: p, project_id: p"), "auth.username", "is missing (or auth.user_id)"),
        (auth("username: u, password: p, project_id: p"), "auth.user_domain_name", "auth.user_domain_id"),
        (auth("username: [u], password: p, project_id: p"), "auth.username", "text is expected"),
        (auth(user), "auth.project_name", "is missing (or auth.project_id)"),
        (auth("user_id: u, project_id: p"), "auth.password", "is missing"),
        (auth("application_credential_secret: s"), "auth.application_credential_id", "is missing"),
        (format!("auth_type: v3oidcpassword\n{}", auth(user)), "auth_type", "`v3oidcpassword` is not supported"),
        (format!("profile: vexxhost\n{PASSWORD}"), "profile", "vexxhost"),
        (format!("interface: inside\n{PASSWORD}"), "interface", "`inside`"),
        (format!("verify: maybe\n{PASSWORD}"), "verify", "`true` or `false`"),
        (format!("cacert: /does/not/exist\n{PASSWORD}"), "cacert", "/does/not/exist"),
        (format!("network_endpoint_override: there\n{PASSWORD}"), "network_endpoint_override", "`there`"),
        (format!("regions: [a, b]\n{PASSWORD}"), "regions", "region_name"),
    ] {
        let text = read(&cloud).unwrap_err().to_string();
        assert!(text.contains(&format!("clouds.yaml: cloud `c`: {key}: ")), "{cloud}: {text}");
        assert!(text.contains(problem) && !text.contains('\n'), "{cloud}: {text}");
    }
}

#[test]
fn the_cloud_is_chosen_by_name_or_is_the_only_one() {
    let (_folder, files) = write(&format!("clouds:\n  a:\n    {PASSWORD}\n  b:\n    {PASSWORD}"), None);
    assert_eq!(CloudConfig::read(&files, Some("b")).unwrap().name, "b");
    let text = CloudConfig::read(&files, None).unwrap_err().to_string();
    assert!(text.contains("no cloud was chosen") && text.contains("the file has `a`, `b`"), "{text}");
    let text = CloudConfig::read(&files, Some("x")).unwrap_err().to_string();
    assert!(text.contains("there is no cloud `x`"), "{text}");
    let (_folder, empty) = write("", None);
    assert!(CloudConfig::read(&empty, None).unwrap_err().to_string().contains("no clouds"));
}

#[test]
fn a_file_that_is_not_yaml_names_the_place_but_no_secret() {
    let (_folder, files) = write("clouds:\n  c:\n    auth: {password: hunter2\n", None);
    let text = CloudConfig::read(&files, None).unwrap_err().to_string();
    assert!(text.contains("clouds.yaml: isn't valid YAML: see line ") && !text.contains("hunter2"), "{text}");
    let missing = Files { clouds: PathBuf::from("/does/not/exist.yaml"), secure: None };
    let text = CloudConfig::read(&missing, None).unwrap_err().to_string();
    assert!(text.starts_with("/does/not/exist.yaml: can't be read: "), "{text}");
}

#[test]
fn the_place_tells_clouds_regions_and_projects_apart_and_no_secret() {
    let place = config("").place();
    assert_eq!(place, "http://k:5000/v3 region  project pr of domain Default");
    assert_eq!(place, config("network_endpoint_override: http://n:9696").place(), "another way to the same place");
    assert_ne!(place, config("region_name: elsewhere").place());
}
