//! `xdhcpd controller`: what runs the agents of a cluster.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::logging::{self, LogArguments};
use crate::config;
use crate::controller::parts::{Settings, Storage};
use crate::controller::{self, Options};

/// Where health and metrics are served by default: a pod has an address of its own.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9167);

/// Run the controller: keep for each ClusterAgent what runs it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where the agents run [env: POD_NAMESPACE too]
    #[arg(long, value_name = "NAME", env = "XDHCPD_NAMESPACE")]
    namespace: Option<String>,
    /// The agents' image, where a ClusterAgent names none
    #[arg(long, value_name = "IMAGE", env = "XDHCPD_IMAGE")]
    image: String,
    /// When it is pulled [default: as Kubernetes decides]
    #[arg(long, value_name = "POLICY", env = "XDHCPD_IMAGE_PULL_POLICY")]
    image_pull_policy: Option<PullPolicy>,
    /// The Secrets to pull it with, where a ClusterAgent names none
    #[arg(long, value_name = "NAMES", env = "XDHCPD_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    image_pull_secrets: Vec<String>,
    /// The ClusterRole that the agents have, and the Role of the same name in their namespace
    #[arg(long, value_name = "NAME", env = "XDHCPD_AGENT_ROLE", default_value = "xdhcpd-agent")]
    agent_role: String,
    #[command(flatten)]
    storage: StorageArguments,
    /// Which controller this is, among several [default: the host's name and the process number]
    #[arg(long, value_name = "NAME", env = "XDHCPD_IDENTITY")]
    identity: Option<String>,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDR:PORT", env = "XDHCPD_HTTP", default_value_t = HTTP)]
    http: SocketAddr,
    #[command(flatten)]
    log: LogArguments,
}

/// Where the agents keep their leases.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "clap names the flags by the fields")]
struct StorageArguments {
    /// The folder on the nodes where the agents keep their leases
    #[arg(long, value_name = "DIR", env = "XDHCPD_LEASE_HOST_PATH", default_value = "/var/lib/dhcp")]
    lease_host_path: String,
    /// Keep them in a PersistentVolumeClaim of this size instead, one for each agent
    #[arg(long, value_name = "SIZE", env = "XDHCPD_LEASE_CLAIM_SIZE")]
    lease_claim_size: Option<String>,
    /// Its storage class [default: the cluster's]
    #[arg(long, value_name = "NAME", env = "XDHCPD_LEASE_CLAIM_CLASS", requires = "lease_claim_size")]
    lease_claim_class: Option<String>,
    /// How it is mounted; with ReadWriteMany each node has a folder of its own in it
    #[arg(
        long,
        value_name = "MODE",
        env = "XDHCPD_LEASE_CLAIM_ACCESS_MODES",
        value_delimiter = ',',
        default_value = "ReadWriteOnce",
        requires = "lease_claim_size"
    )]
    lease_claim_access_modes: Vec<String>,
}

/// When an image is pulled, by Kubernetes' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd controller --namespace dhcp --image registry.example.org/xdhcpd:0.1.0
  xdhcpd controller --namespace dhcp --image xdhcpd:0.1.0 --lease-claim-size 1Gi
  xdhcpd controller --namespace dhcp --image xdhcpd:0.1.0 --http 127.0.0.1:9168 --log-level debug

Several of them may run: one works, and another takes over when it is gone.
$KUBECONFIG or the pod's service account leads to the API server.";

/// Runs the controller.
pub async fn controller(arguments: Arguments) -> Result<(), Failure> {
    logging::start(config::idle("").log, arguments.log)?;
    let options = options(arguments, |name| std::env::var(name).ok())?;
    let stop = CancellationToken::new();
    let failed = |error| Failure::failed("cannot wait for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let running = controller::run(options, stop.clone());
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => return result.map_err(Failure::Failed),
        _signal = terminate.recv() => {}
        _signal = interrupt.recv() => {}
    }
    stop.cancel();
    running.await.map_err(Failure::Failed)
}

