//! Entries of a lease file: dhcpd's, and ours.
//!
//! What dhcpd writes and we do not need (host and failover declarations, `on` blocks, DDNS names,
//! the relay's options) is skipped as long as it is well-formed. Dates stay dates here.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::lexer::{Fault, Lexer, Token, What, unescape};
use crate::lease::State;

/// A time as a file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Date {
    /// Seconds since 1970.
    At(i64),
    /// Without an end.
    Never,
}

/// What an entry says, statement by statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Statements<'a> {
    pub(super) starts: Option<Date>,
    pub(super) ends: Option<Date>,
    /// When the client was last heard of: when the entry was written.
    pub(super) cltt: Option<Date>,
    pub(super) binding: Option<State>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) uid: Option<Cow<'a, [u8]>>,
    pub(super) host_name: Option<Cow<'a, [u8]>>,
    /// `set xdhcpd-state`.
    pub(super) state: Option<State>,
    /// `set xdhcpd-written`: `cltt` and `ends` of the entry that our statements belong to.
    pub(super) written: Option<[Option<Date>; 2]>,
    /// `set xdhcpd-ends`: the client's own end.
    pub(super) own_end: Option<Date>,
    /// `set xdhcpd-taken`: whether the client ever took it, where the state does not say.
    pub(super) taken: Option<bool>,
    /// `set xdhcpd-boot`: which boot the moments are of, and these.
    pub(super) boot: Option<&'a [u8]>,
}

impl Statements<'_> {
    /// Drops our own statements where somebody has written the entry since, who repeats them.
    pub(super) fn without_leftovers(self) -> Self {
        let is_as_written = self.written.is_none_or(|written| written == [self.cltt, self.ends]);
        let refines = |state: State| self.binding.is_some_and(|now| now.binding() == state.binding());
        if is_as_written && self.state.is_none_or(refines) {
            return self;
        }
        Self { state: None, own_end: None, taken: None, boot: None, ..self }
    }
}

/// One thing at the top of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// An entry for an address.
    Lease(Ipv4Addr, Box<Statements<'a>>),
    /// Anything else.
    Other,
}

/// The next thing of a file, from where it begins; none: there is no more.
pub(super) fn item<'a>(lexer: &mut Lexer<'a>) -> Option<Result<Item<'a>, Fault>> {
    if !lexer.skip_blank() {
        return None;
    }
    Some(match header(lexer) {
        Ok(Some(ip)) => statements(lexer).map(|statements| Item::Lease(ip, Box::new(statements))),
        Ok(None) => skip_statement(lexer).map(|()| Item::Other),
        Err(fault) => Err(fault),
    })
}

/// The address of the entry that begins here, with the lexer behind its brace; none: something
/// else begins here, and the lexer stays.
pub(super) fn header(lexer: &mut Lexer<'_>) -> Result<Option<Ipv4Addr>, Fault> {
    if lexer.entry_keyword().is_none() {
        return Ok(None);
    }
    let wrong = lexer.fault(What::Expected("an address and `{` after `lease`"));
    let ip = text(word(lexer, wrong)?).and_then(|ip| ip.parse().ok()).ok_or(wrong)?;
    if lexer.token()? == Token::Open { Ok(Some(ip)) } else { Err(wrong) }
}

/// The statements of an entry, up to its closing brace.
fn statements<'a>(lexer: &mut Lexer<'a>) -> Result<Statements<'a>, Fault> {
    let mut found = Statements::default();
    loop {
        let before = lexer.at();
        match lexer.token()? {
            Token::Close => return Ok(found),
            Token::Word(b"starts") => found.starts = Some(date(lexer)?),
            Token::Word(b"ends") => found.ends = Some(date(lexer)?),
            Token::Word(b"cltt") => found.cltt = Some(date(lexer)?),
            Token::Word(b"binding") => found.binding = Some(binding(lexer)?),
            Token::Word(b"hardware") => found.mac = hardware(lexer)?,
            Token::Word(b"uid") => found.uid = Some(data(lexer)?),
            Token::Word(b"client-hostname") => found.host_name = Some(data(lexer)?),
            Token::Word(b"abandoned") => found.binding = end(lexer).map(|()| Some(State::Declined))?,
            Token::Word(b"set") => set(lexer, &mut found)?,
            _ => {
                lexer.go_to(before);
                skip_statement(lexer)?;
            }
        }
    }
}

