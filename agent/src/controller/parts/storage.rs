//! Where an agent keeps its leases: on the node, or in a claim of its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;

use super::pod::NODE_NAME;
use super::{Kind, Settings, metadata};
use crate::kube::objects::ClusterAgent;

/// Where the leases are inside of an agent's container.
const LEASES: &str = "/var/lib/dhcp";

/// The volume's name.
const VOLUME: &str = "leases";

/// The mode of a volume that pods on several nodes have at one time.
const SHARED: &str = "ReadWriteMany";

/// Where agents keep their leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// On the node, in this folder.
    HostPath(String),
    /// In a claim of each agent's own, `<name>-dhcp-data`.
    Claim {
        /// The storage class; none: the cluster's default.
        class: Option<String>,
        /// How large, as in `1Gi`.
        size: String,
        /// How it is mounted, as in `ReadWriteOnce`.
        access_modes: Vec<String>,
    },
}

/// The claim of an agent; none: its leases are on the node.
pub fn claim(agent: &ClusterAgent, settings: &Settings) -> Option<PersistentVolumeClaim> {
    let Storage::Claim { class, size, access_modes } = &settings.storage else { return None };
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.clone()))]);
    let resources =
        VolumeResourceRequirements { requests: Some(requests), ..VolumeResourceRequirements::default() };
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(access_modes.clone()),
        storage_class_name: class.clone(),
        resources: Some(resources),
        ..PersistentVolumeClaimSpec::default()
    };
    let metadata = metadata(Kind::PersistentVolumeClaim, agent, settings);
    Some(PersistentVolumeClaim { metadata, spec: Some(spec), status: None })
}

/// The volume with an agent's leases.
pub fn volume(agent: &ClusterAgent, settings: &Settings) -> Volume {
    let named = Volume { name: VOLUME.into(), ..Volume::default() };
    match &settings.storage {
        Storage::HostPath(path) => {
            let path = HostPathVolumeSource { path: path.clone(), type_: Some("DirectoryOrCreate".into()) };
            Volume { host_path: Some(path), ..named }
        }
        Storage::Claim { .. } => {
            let claim = PersistentVolumeClaimVolumeSource {
                claim_name: Kind::PersistentVolumeClaim.name(&agent.name_any()),
                read_only: None,
            };
            Volume { persistent_volume_claim: Some(claim), ..named }
        }
    }
}

/// Where it is in the container. Agents on several nodes have a lease file each: in a volume that they
/// share, a folder for each node.
pub fn mount(settings: &Settings) -> VolumeMount {
    let shared = match &settings.storage {
        Storage::HostPath(_) => false,
        Storage::Claim { access_modes, .. } => access_modes.iter().any(|mode| mode == SHARED),
    };
    VolumeMount {
        name: VOLUME.into(),
        mount_path: LEASES.into(),
        sub_path_expr: shared.then(|| format!("$({NODE_NAME})")),
        ..VolumeMount::default()
    }
}