fn options(arguments: Arguments, variable: impl Fn(&str) -> Option<String>) -> Result<Options, Failure> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let namespace = arguments.namespace.filter(|name| !name.is_empty()).or_else(|| given("POD_NAMESPACE"));
    let namespace = namespace.ok_or_else(|| {
        Failure::Usage(
            "--namespace: is missing; it says where the agents run (POD_NAMESPACE does too)".into(),
        )
    })?;
    if arguments.image.is_empty() || arguments.image.contains(char::is_whitespace) {
        let image = arguments.image;
        return Err(Failure::Usage(format!("--image: expected the name of an image, found {image:?}")));
    }
    let storage = storage(arguments.storage)?;
    let policy = arguments.image_pull_policy.and_then(|policy| policy.to_possible_value());
    Ok(Options {
        settings: Settings {
            namespace,
            image: arguments.image,
            pull_policy: policy.map(|policy| policy.get_name().to_owned()),
            pull_secrets: arguments.image_pull_secrets.into_iter().filter(|name| !name.is_empty()).collect(),
            role: arguments.agent_role,
            storage,
        },
        identity: arguments.identity.filter(|name| !name.is_empty()).unwrap_or_else(identity),
        http: Some(arguments.http),
    })
}

/// A name that no other controller has: in a cluster the host is the pod.
fn identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

fn storage(arguments: StorageArguments) -> Result<Storage, Failure> {
    let StorageArguments {
        lease_host_path: path,
        lease_claim_size,
        lease_claim_class: class,
        lease_claim_access_modes: access_modes,
    } = arguments;
    // A chart renders what is not said as nothing.
    let said = |value: Option<String>| value.filter(|value| !value.is_empty());
    match said(lease_claim_size) {
        Some(size) => Ok(Storage::Claim { class: said(class), size, access_modes }),
        None if path.starts_with('/') => Ok(Storage::HostPath(path)),
        None => Err(Failure::Usage(format!("--lease-host-path: expected an absolute path, found {path:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parsed(line: &str, variables: &[(&str, &str)]) -> Result<Options, String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Command::Controller(arguments) = cli.command else { panic!("{line} controls") };
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        options(arguments, variable).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn a_namespace_and_an_image_are_enough() {
        let options = parsed("xdhcpd controller --namespace dhcp --image a:1", &[]).unwrap();
        assert_eq!(options.settings.namespace, "dhcp");
        assert_eq!(options.settings.storage, Storage::HostPath("/var/lib/dhcp".into()));
        assert_eq!((options.settings.role.as_str(), options.http), ("xdhcpd-agent", Some(HTTP)));
        let of_pod = parsed("xdhcpd controller --image a:1", &[("POD_NAMESPACE", "here")]).unwrap();
        assert_eq!(of_pod.settings.namespace, "here");
    }

    #[test]
    fn what_is_missing_or_wrong_names_its_flag() {
        for (line, flag) in [
            ("xdhcpd controller --namespace dhcp", "--image"),
            ("xdhcpd controller --image a:1", "--namespace"),
            ("xdhcpd controller --namespace dhcp --image ", "--image"),
            ("xdhcpd controller --namespace dhcp --image a --lease-host-path leases", "--lease-host-path"),
            ("xdhcpd controller --namespace dhcp --image a --image-pull-policy Maybe", "--image-pull-policy"),
        ] {
            let error = parsed(line, &[]).unwrap_err();
            assert!(error.contains(flag), "{line}: {error}");
        }
    }

    #[test]
    fn secrets_to_pull_with_may_be_several_or_none() {
        let secrets = |names: &str| {
            let line = format!("xdhcpd controller --namespace dhcp --image a --image-pull-secrets={names}");
            parsed(&line, &[]).unwrap().settings.pull_secrets
        };
        assert_eq!(secrets("one,two"), ["one", "two"]);
        assert!(secrets("").is_empty());
    }

    #[test]
    fn a_size_asks_for_a_claim() {
        let line = "xdhcpd controller --namespace dhcp --image a --lease-claim-size 1Gi \
                    --lease-claim-class fast --lease-claim-access-modes ReadWriteMany,ReadWriteOnce";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let access_modes = vec!["ReadWriteMany".into(), "ReadWriteOnce".into()];
        let expected = Storage::Claim { class: Some("fast".into()), size: "1Gi".into(), access_modes };
        assert_eq!(parsed(&line, &[]).unwrap().settings.storage, expected);
    }
}
