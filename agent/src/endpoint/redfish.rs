//! What Redfish resources say (DMTF DSP0266, DSP0268), as far as we read them. Pure.

use serde_json::Value;

use super::Seen;

/// The service root.
pub(super) const ROOT: &str = "/redfish/v1/";

/// The other way to write it (DSP0266 lets a service redirect from one to the other).
pub(super) const ROOT_BARE: &str = "/redfish/v1";

/// The longest path that is followed.
const MAX_PATH: usize = 512;

/// Properties of a resource, as JSON pointers, and what they are called in our info.
pub(super) type Properties = &'static [(&'static str, &'static str)];

/// Of the service root.
pub(super) const OF_ROOT: Properties = &[
    ("/RedfishVersion", "redfishVersion"),
    ("/Vendor", "vendor"),
    ("/Product", "product"),
    ("/UUID", "uuid"),
    ("/Name", "name"),
];

/// Of a system.
const OF_SYSTEM: Properties = &[
    ("/Manufacturer", "manufacturer"),
    ("/Model", "model"),
    ("/SerialNumber", "serialNumber"),
    ("/PowerState", "powerState"),
    ("/BiosVersion", "biosVersion"),
    ("/HostName", "hostName"),
    ("/Status/Health", "health"),
];

/// Of a manager, the BMC itself.
const OF_MANAGER: Properties = &[("/FirmwareVersion", "bmcFirmware")];

/// Collections in the service root whose first member is read, and of that what.
pub(super) const COLLECTIONS: [(&str, Properties); 2] = [("Systems", OF_SYSTEM), ("Managers", OF_MANAGER)];

/// Where the operating system of a system stands when its resource has it: HPE's agent in the host
/// reports it to the BMC.
const OS_OF_SYSTEM: [&str; 2] = ["/Oem/Hpe/HostOS/OsName", "/Oem/Hpe/HostOS/OsVersion"];

/// The same in the OperatingSystem resource that a system may link to.
const OS_OF_RESOURCE: [&str; 2] = ["/Kernel/Name", "/Kernel/Release"];

/// A JSON object, or what it is instead.
pub(super) fn object(body: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("answers with JSON, but no Redfish resource".to_owned()),
        Err(error) => Err(format!("answers, but not with a Redfish resource: {error}")),
    }
}

/// Whether a resource is a service root.
pub(super) fn is_service_root(resource: &Value) -> bool {
    let kind = resource.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
    resource.get("RedfishVersion").is_some_and(Value::is_string) || kind.starts_with("#ServiceRoot.")
}

/// Notes what a resource says.
pub(super) fn describe(resource: &Value, properties: Properties, seen: &mut Seen) {
    for (pointer, name) in properties {
        if let Some(value) = text(resource, pointer) {
            seen.note(name, value);
        }
    }
}

/// Notes the operating system that a system's own resource tells of; whether it does.
pub(super) fn describe_os(system: &Value, seen: &mut Seen) -> bool {
    note_os(system, OS_OF_SYSTEM, seen)
}

/// Notes what the resource of an operating system tells.
pub(super) fn describe_os_resource(resource: &Value, seen: &mut Seen) {
    if !note_os(resource, OS_OF_RESOURCE, seen)
        && let Some(kind) = text(resource, "/Type")
    {
        seen.note("os", kind);
    }
}

fn note_os(resource: &Value, [name, version]: [&str; 2], seen: &mut Seen) -> bool {
    let Some(name) = text(resource, name) else {
        return false;
    };
    let version = text(resource, version).unwrap_or_default();
    seen.note("os", &format!("{name} {version}"));
    true
}

fn text<'a>(resource: &'a Value, pointer: &str) -> Option<&'a str> {
    resource.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// Where a resource's property leads; none: there is no such link, or not one that we follow.
pub(super) fn link<'a>(resource: &'a Value, property: &str) -> Option<&'a str> {
    followed(resource.get(property)?)
}

/// Where the first member of a collection is.
pub(super) fn first_member(collection: &Value) -> Option<&str> {
    followed(collection.pointer("/Members/0")?)
}