/// `W YYYY/MM/DD HH:MM:SS [offset];`, `epoch N;` or `never;`.
fn date(lexer: &mut Lexer<'_>) -> Result<Date, Fault> {
    let wrong = lexer.fault(What::Expected("a date: `W YYYY/MM/DD HH:MM:SS`, `epoch N` or `never`"));
    let first = word(lexer, wrong)?;
    if matches!(first, b"never" | b"infinite") {
        return end(lexer).map(|()| Date::Never);
    }
    let day = word(lexer, wrong)?;
    if first == b"epoch" {
        let seconds = text(day).and_then(|day| day.parse().ok()).ok_or(wrong)?;
        return end(lexer).map(|()| Date::At(seconds));
    }
    let hour = word(lexer, wrong)?;
    let utc = seconds(day, hour).ok_or(wrong)?;
    match lexer.token()? {
        Token::Semicolon => Ok(Date::At(utc)),
        // Seconds west of Greenwich, which dhcpd reads and never writes.
        Token::Word(offset) => {
            let offset: i64 = text(offset).and_then(|offset| offset.parse().ok()).ok_or(wrong)?;
            end(lexer).map(|()| Date::At(utc.saturating_add(offset)))
        }
        _ => Err(wrong),
    }
}

/// `YYYY/MM/DD HH:MM:SS` or `never`, as our own statements have it.
fn plain_date(value: &[u8]) -> Option<Date> {
    if value == b"never" {
        return Some(Date::Never);
    }
    let mut words = value.split(|byte| *byte == b' ');
    seconds(words.next()?, words.next()?).map(Date::At)
}

/// Seconds since 1970 of `YYYY/MM/DD` and `HH:MM:SS`.
fn seconds(day: &[u8], hour: &[u8]) -> Option<i64> {
    let [year, month, day] = three(day, b'/')?;
    let [hour, minute, second] = three(hour, b':')?;
    let small = |number: u16| u8::try_from(number).ok();
    let month = time::Month::try_from(small(month)?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(year), month, small(day)?).ok()?;
    // A leap second is the one before it.
    let clock = time::Time::from_hms(small(hour)?, small(minute)?, small(second.min(59))?).ok()?;
    Some(time::PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp())
}

