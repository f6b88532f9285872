//! Clients of the API server that are somebody else than the administrator.

use crate::Cluster;
use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use kuryr_lab::kubernetes;

/// The service account that a daemon has when it runs as a Pod.
pub const DAEMON_ACCOUNT: &str = "kuryr-daemon";
/// The namespace of that service account.
pub const SYSTEM: &str = "kube-system";

impl Cluster {
    /// A client with the credentials of a part of the lab, by the name of its kubeconfig: `kuryr-daemon-node1`.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn with_credentials_of(&self, part: &str) -> Result<Client> {
        let file = kubernetes::kubeconfig_of(&self.lab, part);
        let kubeconfig = Kubeconfig::read_from(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?)
    }

    /// A client that is this user in these groups: the API server takes the administrator's word for it.
    ///
    /// # Errors
    /// When the administrator's credentials can't be read.
    pub async fn as_user(&self, user: &str, groups: &[&str]) -> Result<Client> {
        self.with(|auth| {
            auth.impersonate = Some(user.to_owned());
            auth.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
        })
        .await
    }

    /// A client with a real token of the daemons' service account, bound to this pod if there is one: then the API server
    /// has put the pod's node into the token (KEP-4193).
    ///
    /// # Errors
    /// When the API server gives no token.
    pub async fn as_daemon_account(&self, pod: Option<&str>) -> Result<Client> {
        let bound = pod.map(|name| BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name.to_owned()),
            uid: None,
        });
        let spec = TokenRequestSpec { bound_object_ref: bound, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let accounts: Api<ServiceAccount> = self.api(SYSTEM);
        let answer = accounts.create_token_request(DAEMON_ACCOUNT, &PostParams::default(), &request).await;
        let token = answer.context("asking for a token")?.status.and_then(|status| status.token);
        let token = token.context("the answer has no token")?;
        self.with(|auth| *auth = AuthInfo { token: Some(token.into()), ..AuthInfo::default() }).await
    }

    async fn with(&self, change: impl FnOnce(&mut AuthInfo)) -> Result<Client> {
        let file = kubernetes::kubeconfig(&self.lab);
        let kubeconfig = Kubeconfig::read_from(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        change(&mut config.auth_info);
        Client::try_from(config).context("making a client")
    }
}
