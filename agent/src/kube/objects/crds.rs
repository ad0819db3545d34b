//! The custom resource definitions, made of the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{AddressBlock, AgentTerm, ClusterAgent, HostEndpoint, HostStatus};

/// All of them.
pub fn crds() -> [CustomResourceDefinition; 5] {
    [ClusterAgent::crd(), HostEndpoint::crd(), HostStatus::crd(), AddressBlock::crd(), AgentTerm::crd()]
}

/// A definition as YAML, ready to be applied.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(crd)
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;

    use super::*;

    #[test]
    fn the_charts_definitions_are_those_of_the_types() {
        for crd in crds() {
            let name = crd.name_any();
            let path = format!("{}/../chart/crds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            let written = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(written, yaml(&crd).unwrap(), "{name}: run `cargo xtask crds`");
        }
    }
}
