//! `CNI_ARGS` as Kubernetes' runtimes fill it.

use crate::error::{CniError, Code};

/// The pod that a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodArgs {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod as the kubelet knows it. Old runtimes leave it out. For a static pod it isn't the uid of the pod in
    /// the API but the value of its annotation `kubernetes.io/config.mirror`.
    pub uid: Option<String>,
}

impl PodArgs {
    /// Reads `KEY=VALUE;KEY=VALUE`. Keys that we don't know are ignored, with or without `IgnoreUnknown`.
    ///
    /// # Errors
    /// Code 4 when the namespace or the name is missing.
    pub fn parse(args: &str) -> Result<Self, CniError> {
        let value = |wanted: &str| {
            args.split(';')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| key.trim() == wanted)
                .map(|(_, value)| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let required = |key: &str| {
            value(key).ok_or_else(|| {
                CniError::new(Code::InvalidEnvironment, format!("CNI_ARGS doesn't hold {key}")).details(
                    "kuryr-cni serves Kubernetes pods: the runtime has to name the pod in CNI_ARGS, as \
                     K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0",
                )
            })
        };
        Ok(Self {
            namespace: required("K8S_POD_NAMESPACE")?,
            name: required("K8S_POD_NAME")?,
            uid: value("K8S_POD_UID"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_containerd_sends() {
        let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;\
                    K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=7f1c";
        let pod = PodArgs::parse(args).unwrap();
        assert_eq!(pod, PodArgs { namespace: "shop".into(), name: "web-0".into(), uid: Some("7f1c".into()) });
    }

    #[test]
    fn a_missing_uid_is_fine_and_a_missing_name_is_not() {
        assert_eq!(PodArgs::parse("K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=").unwrap().uid, None);
        let error = PodArgs::parse("K8S_POD_NAMESPACE=a").unwrap_err();
        assert_eq!(error.code, 4);
        assert!(error.msg.contains("K8S_POD_NAME"), "{}", error.msg);
    }
}
