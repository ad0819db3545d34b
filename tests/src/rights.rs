//! Whether an account's rights are those that it needs, by the API server's own log of who asked for what.
//!
//! A right is needed when a request took it, in the namespace where it holds. Some are asked of nobody by name:
//! to bind a role, and to write an owner's finalizers. These are needed when something is refused without them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cluster_agent::CONVERGED;
use crate::kube::{Cluster, READY};
use crate::{netns, wait};

/// Of each request who made it, what it was about, and what came of it.
const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// The namespace and the name of a service account.
pub type Account<'a> = (&'a str, &'a str);

/// Leave to do one thing with one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    group: String,
    /// With the part of it, where it is about one: `pods/status`.
    pub resource: String,
    verb: String,
}

/// A request that somebody made.
#[derive(Debug)]
struct Request {
    right: Right,
    /// Empty: it was about what is in no namespace, or about all of them.
    namespace: String,
    code: u64,
}

impl Right {
    /// Whether requests take it that do not name it.
    fn is_silent(&self) -> bool {
        self.verb == "bind" || self.resource.ends_with("/finalizers")
    }
}

/// A log that an API server keeps.
#[derive(Debug)]
pub struct Audit {
    folder: tempfile::TempDir,
}

impl Audit {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let audit = Self { folder: netns::folder("audit")? };
        fs::write(audit.policy(), POLICY)?;
        Ok(audit)
    }

    fn policy(&self) -> PathBuf {
        self.folder.path().join("policy")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the API server is to be told, so that it keeps it.
    pub fn arguments(&self) -> [String; 2] {
        let (policy, log) = (self.policy(), self.log());
        [format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())]
    }

    /// Waits until an account has used each of its rights among these with success; fails where something was
    /// refused to it.
    pub fn each_is_used(
        &self,
        cluster: &Cluster,
        account: Account,
        among: impl Fn(&Right) -> bool,
    ) -> Result<()> {
        let [everywhere, local] = cluster.rules_of(account.0, account.1)?;
        let [everywhere, local] = [rights(&everywhere)?, rights(&local)?];
        let mut unused = Vec::new();
        let used = wait::until_true("each right to be used", CONVERGED, || {
            let requests = self.requests(account)?;
            if let Some(refused) = requests.iter().find(|request| request.code == 403) {
                bail!("{account:?} was refused what it asked for: {refused:?}");
            }
            // Who uses a right in its own namespace alone needs it there alone.
            let is_used = |right: &Right, here: bool| {
                let took = |request: &&Request| {
                    request.right == *right && (request.namespace == account.0) == here && request.code < 400
                };
                right.is_silent() || requests.iter().any(|request| took(&request))
            };
            let everywhere = everywhere.iter().filter(|right| !is_used(right, false));
            let local = local.iter().filter(|right| !is_used(right, true));
            unused = everywhere.chain(local).filter(|right| among(right)).cloned().collect();
            Ok(unused.is_empty())
        });
        used.with_context(|| format!("{account:?} has no use for {unused:#?}"))
    }

    fn requests(&self, (namespace, name): Account) -> Result<Vec<Request>> {
        let who = format!("system:serviceaccount:{namespace}:{name}");
        let mut requests = Vec::new();
        let log = fs::read_to_string(self.log())?;
        // The last line may be half written.
        let Some((whole, _)) = log.rsplit_once('\n') else { return Ok(requests) };
        for line in whole.lines() {
            let entry: Value = serde_json::from_str(line)?;
            let about = &entry["objectRef"];
            if entry["user"]["username"] != who.as_str() || about.is_null() {
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let part = about["subresource"].as_str().map_or(String::new(), |part| format!("/{part}"));
            let right = Right {
                group: text(&about["apiGroup"]),
                resource: text(&about["resource"]) + &part,
                verb: text(&entry["verb"]),
            };
            let code = entry["responseStatus"]["code"].as_u64().context("a code")?;
            let namespace = text(&about["namespace"]);
            // To apply what is not there takes the right to make it beside.
            if right.verb == "patch" && code == 201 {
                let right = Right { verb: "create".into(), ..right.clone() };
                requests.push(Request { right, namespace: namespace.clone(), code });
            }
            requests.push(Request { right, namespace, code });
        }
        Ok(requests)
    }
}

/// What these rules grant.
fn rights(rules: &[Value]) -> Result<Vec<Right>> {
    let texts = |rule: &Value, key: &str| -> Result<Vec<String>> {
        let list = rule[key].as_array().with_context(|| format!("{key} of {rule}"))?;
        Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let mut rights = Vec::new();
    for rule in rules {
        for group in texts(rule, "apiGroups")? {
            for resource in texts(rule, "resources")? {
                for verb in texts(rule, "verbs")? {
                    rights.push(Right { group: group.clone(), resource: resource.clone(), verb });
                }
            }
        }
    }
    Ok(rights)
}

/// The resources of an account's rights that no request names.
pub fn silent(cluster: &Cluster, (namespace, name): Account) -> Result<Vec<String>> {
    let rules = cluster.rules_of(namespace, name)?.concat();
    Ok(rights(&rules)?.into_iter().filter(Right::is_silent).map(|right| right.resource).collect())
}

/// Does some work while an account has no rules about a resource.
pub fn without(
    cluster: &Cluster,
    (namespace, name): Account,
    resource: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let is_about =
        |rule: &Value| rule["resources"].as_array().is_some_and(|all| all.contains(&json!(resource)));
    let rules = cluster.rules_of(namespace, name)?;
    let set = |rules: &[Vec<Value>; 2]| -> Result<()> {
        let roles = ["clusterrole", "role"].into_iter().zip([format!("{namespace}-{name}"), name.to_owned()]);
        for ((kind, role), rules) in roles.zip(rules) {
            let patch = json!({"rules": rules}).to_string();
            let words = ["patch", kind, &role, "--namespace", namespace, "--type=merge", "--patch", &patch];
            cluster.kubectl(&words)?;
        }
        Ok(())
    };
    let account = cluster.kubectl_of(&cluster.kubeconfig_of(namespace, name)?);
    let wait_until = |known: bool| {
        wait::until_true("the rights to have changed", READY, || {
            Ok(account.own_rules(namespace).is_ok_and(|rules| rules.iter().any(is_about) == known))
        })
    };
    set(&rules.each_ref().map(|rules| rules.iter().filter(|rule| !is_about(rule)).cloned().collect()))?;
    wait_until(false)?;
    work().with_context(|| format!("without {resource}"))?;
    set(&rules)?;
    wait_until(true)
}
