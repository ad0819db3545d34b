//! Secrets: an endpoint's certificate and credentials, read again once an interval.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::client::{RequestError, ask, ask_for};
use super::objects::{EndpointDefaults, said};
use crate::config::Problem;
use crate::endpoint::Credentials;

/// The namespace and name of a Secret.
pub type SecretKey = (String, String);

/// Secrets that are read at one time.
const AT_ONCE: usize = 16;

/// Where a ClusterAgent names its Secret.
const NAME: &str = "spec.endpoint.secretName";
/// Likewise.
const NAMESPACE: &str = "spec.endpoint.secretNamespace";

/// What is wrong with the Secret that a ClusterAgent names, if anything: hosts that speak HTTPS need
/// one, and it has to hold a certificate and its key. Passing failures are the caller's to judge.
pub async fn check(
    client: &Client,
    endpoint: &EndpointDefaults,
    patience: Duration,
) -> Result<Option<Problem>, RequestError> {
    let problem = |path: &str, message: String| Ok(Some(Problem { path: path.into(), message }));
    let (name, namespace) = (said(endpoint.secret_name.as_ref()), said(endpoint.secret_namespace.as_ref()));
    match (name, namespace) {
        (None, None) if endpoint.https => {
            problem(NAME, format!("is missing; `https: true` needs it, and {NAMESPACE}"))
        }
        (None, None) => Ok(None),
        (Some(_), None) => problem(NAMESPACE, "is missing; secretName needs it".into()),
        (None, Some(_)) => problem(NAME, "is missing; secretNamespace needs it".into()),
        (Some(name), Some(namespace)) => {
            let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let Some(secret) = ask_for(patience, || api.get_opt(name)).await? else {
                return problem(NAME, format!("there is no Secret {namespace}/{name}"));
            };
            match Credentials::from_secret(&data(secret)) {
                Ok(_) => Ok(None),
                Err(fault) => problem(NAME, format!("Secret {namespace}/{name}: {fault}")),
            }
        }
    }
}

/// Credentials of hosts, or why there are none; whether that passes.
pub type Reading = Result<Arc<Credentials>, RequestError>;

/// Reads the Secrets of hosts.
pub async fn read_all(client: Client, keys: BTreeSet<SecretKey>) -> BTreeMap<SecretKey, Reading> {
    let read = |key: SecretKey| {
        let api: Api<Secret> = Api::namespaced(client.clone(), &key.0);
        async move { (read(api, &key.1).await, key) }
    };
    stream::iter(keys).map(read).buffer_unordered(AT_ONCE).map(|(read, key)| (key, read)).collect().await
}

async fn read(api: Api<Secret>, name: &str) -> Reading {
    let lasting = |fault: &dyn std::fmt::Display| RequestError::Lasting(fault.to_string());
    match ask(api.get_opt(name)).await? {
        Some(secret) => Credentials::of_host(&data(secret)).map(Arc::new).map_err(|fault| lasting(&fault)),
        None => Err(lasting(&"there is no such Secret")),
    }
}

fn data(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}
