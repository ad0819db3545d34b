//! What follows from two parts of one run.

use crate::part::{Beside, Part, Row, Wanted};

/// The rows that this is made of, by their names in the parts `live` and `peers`.
const OFFER: &str = "OFFER, native";
const ACK: &str = "ACK, native";
const KNOWN: &str = "known clients: highest rate";
const PEER: &str = "Kea";

const ABOUT: &str = "\
A generator in user space is far slower than the program in the kernel. What the program can do for known clients, one OFFER and one \
ACK for each, follows from its rates with frames injected in the kernel, beside what a peer does on a core of its own. No program \
on this path can do more than the reflector, which sends both frames back as they are.";

/// Known clients in the kernel beside those of a peer; none: one of them was not measured.
pub fn known_clients(parts: &[&Part]) -> Option<Part> {
    let rows = || parts.iter().flat_map(|part| &part.rows);
    let of_peer =
        |row: &&Row| row.what == KNOWN && row.beside.as_ref().is_some_and(|beside| beside.what == PEER);
    let Beside { what: peer, runs: theirs } = rows().find(of_peer)?.beside.clone()?;
    let [offers, acks] = [OFFER, ACK].map(|what| rows().find(|row| row.what == what));
    let (offers, acks) = (offers?, acks?);
    let row = |what: &str, offers: &[f64], acks: &[f64]| {
        Row::new(what, "/s", exchanges(offers, acks)).beside(peer.clone(), theirs.clone())
    };
    let ours = row("known clients, as fast as the program can", &offers.runs, &acks.runs);
    let mut part = Part { about: ABOUT.into(), ..Part::default() };
    part.rows.push(ours.wanted(Wanted::RatioAtLeast(100.0)));
    if let (Some(first), Some(second)) = (&offers.beside, &acks.beside) {
        part.rows.push(row("the same two frames, only reflected", &first.runs, &second.runs));
    }
    Some(part)
}

/// Exchanges of two frames in a second, from millions of each in a second.
fn exchanges(offers: &[f64], acks: &[f64]) -> Vec<f64> {
    offers.iter().zip(acks).map(|(offers, acks)| 1e6 / (offers.recip() + acks.recip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rows: Vec<Row>) -> Part {
        Part { rows, ..Part::default() }
    }

    #[test]
    fn an_exchange_takes_as_long_as_its_two_frames() {
        let rate =
            |what, rate, reflector| Row::new(what, "million/s", [rate]).beside("reflector", [reflector]);
        let live = part(vec![rate(OFFER, 4.0, 8.0), rate(ACK, 4.0, 8.0)]);
        let peers = part(vec![
            Row::new(KNOWN, "/s", [70_000.0]).beside("dnsmasq", [250.0]),
            Row::new(KNOWN, "/s", [70_000.0]).beside(PEER, [10_000.0]),
        ]);
        assert!(known_clients(&[&live]).is_none(), "nothing to compare it with");
        let together = known_clients(&[&live, &peers]).unwrap();
        assert_eq!(together.rows[0].ratio().map(|ratio| format!("{ratio:.0}")), Some("200".into()));
        assert_eq!(together.rows[0].is_met(), Some(true));
        let most = together.rows[1].ratio().map(|ratio| format!("{ratio:.0}"));
        assert_eq!(most, Some("400".into()), "what the reflector does is the most");
    }
}
