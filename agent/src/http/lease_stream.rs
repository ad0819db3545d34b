//! All leases as one JSON object, written page by page as the reader takes it.
//!
//! No more than a page is in memory at a time, however many leases there are and however slowly
//! they are read. Each page is of one moment; a lease that changes meanwhile is shown as it was
//! when its page was made, and none is shown twice.

use std::io;

use axum::body::{Body, Bytes};
use futures_util::stream;

use crate::control::{Handle, LeasePage, LeaseQuery, PAGE};

/// What is to be written next.
enum Step {
    /// These leases.
    Write(LeasePage),
    /// What follows the pages written up to now.
    Ask(LeaseQuery),
    /// Nothing.
    End,
}

/// The query of the first page.
pub fn first_page(network: Option<String>) -> LeaseQuery {
    LeaseQuery { network, after: None, limit: PAGE }
}

/// `{"leases": […]}`, beginning with the page that is there already.
///
/// The head of the answer is sent by then, so an error later on cuts the body short: the reader
/// sees a broken transfer, never a shorter list.
pub fn body(handle: Handle, network: Option<String>, page: LeasePage) -> Body {
    let start = (handle, Writer::default(), Step::Write(page));
    let pages = stream::try_unfold(start, move |(handle, mut writer, step)| {
        let network = network.clone();
        async move {
            let page = match step {
                Step::End => return Ok(None),
                Step::Write(page) => page,
                Step::Ask(query) => {
                    let answer = handle.leases(query).await.map_err(io::Error::other)?;
                    answer.map_err(io::Error::other)?
                }
            };
            let text = writer.text_of(&page).map_err(io::Error::other)?;
            let after = page.next;
            let step = after.map_or(Step::End, |_| Step::Ask(LeaseQuery { after, ..first_page(network) }));
            Ok::<_, io::Error>(Some((Bytes::from(text), (handle, writer, step))))
        }
    });
    Body::from_stream(pages)
}

/// Where in the object we are.
#[derive(Default)]
struct Writer {
    begun: bool,
    /// Whether a lease was written. Pages may be empty, when all of theirs are another network's.
    any: bool,
}

impl Writer {
    /// One page's part of the object.
    fn text_of(&mut self, page: &LeasePage) -> serde_json::Result<Vec<u8>> {
        let mut text = Vec::new();
        if !self.begun {
            text.extend_from_slice(br#"{"leases":["#);
            self.begun = true;
        }
        for lease in &page.leases {
            if self.any {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, lease)?;
            self.any = true;
        }
        if page.next.is_none() {
            text.extend_from_slice(b"]}\n");
        }
        Ok(text)
    }
}
