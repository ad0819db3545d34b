//! The walk over options reads the same fingerprints off a frame as [`fingerprint::add`] off a slice.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::facts::{Facts, NONE};
use xdhcpd_common::fingerprint;
use xdhcpd_common::options::walk;

const BEFORE: usize = 16;

fn facts_of(options: &[u8]) -> Result<Facts, Counter> {
    let mut frame = vec![0xee; BEFORE];
    frame.extend(options);
    frame.push(255);
    let mut facts = Facts { giaddr: [1; 4], ..Facts::default() };
    walk(frame.as_slice(), BEFORE, frame.len(), &mut facts).map(|_| facts)
}

#[test]
fn fingerprints_of_every_length_agree() {
    for length in 2..=64_u8 {
        let value: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(89)).collect();
        let options = [&[53, 1, 1, 61, length], value.as_slice()].concat();
        let facts = facts_of(&options).expect("in order");
        assert_eq!(facts.client_id, fingerprint::add(fingerprint::NONE, 61, &value), "of {length}");
    }
}

#[test]
fn what_stands_around_an_option_does_not_change_its_fingerprint() {
    let one = facts_of(&[53, 1, 1, 61, 3, 7, 8, 9, 12, 1, 1]).expect("in order");
    let other = facts_of(&[12, 1, 0xff, 53, 1, 1, 61, 3, 7, 8, 9]).expect("in order");
    assert_eq!(one.client_id, other.client_id);
    assert_ne!(one.client_id, fingerprint::NONE);
}

#[test]
fn asks_are_taken_in_the_order_they_occur() {
    let one = facts_of(&[53, 1, 1, 55, 2, 1, 3, 60, 1, 9]).expect("in order");
    let other = facts_of(&[53, 1, 1, 60, 1, 9, 55, 2, 1, 3]).expect("in order");
    let expected = fingerprint::add(fingerprint::add(fingerprint::NONE, 55, &[1, 3]), 60, &[9]);
    assert_eq!(one.ask, expected);
    assert_ne!(one.ask, other.ask);
}

#[test]
fn zeros_at_either_end_count() {
    let of = |value: &[u8]| fingerprint::add(fingerprint::NONE, 61, value);
    let all = [of(&[]), of(&[0]), of(&[0, 0]), of(&[0, 1]), of(&[1, 0]), of(&[0; 8]), of(&[0; 9])];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "number {at}");
        assert_ne!(*one, fingerprint::NONE);
    }
}

#[test]
fn typed_options_are_read() {
    let facts =
        facts_of(&[53, 1, 3, 50, 4, 10, 9, 0, 5, 54, 4, 10, 9, 0, 2, 51, 4, 0, 0, 14, 16]).expect("in order");
    assert_eq!((facts.kind, facts.requested, facts.server), (3, [10, 9, 0, 5], [10, 9, 0, 2]));
    assert_eq!(facts.lease_time, 3600);
    assert_eq!(facts_of(&[53, 1, 1]).expect("in order").requested, NONE);
}
