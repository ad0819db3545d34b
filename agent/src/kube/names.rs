//! The names of HostStatus objects: `<agent>-<address, dots as dashes>`.

use std::net::Ipv4Addr;

/// The object of an address.
pub fn name(agent: &str, ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("{agent}-{a}-{b}-{c}-{d}")
}

/// The address of an object, if it is one of this agent's: exactly four numbers follow its name, so
/// that `rack` does not take `rack-10`'s objects for its own.
pub fn address(agent: &str, name: &str) -> Option<Ipv4Addr> {
    let rest = name.strip_prefix(agent)?.strip_prefix('-')?;
    // Leading zeros would give one address two names.
    rest.replace('-', ".").parse().ok().filter(|ip: &Ipv4Addr| self::name(agent, *ip) == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_agent_and_address() {
        let ip = Ipv4Addr::new(10, 9, 0, 100);
        assert_eq!(name("bmc", ip), "bmc-10-9-0-100");
        assert_eq!(address("bmc", "bmc-10-9-0-100"), Some(ip));
    }

    #[test]
    fn objects_of_others_are_not_taken_for_ours() {
        for other in [
            "bmc-10-10-9-0-100",
            "bmc-host1",
            "bmc-10-9-0",
            "bmc-10-9-0-256",
            "bmc-010-9-0-1",
            "bm-10-9-0-1",
            "bmc",
        ] {
            assert_eq!(address("bmc", other), None, "{other}");
        }
        assert_eq!(address("bmc-10", "bmc-10-10-9-0-100"), Some(Ipv4Addr::new(10, 9, 0, 100)));
    }
}