/// A link's path, if it stays below the service root of the same endpoint.
fn followed(link: &Value) -> Option<&str> {
    let path = link.get("@odata.id").and_then(Value::as_str)?;
    let below = path.strip_prefix(ROOT)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\\"<>^`{|}".contains(&byte);
    let stays = below.split('/').all(|segment| !matches!(segment, "." | ".."));
    (path.len() <= MAX_PATH && path.bytes().all(plain) && stays).then_some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_root_is_known_by_its_version_or_its_type() {
        assert!(is_service_root(&json!({"RedfishVersion": "1.6.0"})));
        assert!(is_service_root(&json!({"@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot"})));
        assert!(!is_service_root(&json!({"@odata.type": "#ComputerSystem.v1_5_0.ComputerSystem"})));
        assert!(!is_service_root(&json!({"RedfishVersion": null})));
        assert!(!is_service_root(&json!({"status": "ok"})));
    }

    #[test]
    fn what_is_no_json_object_is_no_resource() {
        assert!(object(b"{}").is_ok());
        assert!(object(b"[{}]").unwrap_err().contains("no Redfish resource"));
        assert!(object(b"<html>").unwrap_err().contains("not with a Redfish resource"));
        assert!(object(b"").is_err());
    }

    #[test]
    fn deep_json_is_an_error() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(object(deep.as_bytes()).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn only_paths_below_the_root_of_the_same_endpoint_are_followed() {
        let follow = |path: &str| link(&json!({"Systems": {"@odata.id": path}}), "Systems").is_some();
        assert!(follow("/redfish/v1/Systems"));
        assert!(follow("/redfish/v1/Systems/System.Embedded.1"));
        assert!(follow("/redfish/v1/Systems/437XR1138R2:1/"));
        for path in [
            "http://10.9.0.9/redfish/v1/Systems",
            "//10.9.0.9/redfish/v1/Systems",
            "/etc/passwd",
            "redfish/v1/Systems",
            "/redfish/v1/../../etc/passwd",
            "/redfish/v1/./Systems",
            "/redfish/v1/%2e%2e/admin",
            "/redfish/v1/Systems?reset=1",
            "/redfish/v1/Systems#/Oem",
            "/redfish/v1/Systems HTTP/1.1\r\nX: y",
            "/redfish/v1/Systéme",
            "",
        ] {
            assert!(!follow(path), "{path}");
        }
        assert!(!follow(&format!("/redfish/v1/{}", "x".repeat(512))));
    }

    #[test]
    fn a_link_that_is_none_leads_nowhere() {
        assert_eq!(link(&json!({"Systems": "/redfish/v1/Systems"}), "Systems"), None);
        assert_eq!(link(&json!({"Systems": {"@odata.id": 5}}), "Systems"), None);
        assert_eq!(first_member(&json!({"Members": []})), None);
        assert_eq!(first_member(&json!({"Members": {"0": {}}})), None);
        let two = json!({"Members": [{"@odata.id": "/redfish/v1/Systems/1"}, {}]});
        assert_eq!(first_member(&two), Some("/redfish/v1/Systems/1"));
    }

    #[test]
    fn the_os_comes_from_the_system_or_from_a_resource_of_its_own() {
        let mut seen = Seen::nothing();
        assert!(!describe_os(&json!({"HostName": "node5"}), &mut seen));
        let hpe = json!({"Oem": {"Hpe": {"HostOS": {"OsName": "Linux", "OsVersion": "6.1"}}}});
        assert!(describe_os(&hpe, &mut seen));
        assert_eq!(seen.info["os"], "Linux 6.1");
        describe_os_resource(&json!({"Type": "Windows", "Kernel": {"Name": ""}}), &mut seen);
        assert_eq!(seen.info["os"], "Windows");
        describe_os_resource(&json!({"Kernel": {"Name": "Linux", "Release": "6.12.1"}}), &mut seen);
        assert_eq!(seen.info["os"], "Linux 6.12.1");
    }

    #[test]
    fn properties_of_other_types_say_nothing() {
        let mut seen = Seen::nothing();
        let system =
            json!({"Model": {"x": 1}, "SerialNumber": null, "HostName": 5, "Status": {"Health": "OK"}});
        describe(&system, OF_SYSTEM, &mut seen);
        assert_eq!(seen.info.into_iter().filter(|(name, _)| name != "os").count(), 1);
    }
}
