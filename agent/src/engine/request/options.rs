//! Options of a request: walked to END, split ones joined, overload followed.
//!
//! Values stay raw bytes, as the client sent them: options 61 and 82 go back unaltered, and what
//! a value means is for the accessors of [`super::Request`] to say.

use xdhcpd_common::fingerprint;
pub use xdhcpd_common::options::code;

use crate::engine::ignored::Ignored;

/// Options whose value has one fixed length. They cannot be split (RFC 3396 is for long values),
/// so a second one contradicts the first.
const FIXED: [(u8, usize); 5] = [
    (code::REQUESTED_ADDRESS, 4),
    (code::LEASE_TIME, 4),
    (code::MESSAGE_TYPE, 1),
    (code::SERVER, 4),
    (code::MAX_SIZE, 2),
];

/// The values of a request's options by code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// All values, ordered by code.
    bytes: Vec<u8>,
    /// Code and end of each value in `bytes`; a value starts where the one before ends.
    ends: Vec<(u8, usize)>,
    /// See [`Self::ask`].
    ask: u64,
}

impl RequestOptions {
    /// The value of an option, joined from its parts; empty when it was sent empty.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        let place = self.ends.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        let (_, end) = *self.ends.get(place)?;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        self.bytes.get(start..end)
    }

    /// All options, ordered by code.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.ends.iter().filter_map(|(code, _)| Some((*code, self.get(*code)?)))
    }

    /// A value of exactly `N` bytes; none where it was not sent or has another length.
    pub fn fixed<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.get(code)?.try_into().ok()
    }

    /// The fingerprint of what the client asks for, as in [`xdhcpd_common::facts::Facts::ask`]: of the
    /// options that decide what the reply says, in the order in which they were sent.
    pub fn ask(&self) -> u64 {
        self.ask
    }

    /// Reads the options of a message: those after the cookie, then as option 52 says those in
    /// file, then those in sname.
    pub(crate) fn read(options: &[u8], file: &[u8], sname: &[u8]) -> Result<Self, Ignored> {
        let mut parts = Vec::new();
        walk(options, &mut parts)?;
        let (in_file, in_sname) = overload(&parts)?;
        let before = parts.len();
        if in_file {
            walk(file, &mut parts)?;
        }
        if in_sname {
            walk(sname, &mut parts)?;
        }
        // An option 52 inside a field that option 52 opened.
        if parts.iter().skip(before).any(|(code, _)| *code == code::OVERLOAD) {
            return Err(Ignored::Overload);
        }
        check_fixed(&parts)?;
        Ok(parts.into_iter().collect())
    }
}

/// Parts with the same code are joined in their order (RFC 3396).
impl<'a> FromIterator<(u8, &'a [u8])> for RequestOptions {
    fn from_iter<I: IntoIterator<Item = (u8, &'a [u8])>>(parts: I) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        let mut options = Self { ask: ask(&parts), ..Self::default() };
        parts.sort_by_key(|(code, _)| *code);
        for (code, value) in parts {
            options.bytes.extend_from_slice(value);
            let end = options.bytes.len();
            match options.ends.last_mut() {
                Some((last, last_end)) if *last == code => *last_end = end,
                _ => options.ends.push((code, end)),
            }
        }
        options
    }
}

fn ask(parts: &[(u8, &[u8])]) -> u64 {
    let asks =
        |code| matches!(code, code::PARAMETERS | code::VENDOR_CLASS | code::USER_CLASS | code::ARCHITECTURE);
    let asked = parts.iter().filter(|(code, _)| asks(*code));
    asked.fold(fingerprint::NONE, |ask, (code, value)| fingerprint::add(ask, *code, value))
}

/// Collects the options of one field up to its END, which must be there: without it nobody
/// can tell a whole list from one that was cut.
fn walk<'a>(mut rest: &'a [u8], parts: &mut Vec<(u8, &'a [u8])>) -> Result<(), Ignored> {
    loop {
        let (code, after) = rest.split_first().ok_or(Ignored::Options)?;
        match *code {
            code::PAD => rest = after,
            code::END => return Ok(()),
            code => {
                let (length, after) = after.split_first().ok_or(Ignored::Options)?;
                let (value, after) = after.split_at_checked(usize::from(*length)).ok_or(Ignored::Options)?;
                parts.push((code, value));
                rest = after;
            }
        }
    }
}

