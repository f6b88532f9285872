//! The step from what is there to what is to be there.

use super::observe::Observed;
use kuryr_api::KuryrPort;

/// What is to be done. Nothing: converged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// A KuryrPort to create.
    pub create: Option<Box<KuryrPort>>,
}

/// Plans the next step.
pub fn plan(seen: &Observed, desired: Option<KuryrPort>) -> Plan {
    Plan { create: desired.filter(|_| !seen.has_port).map(Box::new) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::KuryrPortSpec;

    #[test]
    fn only_what_is_missing_is_created() {
        let spec =
            KuryrPortSpec { pod_name: "p".into(), pod_uid: "u".into(), node_name: "n".into(), interfaces: vec![] };
        let port = KuryrPort::new("p-1", spec);
        for (has_port, desired, creates) in
            [(false, Some(port.clone()), true), (true, Some(port), false), (false, None, false), (true, None, false)]
        {
            assert_eq!(plan(&Observed { has_port }, desired).create.is_some(), creates);
        }
    }
}