/// Three numbers and nothing else.
fn three(word: &[u8], between: u8) -> Option<[u16; 3]> {
    let mut parts = word.split(|byte| *byte == between).map(number);
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// A number made of digits alone. A million leases have twenty million of these.
fn number(digits: &[u8]) -> Option<u16> {
    let add = |sum: u16, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

/// `state NAME;`
fn binding(lexer: &mut Lexer<'_>) -> Result<State, Fault> {
    let wrong =
        lexer.fault(What::Expected("`binding state` and active, free, abandoned, released or expired"));
    if word(lexer, wrong)? != b"state" {
        return Err(wrong);
    }
    let state = match word(lexer, wrong)? {
        b"active" | b"bootp" | b"reserved" => State::Bound,
        b"abandoned" => State::Declined,
        b"released" => State::Released,
        b"free" | b"backup" | b"expired" | b"reset" => State::Expired,
        _ => return Err(wrong),
    };
    end(lexer).map(|()| state)
}

/// `KIND ADDRESS;`; none: it is not Ethernet's. dhcpd writes an empty address where there is none, as
/// with InfiniBand.
fn hardware(lexer: &mut Lexer<'_>) -> Result<Option<[u8; 6]>, Fault> {
    let wrong = lexer.fault(What::Expected("`hardware`, its kind and bytes in hex"));
    let kind = word(lexer, wrong)?;
    let word = match lexer.token()? {
        Token::Semicolon => return Ok(None),
        Token::Word(word) => word,
        Token::Quoted(_) | Token::Open | Token::Close => return Err(wrong),
    };
    let mut mac = [0; 6];
    let mut count = 0_usize;
    for byte in hex(word) {
        let byte = byte.ok_or(wrong)?;
        if let Some(place) = mac.get_mut(count) {
            *place = byte;
        }
        count = count.saturating_add(1);
    }
    end(lexer)?;
    Ok((kind == b"ethernet" && count == mac.len()).then_some(mac))
}

/// A quoted string, or bytes in hex with colons.
fn data<'a>(lexer: &mut Lexer<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    let wrong = lexer.fault(What::Expected("a quoted string or bytes in hex"));
    let data = match lexer.token()? {
        Token::Quoted(content) => unescape(content),
        Token::Word(word) => hex(word).collect::<Option<Vec<u8>>>().ok_or(wrong)?.into(),
        Token::Semicolon | Token::Open | Token::Close => return Err(wrong),
    };
    end(lexer).map(|()| data)
}

/// `NAME = VALUE;`: ours are kept, others skipped. An odd value of ours is no damage: the rest
/// of the entry says the same, if more coarsely.
fn set<'a>(lexer: &mut Lexer<'a>, found: &mut Statements<'a>) -> Result<(), Fault> {
    let Token::Word(name) = lexer.token()? else {
        return Err(lexer.fault(What::Expected("a name after `set`")));
    };
    if !name.starts_with(b"xdhcpd-") {
        return skip_statement(lexer);
    }
    let wrong = lexer.fault(What::Expected("`=` and a quoted string"));
    if word(lexer, wrong)? != b"=" {
        return Err(wrong);
    }
    let Token::Quoted(value) = lexer.token()? else { return Err(wrong) };
    match name {
        b"xdhcpd-state" => {
            found.state = State::ALL.into_iter().find(|state| state.word().as_bytes() == value);
        }
        b"xdhcpd-written" => {
            let mut dates = value.split(|byte| *byte == b',').map(|date| plain_date(date.trim_ascii()));
            found.written = Some([dates.next().flatten(), dates.next().flatten()]);
        }
        b"xdhcpd-ends" => found.own_end = plain_date(value),
        b"xdhcpd-taken" => found.taken = Some(value == b"yes"),
        b"xdhcpd-boot" => found.boot = Some(value),
        _ => {}
    }
    end(lexer)
}

/// Skips a statement: up to its semicolon, or to the end of its block.
fn skip_statement(lexer: &mut Lexer<'_>) -> Result<(), Fault> {
    let mut depth = 0u32;
    loop {
        match lexer.token()? {
            Token::Semicolon if depth == 0 => return Ok(()),
            Token::Open => depth = depth.saturating_add(1),
            Token::Close if depth == 0 => return Err(lexer.fault(What::Expected("a statement, not `}`"))),
            Token::Close => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(());
                }
            }
            Token::Semicolon | Token::Word(_) | Token::Quoted(_) => {}
        }
    }
}

/// The semicolon of a statement.
fn end(lexer: &mut Lexer<'_>) -> Result<(), Fault> {
    match lexer.token()? {
        Token::Semicolon => Ok(()),
        _ => Err(lexer.fault(What::Expected("`;`"))),
    }
}

fn word<'a>(lexer: &mut Lexer<'a>, wrong: Fault) -> Result<&'a [u8], Fault> {
    match lexer.token()? {
        Token::Word(word) => Ok(word),
        _ => Err(wrong),
    }
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

/// Bytes in hex between colons, one or two digits each; none: something else stands there.
fn hex(word: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    word.split(|byte| *byte == b':').map(move |digits| match digits {
        [low] => digit(low),
        [high, low] => Some((digit(high)? << 4) | digit(low)?),
        _ => None,
    })
}
