//! What follows from two parts of one run.

use crate::part::{Beside, Part, Row, Wanted};

/// The rows that this is made of, by their names in the parts `live` and `peers`.
const OFFER: &str = "OFFER, native";
const ACK: &str = "ACK, native";
const KNOWN: &str = "known clients: highest rate";
const PEER: &str = "Kea";

const ABOUT: &str = "\
A generator in user space is far slower than the program in the kernel. What the program can do for known clients, one OFFER and one \
ACK for each, follows from its rates with frames injected in the kernel, beside what a peer does on a core of its own.";

/// Known clients in the kernel beside those of a peer; none: one of them was not measured.
pub fn known_clients(parts: &[&Part]) -> Option<Part> {
    let rows = || parts.iter().flat_map(|part| &part.rows);
    let rates = |what: &str| rows().find(|row| row.what == what).map(|row| row.runs.as_slice());
    let offers_and_acks = rates(OFFER)?.iter().zip(rates(ACK)?);
    let exchanges: Vec<f64> =
        offers_and_acks.map(|(offers, acks)| 1e6 / (offers.recip() + acks.recip())).collect();
    let of_peer =
        |row: &&Row| row.what == KNOWN && row.beside.as_ref().is_some_and(|beside| beside.what == PEER);
    let Beside { what, runs } = rows().find(of_peer)?.beside.clone()?;
    let row = Row::new("known clients, as fast as the program can", "/s", exchanges);
    let rows = vec![row.beside(what, runs).wanted(Wanted::RatioAtLeast(100.0))];
    Some(Part { about: ABOUT.into(), rows, ..Part::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rows: Vec<Row>) -> Part {
        Part { rows, ..Part::default() }
    }

    #[test]
    fn an_exchange_takes_as_long_as_its_two_frames() {
        let live = part(vec![Row::new(OFFER, "million/s", [4.0]), Row::new(ACK, "million/s", [4.0])]);
        let peers = part(vec![
            Row::new(KNOWN, "/s", [70_000.0]).beside("dnsmasq", [250.0]),
            Row::new(KNOWN, "/s", [70_000.0]).beside(PEER, [10_000.0]),
        ]);
        assert!(known_clients(&[&live]).is_none(), "nothing to compare it with");
        let together = known_clients(&[&live, &peers]).unwrap();
        assert_eq!(together.rows[0].ratio().map(|ratio| format!("{ratio:.0}")), Some("200".into()));
        assert_eq!(together.rows[0].is_met(), Some(true));
    }
}
