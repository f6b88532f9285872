//! What Octavia is and can do, and what the configured subnets are.

use super::{Services, audit};
use crate::{
    networks::{self, Networks, ResolveError},
    settings::Services as Configured,
};
use kuryr_core::{
    backoff::Backoff,
    error::Class,
    service::{
        ApiVersion,
        facts::{Settings, Subnet},
        spec::CLASS,
    },
};
use kuryr_openstack::{
    Kind,
    neutron::{NetworkQuery, Neutron, SubnetId},
    octavia::Octavia,
};
use std::{sync::Arc, time::Duration};

/// The provider that is taken where the cloud has it.
const PREFERRED: &str = "ovn";

/// What the cloud and the configuration say, for all Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// Octavia's providers. Empty: it doesn't tell.
    pub providers: Vec<String>,
    /// The newest version of Octavia's API.
    pub api: ApiVersion,
    /// For the pure functions.
    pub settings: Settings,
}

/// Asks until it is known, then now and then. `changed` is called whenever it is another.
pub async fn follow(shared: &Services, networks: &Networks, changed: impl Fn()) {
    let (mut failures, mut trouble) = (0, String::new());
    loop {
        let wait = match resolve(shared, networks).await {
            Ok(cloud) => {
                failures = 0;
                trouble.clear();
                if shared.cloud().as_deref() != Some(&cloud) {
                    // Before anybody looks by itself.
                    if let Err(error) = audit::look(shared).await {
                        tracing::warn!(%error, "can't look at all load balancers at once, each is looked at by itself");
                    }
                    let provider = &cloud.settings.provider;
                    tracing::info!(api = %cloud.api, provider, "Octavia is known, Services are served");
                    shared.known.send_replace(Some(Arc::new(cloud)));
                    changed();
                }
                Duration::from_secs(shared.settings.controller.refresh_seconds.max(1))
            }
            Err(error) => {
                failures += 1;
                let said = error.to_string();
                if said != trouble {
                    tracing::warn!(error = said, "Services wait for Octavia, trying again");
                    trouble = said;
                }
                Backoff::of(Class::Transient).delay(failures, fastrand::f64())
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn resolve(shared: &Services, networks: &Networks) -> Result<Cloud, ResolveError> {
    let (octavia, neutron, configured) = (&shared.octavia, &shared.neutron, &shared.settings.services);
    let version = octavia.api_version().await.map_err(networks::openstack("Octavia's API version"))?;
    let api = version.map_or(ApiVersion::v2(0), |version| ApiVersion { major: version.major, minor: version.minor });
    let mut service_subnets = Vec::new();
    for wanted in &configured.subnets {
        service_subnets.push(subnet(neutron, "services.subnets", wanted).await?);
    }
    let mut member_subnets = Vec::new();
    networks.resolved().await;
    for id in &networks.defaults().subnets {
        let found =
            neutron.get_subnet(&SubnetId::from(id.as_str())).await.map_err(networks::openstack("pods' subnets"))?;
        member_subnets.push(Subnet { id: found.id.to_string(), cidr: found.cidr });
    }
    for wanted in &configured.member_subnets {
        member_subnets.push(subnet(neutron, "services.memberSubnets", wanted).await?);
    }
    let providers = providers(octavia).await?;
    let mut classes = vec![CLASS.to_owned()];
    classes.extend(configured.classes.iter().cloned());
    let settings = Settings {
        cluster: shared.settings.cluster.clone(),
        provider: provider(&providers, configured)?,
        inside: member_subnets.iter().chain(&service_subnets).map(|subnet| subnet.cidr).collect(),
        service_subnets,
        member_subnets,
        floating_network: floating_network(neutron, configured).await?,
        default_class: configured.default_class,
        classes,
        monitor: configured.health_monitor,
        ..Settings::default()
    };
    Ok(Cloud { providers, api, settings })
}

async fn subnet(neutron: &Neutron, setting: &'static str, wanted: &str) -> Result<Subnet, ResolveError> {
    let found = networks::subnet(neutron, setting, wanted).await?;
    Ok(Subnet { id: found.id.to_string(), cidr: found.cidr })
}

/// Octavia's providers. Empty where it doesn't tell: it is too old, or doesn't tell everybody.
async fn providers(octavia: &Octavia) -> Result<Vec<String>, ResolveError> {
    match octavia.list_providers().await {
        Ok(providers) => Ok(providers.into_iter().map(|provider| provider.name).collect()),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => Ok(Vec::new()),
        Err(error) => Err(networks::openstack("Octavia's providers")(error)),
    }
}

/// The configured provider, else the preferred one where the cloud has it, else the only one that there is, else the cloud's default.
fn provider(names: &[String], configured: &Configured) -> Result<Option<String>, ResolveError> {
    match &configured.provider {
        Some(wanted) if names.is_empty() || names.contains(wanted) => Ok(Some(wanted.clone())),
        Some(wanted) => Err(networks::wrong(
            "services.provider",
            format!("Octavia has no provider `{wanted}`, but {}", names.join(", ")),
        )),
        None => {
            Ok(names.iter().find(|name| *name == PREFERRED).or(names.first().filter(|_| names.len() == 1)).cloned())
        }
    }
}

/// A version of Octavia's API that can do everything.
const ANY_API: ApiVersion = ApiVersion { major: 2, minor: u16::MAX };

impl Cloud {
    /// One of which nothing is known.
    pub fn unknown(settings: &crate::settings::Settings) -> Self {
        let settings = Settings { cluster: settings.cluster.clone(), ..Settings::default() };
        Self { providers: Vec::new(), api: ANY_API, settings }
    }

    /// The provider of a load balancer that is there already and that nobody has chosen a provider for: its own, as long as the cloud has it. A
    /// provider that the cloud gets later is for new ones only. `asked`: what its spec says; `has`: what Octavia says, which matters where the spec
    /// left it to the cloud.
    pub fn keep_provider(&self, configured: &Configured, asked: Option<&str>, has: Option<&str>) -> Option<String> {
        let own = asked.or(has.filter(|_| self.settings.provider.is_some()));
        let own = own.filter(|own| configured.provider.is_none() && self.providers.iter().any(|name| name == own));
        own.map(str::to_owned).or_else(|| self.settings.provider.clone())
    }
}

async fn floating_network(neutron: &Neutron, configured: &Configured) -> Result<Option<String>, ResolveError> {
    let Some(wanted) = &configured.floating_network else { return Ok(None) };
    let by_name = NetworkQuery { names: vec![wanted.clone()], ..NetworkQuery::default() };
    let found = neutron.list_networks(&by_name).await.map_err(networks::openstack("external network"))?;
    let by_id = match found.is_empty() {
        true => {
            let by_id = NetworkQuery { ids: vec![wanted.as_str().into()], ..NetworkQuery::default() };
            neutron.list_networks(&by_id).await.map_err(networks::openstack("external network"))?.pop()
        }
        false => None,
    };
    networks::only_one("services.floatingNetwork", "network", wanted, found, by_id).map(|one| Some(one.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_the_cloud_gets_later_is_for_new_load_balancers() {
        let cloud = |names: &[&str], configured: &Configured| {
            let providers: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let settings = Settings { provider: provider(&providers, configured).unwrap(), ..Settings::default() };
            Cloud { providers, api: ApiVersion::v2(30), settings }
        };
        let (free, amphora) = (Configured::default(), Some("amphora"));
        let kept = |cloud: &Cloud, asked| cloud.keep_provider(&free, asked, None);
        assert_eq!(kept(&cloud(&["amphora"], &free), None).as_deref(), amphora);
        let both = cloud(&["amphora", "ovn"], &free);
        assert_eq!((kept(&both, None).as_deref(), kept(&both, amphora).as_deref()), (Some("ovn"), amphora));
        assert_eq!(kept(&cloud(&["ovn"], &free), amphora).as_deref(), Some("ovn"), "the cloud has lost it");
        let chosen = Configured { provider: Some("ovn".to_owned()), ..Configured::default() };
        assert_eq!(
            cloud(&["amphora", "ovn"], &chosen).keep_provider(&chosen, amphora, amphora).as_deref(),
            Some("ovn")
        );
        // Octavia's default has two names: nobody has chosen, and nobody is to be moved when there is a choice.
        let (default, later) = (cloud(&["amphora", "octavia"], &free), cloud(&["amphora", "octavia", "ovn"], &free));
        assert_eq!(default.keep_provider(&free, None, amphora), None);
        assert_eq!(later.keep_provider(&free, None, amphora).as_deref(), amphora);
        assert_eq!(later.keep_provider(&free, None, None).as_deref(), Some("ovn"));
        let wrong =
            provider(&["ovn".to_owned()], &Configured { provider: Some("f5".to_owned()), ..Configured::default() });
        assert!(wrong.is_err_and(|error| error.to_string().contains("no provider `f5`, but ovn")));
    }
}
