//! `clouds.yaml`: how clients reach the cloud, in the format of openstacksdk.

use std::path::PathBuf;

use anyhow::Result;

use super::{PASSWORD, accounts::KURYR, keystone, rest::ADMIN, rest::Login};
use crate::engine::{Lab, files};

/// The file with the clouds `admin` (the administrator), `kuryr` (Kuryr's user by password) and `kuryr-appcred` (the
/// same user by application credential).
pub fn clouds_file(lab: &Lab) -> PathBuf {
    lab.state().join("clouds.yaml")
}

/// Writes the file, given the id of the application credential.
pub(super) fn write(lab: &Lab, credential: &str) -> Result<()> {
    files::write_if_changed(&clouds_file(lab), &render(credential)).map(drop)
}

fn render(credential: &str) -> String {
    let url = keystone::url();
    let password = |cloud: &str, login: Login<'_>| {
        format!(
            "  {cloud}:
    auth:
      auth_url: {url}
      username: {}
      password: {PASSWORD}
      project_name: {}
      user_domain_id: default
      project_domain_id: default
    region_name: RegionOne
    identity_api_version: 3
",
            login.user, login.project
        )
    };
    format!(
        "clouds:
{}{}  kuryr-appcred:
    auth_type: v3applicationcredential
    auth:
      auth_url: {url}
      application_credential_id: {credential}
      application_credential_secret: {PASSWORD}
    region_name: RegionOne
    identity_api_version: 3
",
        password("admin", ADMIN),
        password("kuryr", KURYR)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_clouds_are_written() {
        let text = render("0123");
        assert!(text.starts_with("clouds:\n  admin:\n    auth:\n      auth_url: http://10.99.0.1:5000/v3\n"));
        assert!(text.contains("\n  kuryr:\n    auth:\n"));
        assert!(text.contains("project_name: kuryr\n"));
        assert!(text.contains("\n  kuryr-appcred:\n    auth_type: v3applicationcredential\n"));
        assert!(text.contains("application_credential_id: 0123\n"));
    }
}
