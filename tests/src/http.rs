//! HTTP as a probe and a scraper speak it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result};

use crate::netns;
use crate::wait::SOON;

/// The status and the body of a GET of `path` at `address`, asked from inside a namespace.
pub fn get(namespace: &str, address: &str, path: &str) -> Result<(u16, String)> {
    netns::inside(namespace, || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no end of the header")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        Ok((status, if chunked { without_chunks(body)? } else { body.to_owned() }))
    })?
}

/// RFC 9112 §7.1, for bodies of ASCII.
fn without_chunks(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16)?;
        body.push_str(more.get(..length).context("a chunk is cut")?);
        rest = more.get(length..).unwrap_or_default().trim_start_matches("\r\n");
        if length == 0 {
            break;
        }
    }
    Ok(body)
}
