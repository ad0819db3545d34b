//! The words of a lease file: what ISC dhcpd's own lexer sees, without giving any a meaning.
//!
//! Works on bytes and copies nothing. Nothing is read past the end of the entry it is in: a
//! word `lease` at the beginning of a line always begins a new entry, as both dhcpd and xdhcpd
//! write them.

use std::borrow::Cow;

/// One token, with its bytes as they stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a number, a date, an address.
    Word(&'a [u8]),
    /// What stands between quotes, escapes and all.
    Quoted(&'a [u8]),
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// The offset into the file.
    pub(super) at: usize,
    /// What is wrong there.
    pub(super) what: What,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The file ends inside of an entry.
    #[error("the file ends inside of this entry")]
    End,
    /// A new entry begins inside of one.
    #[error("the next entry begins before this one has ended")]
    Unclosed,
    /// A string goes on past its line.
    #[error("a quoted string has no end on its line")]
    Unquoted,
    /// A byte that no lease file has.
    #[error("there is a byte 0x{0:02x} outside of quotes")]
    Byte(u8),
    /// Something else was expected here.
    #[error("expected {0}")]
    Expected(&'static str),
}

/// A place in a file.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// At the beginning of a file.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next unread byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes to an offset.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// A fault here.
    pub(super) fn fault(&self, what: What) -> Fault {
        Fault { at: self.at, what }
    }

    /// Skips blanks and comments; whether anything is left.
    pub(super) fn skip_blank(&mut self) -> bool {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.step(),
                b'#' => self.skip_while(|byte| byte != b'\n'),
                _ => return true,
            }
        }
        false
    }

    /// The next token of an entry; the end of the file, or of the entry, is a fault.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blank();
        let Some(byte) = self.peek() else { return Err(self.fault(What::End)) };
        let token = match byte {
            b';' => Token::Semicolon,
            b'{' => Token::Open,
            b'}' => Token::Close,
            b'"' => return self.quoted(),
            byte if is_word(byte) => return self.word(),
            byte => return Err(self.fault(What::Byte(byte))),
        };
        self.step();
        Ok(token)
    }

    /// Goes behind the word `lease`, if that is what comes next.
    pub(super) fn entry_keyword(&mut self) -> Option<()> {
        self.skip_blank();
        let rest = self.bytes.get(self.at..)?.strip_prefix(b"lease")?;
        rest.first().is_none_or(u8::is_ascii_whitespace).then(|| self.at = self.at.saturating_add(5))
    }

    fn word(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        self.skip_while(is_word);
        if self.at == self.bytes.len() {
            // No entry ends with a word: this is half of one, perhaps, and not to be judged.
            return Err(self.fault(What::End));
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        let begins_line = start.checked_sub(1).and_then(|before| self.bytes.get(before)) == Some(&b'\n');
        if word == b"lease" && begins_line {
            return Err(Fault { at: start, what: What::Unclosed });
        }
        Ok(Token::Word(word))
    }

    fn quoted(&mut self) -> Result<Token<'a>, Fault> {
        self.step();
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let content = self.bytes.get(start..self.at).unwrap_or_default();
                    self.step();
                    return Ok(Token::Quoted(content));
                }
                b'\n' => return Err(self.fault(What::Unquoted)),
                b'\\' => {
                    self.step();
                    if self.peek() != Some(b'\n') {
                        self.step();
                    }
                }
                _ => self.step(),
            }
        }
        Err(self.fault(What::End))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1).min(self.bytes.len());
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(length);
    }
}

/// The offset of the next line that begins an entry, or the end of the file.
pub(super) fn next_entry(bytes: &[u8], after: usize) -> usize {
    const BEGINS: &[u8] = b"\nlease ";
    let rest = bytes.get(after..).unwrap_or_default();
    let found = rest.windows(BEGINS.len()).position(|window| window == BEGINS);
    found.map_or(bytes.len(), |offset| after.saturating_add(offset).saturating_add(1))
}

/// Whether a byte may stand outside of quotes, in a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b';' | b'{' | b'}' | b'"' | b'#')
}

/// The bytes that a quoted string stands for: `\ooo`, `\xhh`, `\t`, `\n`, `\r`, `\b`, and a
/// backslash before anything else is that (dhcpd's read_string).
pub(super) fn unescape(content: &[u8]) -> Cow<'_, [u8]> {
    if !content.contains(&b'\\') {
        return content.into();
    }
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let Some((&escaped, after)) = rest.split_first() else { break };
        let (byte, length) = match escaped {
            b'0'..=b'7' => number(rest, 8, 3),
            b'x' => {
                let (byte, length) = number(after, 16, 2);
                (byte, length.saturating_add(1))
            }
            b't' => (b'\t', 1),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b'b' => (8, 1),
            other => (other, 1),
        };
        bytes.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    bytes.into()
}

/// The number that some digits begin with, modulo 256, and how many digits it has.
fn number(digits: &[u8], radix: u8, most: usize) -> (u8, usize) {
    let values = digits.iter().take(most).map_while(|digit| char::from(*digit).to_digit(u32::from(radix)));
    values.fold((0, 0), |(number, length), digit| {
        let digit = u8::try_from(digit).unwrap_or_default();
        (number.wrapping_mul(radix).wrapping_add(digit), length.saturating_add(1))
    })
}
