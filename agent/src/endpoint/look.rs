//! One look at one endpoint: what is asked for, in which order, and what the answers mean.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::connection::{Answer, Connection};
use super::fault::Fault;
use super::redfish::{self, Properties};
use super::{Seen, Target};

/// What one look may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a TCP connection may take to come about. A dead endpoint costs this much.
    pub connect: Duration,
    /// How long all of it may take.
    pub total: Duration,
    /// The most bytes of one answer's body.
    pub body: usize,
}

impl Default for Limits {
    /// Room for one lost SYN; and for a BMC's small processor, which may take a second for each of some
    /// six answers when it checks the password every time.
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), total: Duration::from_secs(10), body: 256 << 10 }
    }
}

/// Looks at an endpoint, within limits. Nothing that it does makes this fail: it makes the fault.
pub async fn look(target: &Target, limits: &Limits) -> Seen {
    let mut seen = Seen::nothing();
    match timeout(limits.total, read(target, limits, &mut seen)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => seen.fail(&fault.to_string()),
        Err(_) => seen.fail(&format!("has not answered in full within {:?}", limits.total)),
    }
    seen
}

/// Reads the service root, and what lies below it for those who log in.
async fn read(target: &Target, limits: &Limits, seen: &mut Seen) -> Result<(), Fault> {
    let mut connection = Connection::new(target, limits);
    let root = service_root(&mut connection).await?;
    seen.ready = true;
    redfish::describe(&root, redfish::OF_ROOT, seen);
    if !connection.has_login() {
        return Ok(());
    }
    let mut first_fault = Ok(());
    for (collection, properties) in redfish::COLLECTIONS {
        match first_member(&mut connection, &root, collection, properties, seen).await {
            Ok(()) => {}
            // Asked no further: BMCs lock accounts that fail too often.
            Err(fault @ Fault::Unauthorized { .. }) => {
                seen.ready = false;
                return Err(fault);
            }
            Err(fault) => first_fault = first_fault.and(Err(fault)),
        }
    }
    first_fault
}

async fn service_root(connection: &mut Connection<'_>) -> Result<Value, Fault> {
    let mut path = redfish::ROOT;
    let mut answer = connection.get(path).await?;
    let origin = connection.origin();
    if answer.status.is_redirection()
        && let Some(location) = &answer.location
        && location.strip_prefix(&origin).unwrap_or(location) == redfish::ROOT_BARE
    {
        path = redfish::ROOT_BARE;
        answer = connection.get(path).await?;
    }
    let root = resource(path, answer, connection.has_login())?;
    if redfish::is_service_root(&root) {
        Ok(root)
    } else {
        let problem = "answers with JSON, but no Redfish service root".to_owned();
        Err(Fault::NotRedfish { path: path.to_owned(), problem })
    }
}

/// Notes what the first member of a collection says, if there is one.
async fn first_member(
    connection: &mut Connection<'_>,
    root: &Value,
    collection: &str,
    properties: Properties,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let Some(path) = redfish::link(root, collection) else {
        return Ok(());
    };
    let collection = get(connection, path).await?;
    let Some(path) = redfish::first_member(&collection) else {
        return Ok(());
    };
    let member = get(connection, path).await?;
    redfish::describe(&member, properties, seen);
    if !redfish::describe_os(&member, seen)
        && let Some(path) = redfish::link(&member, "OperatingSystem")
    {
        redfish::describe_os_resource(&get(connection, path).await?, seen);
    }
    Ok(())
}

async fn get(connection: &mut Connection<'_>, path: &str) -> Result<Value, Fault> {
    let answer = connection.get(path).await?;
    resource(path, answer, connection.has_login())
}

/// The resource in an answer, or what is wrong with it.
fn resource(path: &str, answer: Answer, login: bool) -> Result<Value, Fault> {
    let path = path.to_owned();
    match (answer.status, answer.location) {
        (status, _) if status.is_success() => {
            redfish::object(&answer.body).map_err(|problem| Fault::NotRedfish { path, problem })
        }
        (StatusCode::UNAUTHORIZED, _) => Err(Fault::Unauthorized { path, login }),
        (status, Some(location)) if status.is_redirection() => Err(Fault::Redirect { path, location }),
        (status, _) => Err(Fault::Status { path, status }),
    }
}
