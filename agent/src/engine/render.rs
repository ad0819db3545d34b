//! What a network, the classes and a reservation together say to a client: the boot fields and the
//! option bytes, in the order the client asked for.
//!
//! A [`Rendered`] that is short enough becomes a template for the kernel ([`super::templates`]).

use std::net::Ipv4Addr;

use crate::config::{Boot, Class, Network, Options, Reservation};
use crate::engine::request::Request;

use super::reply::push_option;

/// RFC 8925: an IPv6-only client that asks for it gives up IPv4; never sent unasked (row 56).
const IPV6_ONLY: u8 = 108;
/// A vendor class in a reply makes a PXE ROM look for option 43 (row 57).
const VENDOR_CLASS: u8 = 60;
/// The vendor class that HTTP boot insists on, and that has nothing to do with option 43 (UEFI 2.5,
/// §23.7.2).
const HTTP_CLIENT: &[u8] = b"HTTPClient";
/// How the boot file of such a client begins, also over TLS.
const HTTP: &str = "http";
const VENDOR_OPTIONS: u8 = 43;
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const HOST_NAME: u8 = 12;
const BROADCAST_ADDRESS: u8 = 28;

/// The part of a reply that does not depend on the client's own times and echoes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rendered {
    /// siaddr, sname and file.
    pub boot: BootFields,
    /// Encoded options, in their order.
    pub options: Vec<u8>,
    /// Where each option ends in `options`, to cut where a client has no room for all.
    ends: Vec<usize>,
}

/// The boot fields as they stand in the header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootFields {
    /// siaddr.
    pub next_server: [u8; 4],
    /// sname.
    pub server_name: [u8; 64],
    /// file.
    pub file: [u8; 128],
}

impl Rendered {
    /// Renders for a client of these classes, with this reservation, that sent this request.
    pub fn new(
        network: &Network,
        classes: &[&Class],
        reservation: Option<&Reservation>,
        request: &Request,
    ) -> Self {
        let parameters = request.parameter_list();
        let boot = merged_boot(network, classes, reservation);
        let mut options = collect(network, classes, reservation, parameters);
        settle_vendor_class(&mut options, &boot, request);
        let mut encoded = Vec::new();
        let mut ends = Vec::new();
        for code in order(&options, parameters) {
            if let Some(value) = options.0.get(&code) {
                push_option(&mut encoded, code, value);
                ends.push(encoded.len());
            }
        }
        Self { boot: BootFields::new(&boot), options: encoded, ends }
    }

    /// The options laid out in rooms of so many bytes: each whole, in its order, in the first room
    /// that still has space for it. What fits nowhere is left out, so what was asked for first stays
    /// longest (row 7).
    pub fn packed<const N: usize>(&self, mut rooms: [usize; N]) -> [Vec<u8>; N] {
        let mut packed = std::array::from_fn(|_| Vec::new());
        let mut start = 0;
        for end in &self.ends {
            let option = self.options.get(start..*end).unwrap_or_default();
            start = *end;
            let place = packed.iter_mut().zip(&mut rooms).find(|(_, room)| option.len() <= **room);
            if let Some((out, room)) = place {
                out.extend_from_slice(option);
                *room = room.saturating_sub(option.len());
            }
        }
        packed
    }
}

impl BootFields {
    fn new(boot: &Boot) -> Self {
        Self {
            next_server: boot.next_server.unwrap_or(Ipv4Addr::UNSPECIFIED).octets(),
            server_name: padded(boot.server_name.as_deref()),
            file: padded(boot.file.as_deref()),
        }
    }
}

/// The text with zeros behind it; the configuration has checked that it fits.
fn padded<const N: usize>(text: Option<&str>) -> [u8; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(text.unwrap_or_default().bytes()) {
        *to = from;
    }
    field
}

/// Nearest wins: reservation over classes over network; of the classes the first.
fn merged_boot(network: &Network, classes: &[&Class], reservation: Option<&Reservation>) -> Boot {
    let mut boot = network.boot.clone();
    for class in classes.iter().rev() {
        boot = boot.overlay(&class.boot);
    }
    match reservation {
        Some(reservation) => boot.overlay(&reservation.boot),
        None => boot,
    }
}

fn collect(
    network: &Network,
    classes: &[&Class],
    reservation: Option<&Reservation>,
    parameters: &[u8],
) -> Options {
    let mut options = Options::default();
    options.0.insert(MASK, network.subnet.netmask().octets().to_vec());
    // Who asks for nothing is told what most ask for.
    if parameters.is_empty() || parameters.contains(&BROADCAST_ADDRESS) {
        options.0.insert(BROADCAST_ADDRESS, network.subnet.broadcast().octets().to_vec());
    }
    if let Some(gateway) = network.gateway {
        options.0.insert(ROUTER, gateway.octets().to_vec());
    }
    options = options.overlay(&network.options);
    for class in classes.iter().rev() {
        options = options.overlay(&class.options);
    }
    if let Some(reservation) = reservation {
        if let Some(name) = &reservation.host_name {
            options.0.insert(HOST_NAME, name.as_bytes().to_vec());
        }
        options = options.overlay(&reservation.options);
    }
    if !parameters.contains(&IPV6_ONLY) {
        options.0.remove(&IPV6_ONLY);
    }
    options
}

/// Option 60 goes with a 43, or tells firmware that boots over HTTP that we mean it: where such a
/// client is given a URL, it need not be configured (row 57). BOOTP has no such option.
fn settle_vendor_class(options: &mut Options, boot: &Boot, request: &Request) {
    let boots_by_http = request.vendor_class().is_some_and(|class| class.starts_with(HTTP_CLIENT));
    let has_url = boot.file.as_ref().is_some_and(|file| file.starts_with(HTTP));
    if boots_by_http && has_url {
        options.0.entry(VENDOR_CLASS).or_insert_with(|| HTTP_CLIENT.to_vec());
    }
    let is_http_boot = options.0.get(&VENDOR_CLASS).is_some_and(|class| class.starts_with(HTTP_CLIENT));
    if request.bootp || !options.0.contains_key(&VENDOR_OPTIONS) && !is_http_boot {
        options.0.remove(&VENDOR_CLASS);
    }
}

/// The mask first, so that it is before the router (RFC 2132 §3.3), then what was asked for in the
/// order asked, then the rest: an operator who configured an option wants it sent, and few clients
/// list all they read.
fn order(options: &Options, parameters: &[u8]) -> Vec<u8> {
    let mut order = vec![MASK];
    for code in parameters.iter().chain(options.0.keys()) {
        if !order.contains(code) {
            order.push(*code);
        }
    }
    order
}
