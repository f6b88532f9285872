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
                let cloud = Arc::new(cloud);
                let is_new = shared.known.send_if_modified(|known| {
                    let is_new = known.as_ref() != Some(&cloud);
                    *known = Some(cloud.clone());
                    is_new
                });
                if is_new {
                    tracing::info!(api = %cloud.api, provider = cloud.settings.provider, "Octavia is known, Services are served");
                    if let Err(error) = audit::look(shared).await {
                        tracing::warn!(%error, "can't look at all load balancers at once, each is looked at by itself");
                    }
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
    let mut classes = vec![CLASS.to_owned()];
    classes.extend(configured.classes.iter().cloned());
    let settings = Settings {
        cluster: shared.settings.cluster.clone(),
        provider: provider(octavia, configured).await?,
        inside: member_subnets.iter().chain(&service_subnets).map(|subnet| subnet.cidr).collect(),
        service_subnets,
        member_subnets,
        floating_network: floating_network(neutron, configured).await?,
        default_class: configured.default_class,
        classes,
        monitor: configured.health_monitor,
        ..Settings::default()
    };
    Ok(Cloud { api, settings })
}

async fn subnet(neutron: &Neutron, setting: &'static str, wanted: &str) -> Result<Subnet, ResolveError> {
    let found = networks::subnet(neutron, setting, wanted).await?;
    Ok(Subnet { id: found.id.to_string(), cidr: found.cidr })
}

/// The configured provider, else the preferred one where the cloud has it, else the only one that there is, else the cloud's default.
async fn provider(octavia: &Octavia, configured: &Configured) -> Result<Option<String>, ResolveError> {
    let names: Vec<String> = match octavia.list_providers().await {
        Ok(providers) => providers.into_iter().map(|provider| provider.name).collect(),
        // An Octavia that is too old to tell, or that doesn't tell everybody.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => {
            return Ok(configured.provider.clone());
        }
        Err(error) => return Err(networks::openstack("Octavia's providers")(error)),
    };
    match &configured.provider {
        Some(wanted) if names.contains(wanted) => Ok(Some(wanted.clone())),
        Some(wanted) => Err(networks::wrong(
            "services.provider",
            format!("Octavia has no provider `{wanted}`, but {}", names.join(", ")),
        )),
        None => {
            Ok(names.iter().find(|name| *name == PREFERRED).or(names.first().filter(|_| names.len() == 1)).cloned())
        }
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
