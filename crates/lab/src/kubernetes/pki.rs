//! The cluster's certificates: one authority, a server certificate, a client certificate for every identity.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::{API_SERVICE, API_SERVICE_V6, DOMAIN, kubeconfig, node_ports};
use crate::{
    engine::{Component, Lab, node_name},
    node::{EXTERNAL_GATEWAY, control_address},
};

/// Makes all certificates and kubeconfigs.
pub struct Pki;

impl Component for Pki {
    fn name(&self) -> String {
        "kubernetes-pki".into()
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let pki = Authority::open(&dir(lab))?;
        pki.server("kube-apiserver", &api_server_names()?)?;
        key_pair(&dir(lab), "service-accounts")?;
        for identity in identities(lab) {
            pki.client(&identity)?;
            kubeconfig::write(lab, &identity.file)?;
        }
        Ok(())
    }
}

/// Where certificates (`NAME.crt`) and keys (`NAME.key`) are.
pub(crate) fn dir(lab: &Lab) -> PathBuf {
    lab.state().join("pki")
}

/// Somebody who talks to the API server with a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Name of the files.
    pub file: String,
    /// The user's name: the certificate's common name.
    pub user: String,
    /// The user's group: the certificate's organisation.
    pub group: Option<String>,
}

impl Identity {
    fn new(file: impl Into<String>, user: impl Into<String>, group: Option<&str>) -> Self {
        Self { file: file.into(), user: user.into(), group: group.map(str::to_owned) }
    }
}

/// Everybody who has a certificate.
fn identities(lab: &Lab) -> Vec<Identity> {
    let mut all = vec![
        Identity::new(kubeconfig::ADMIN, "admin", Some("system:masters")),
        Identity::new("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters")),
        Identity::new("kube-controller-manager", "system:kube-controller-manager", None),
        Identity::new("kube-scheduler", "system:kube-scheduler", None),
        Identity::new("coredns", "coredns", None),
        Identity::new(node_ports::IDENTITY, "system:kube-proxy", None),
        Identity::new("kuryr-controller", "kuryr-controller", None),
    ];
    for node in lab.nodes().map(node_name) {
        all.push(Identity::new(format!("kubelet-{node}"), format!("system:node:{node}"), Some("system:nodes")));
        let daemon = format!("kuryr-daemon:{node}");
        all.push(Identity::new(format!("kuryr-daemon-{node}"), daemon, Some("kuryr:daemons")));
    }
    all
}

/// Every name and address by which somebody calls the API server.
fn api_server_names() -> Result<Vec<SanType>> {
    let domain = format!("kubernetes.default.svc.{DOMAIN}");
    let mut names = Vec::new();
    for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", &domain, "localhost"] {
        names.push(SanType::DnsName(name.try_into().with_context(|| format!("the DNS name {name}"))?));
    }
    let addresses = [
        IpAddr::from([127, 0, 0, 1]),
        control_address().into(),
        EXTERNAL_GATEWAY.into(),
        API_SERVICE.into(),
        API_SERVICE_V6,
    ];
    names.extend(addresses.map(SanType::IpAddress));
    Ok(names)
}

/// The certificate authority of a directory.
struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority, and makes it if it isn't there.
    fn open(dir: &Path) -> Result<Self> {
        let key = key_pair(dir, "ca")?;
        let mut params = named("kuryr-lab-ca", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let file = dir.join("ca.crt");
        if !file.exists() {
            let certificate = params.self_signed(&key).context("making the certificate authority")?;
            write(&file, &certificate.pem(), 0o644)?;
        }
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    fn server(&self, name: &str, names: &[SanType]) -> Result<()> {
        let mut params = named(name, None);
        params.subject_alt_names = names.to_vec();
        self.issue(name, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, identity: &Identity) -> Result<()> {
        let params = named(&identity.user, identity.group.as_deref());
        self.issue(&identity.file, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Writes a key and its certificate, unless they are there.
    fn issue(&self, name: &str, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<()> {
        let file = self.dir.join(format!("{name}.crt"));
        if file.exists() {
            return Ok(());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = key_pair(&self.dir, name)?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("making the certificate {name}"))?;
        write(&file, &certificate.pem(), 0o644)
    }
}

/// Reads the key `NAME.key` of a directory; makes it, with its public part `NAME.pub`, if it isn't there.
fn key_pair(dir: &Path, name: &str) -> Result<KeyPair> {
    let file = dir.join(format!("{name}.key"));
    if let Ok(text) = fs::read_to_string(&file) {
        return KeyPair::from_pem(&text).with_context(|| format!("reading the key {}", file.display()));
    }
    let key = KeyPair::generate().with_context(|| format!("making the key {name}"))?;
    write(&dir.join(format!("{name}.pub")), &key.public_key_pem(), 0o644)?;
    write(&file, &key.serialize_pem(), 0o600)?;
    Ok(key)
}

fn named(name: &str, organisation: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Writes a file in one step, so that an interruption leaves no half of it.
fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let draft = PathBuf::from(format!("{}.new", path.display()));
    let put = || -> std::io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode).open(&draft)?.write_all(content.as_bytes())?;
        fs::rename(&draft, path)
    };
    put().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use x509_parser::prelude::*;

    use super::*;

    fn pem(dir: &Path, name: &str) -> Pem {
        Pem::iter_from_buffer(&fs::read(dir.join(name)).unwrap()).next().unwrap().unwrap()
    }

    #[test]
    fn the_server_is_certified_for_all_of_its_names_and_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        authority.server("kube-apiserver", &api_server_names().unwrap()).unwrap();
        let pem = pem(dir.path(), "kube-apiserver.crt");
        let names = pem.parse_x509().unwrap().subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        for address in ["10.99.0.1", "10.96.0.1", "172.24.4.1", "127.0.0.1"] {
            let octets = address.parse::<Ipv4Addr>().unwrap().octets();
            assert!(names.contains(&GeneralName::IPAddress(&octets)), "{address}");
        }
        assert!(names.contains(&GeneralName::DNSName("kubernetes.default.svc")));
    }

    #[test]
    fn a_client_is_named_and_signed_by_the_authority_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        drop(Authority::open(dir.path()).unwrap());
        let identity = Identity::new("kubelet-node1", "system:node:node1", Some("system:nodes"));
        Authority::open(dir.path()).unwrap().client(&identity).unwrap();

        let (ca, client) = (pem(dir.path(), "ca.crt"), pem(dir.path(), "kubelet-node1.crt"));
        let (ca, client) = (ca.parse_x509().unwrap(), client.parse_x509().unwrap());
        assert!(ca.is_ca());
        assert_eq!(client.issuer(), ca.subject());
        client.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(client.subject().iter_common_name().next().unwrap().as_str().unwrap(), "system:node:node1");
        assert_eq!(client.subject().iter_organization().next().unwrap().as_str().unwrap(), "system:nodes");
    }

    #[test]
    fn what_is_there_is_kept_and_keys_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::new("admin", "admin", None);
        Authority::open(dir.path()).unwrap().client(&identity).unwrap();
        let before = fs::read(dir.path().join("admin.crt")).unwrap();
        Authority::open(dir.path()).unwrap().client(&identity).unwrap();
        assert_eq!(fs::read(dir.path().join("admin.crt")).unwrap(), before);
        assert_eq!(fs::metadata(dir.path().join("admin.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