/// Whether options go on in file, and in sname.
fn overload(parts: &[(u8, &[u8])]) -> Result<(bool, bool), Ignored> {
    let mut overloads = parts.iter().filter(|(code, _)| *code == code::OVERLOAD);
    let first = overloads.next();
    if overloads.next().is_some() {
        return Err(Ignored::Overload);
    }
    match first {
        None => Ok((false, false)),
        Some((_, [1])) => Ok((true, false)),
        Some((_, [2])) => Ok((false, true)),
        Some((_, [3])) => Ok((true, true)),
        Some(_) => Err(Ignored::Overload),
    }
}

fn check_fixed(parts: &[(u8, &[u8])]) -> Result<(), Ignored> {
    for (code, length) in FIXED {
        let mut values = parts.iter().filter(|(sent, _)| *sent == code).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => return Err(Ignored::DuplicateOption),
            (Some(value), None) if value.len() != length => return Err(Ignored::OptionLength),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[u8]) -> Result<RequestOptions, Ignored> {
        RequestOptions::read(options, &[0; 128], &[0; 64])
    }

    #[test]
    fn parts_of_a_long_option_are_joined_in_order() {
        let options = read(&[61, 2, 1, 2, 12, 1, b'a', 61, 1, 3, 255]).unwrap();
        assert_eq!(options.get(61), Some(&[1, 2, 3][..]));
        assert_eq!(options.get(12), Some(&b"a"[..]));
        assert_eq!(options.get(13), None);
        let all: Vec<_> = options.iter().collect();
        assert_eq!(all, [(12, &b"a"[..]), (61, &[1, 2, 3][..])]);
    }

    #[test]
    fn c54_overload_is_read_from_options_then_file_then_sname() {
        let mut file = [0; 128];
        file[..4].copy_from_slice(&[61, 1, 2, 255]);
        let mut sname = [0; 64];
        sname[..4].copy_from_slice(&[61, 1, 3, 255]);
        let list = [52, 1, 3, 61, 1, 1, 255];
        let options = RequestOptions::read(&list, &file, &sname).unwrap();
        assert_eq!(options.get(61), Some(&[1, 2, 3][..]));

        let only_sname = [52, 1, 2, 61, 1, 1, 255];
        let options = RequestOptions::read(&only_sname, &file, &sname).unwrap();
        assert_eq!(options.get(61), Some(&[1, 3][..]));

        let options = RequestOptions::read(&[61, 1, 1, 255], &file, &sname).unwrap();
        assert_eq!(options.get(61), Some(&[1][..]), "file and sname are not options without 52");
    }

    #[test]
    fn an_overload_that_points_at_itself_is_refused() {
        let mut file = [0; 128];
        file[..4].copy_from_slice(&[52, 1, 1, 255]);
        assert_eq!(RequestOptions::read(&[52, 1, 1, 255], &file, &[0; 64]), Err(Ignored::Overload));
    }

    #[test]
    fn a_bad_overload_is_refused() {
        for list in [&[52, 1, 0, 255][..], &[52, 1, 4, 255], &[52, 0, 255], &[52, 2, 1, 1, 255]] {
            assert_eq!(read(list), Err(Ignored::Overload), "{list:?}");
        }
        assert_eq!(read(&[52, 1, 1, 52, 1, 1, 255]), Err(Ignored::Overload));
        assert_eq!(read(&[52, 1, 1, 255]), Err(Ignored::Options), "file has no END");
    }

    #[test]
    fn an_option_cut_at_each_byte_is_refused() {
        let whole = [53, 1, 1, 61, 4, 1, 2, 3, 4, 55, 2, 1, 3, 255];
        assert!(read(&whole).is_ok());
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Err(Ignored::Options), "cut at {cut}");
        }
    }

    #[test]
    fn what_follows_end_and_padding_between_options_do_not_matter() {
        let options = read(&[0, 0, 53, 1, 1, 0, 255, 53, 9]).unwrap();
        assert_eq!(options.get(53), Some(&[1][..]));
    }

    #[test]
    fn an_option_of_fixed_length_has_that_length_and_comes_once() {
        for (code, length) in FIXED {
            for wrong in [0, length - 1, length + 1] {
                let mut list = vec![code, u8::try_from(wrong).unwrap()];
                list.extend(vec![1; wrong]);
                list.extend([54, 4, 10, 0, 0, 1, 255]);
                let reason = if code == 54 { Ignored::DuplicateOption } else { Ignored::OptionLength };
                assert_eq!(read(&list), Err(reason), "{code} of length {wrong}");
            }
            let one: Vec<_> =
                [code, u8::try_from(length).unwrap()].into_iter().chain(vec![1; length]).collect();
            assert!(read(&[&one[..], &[255]].concat()).is_ok());
            let twice = [&one[..], &one[..], &[255]].concat();
            assert_eq!(read(&twice), Err(Ignored::DuplicateOption), "{code} twice");
        }
    }
}
