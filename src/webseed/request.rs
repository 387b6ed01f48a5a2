//! One request to a web server: its thread, and what that thread reports.
//!
//! HTTP blocks in many places: in the look-up of a name, in the handshakes of TCP and TLS, before
//! the answer and within it. So each request has its own thread. The web seed's thread hears it
//! through a channel, and main at the same time. When the rest of an answer is no longer wanted,
//! [`Client::hang_up`] interrupts whatever the request waits for.
//!
//! Redirects are followed here. `ureq`, when sent to `file:///etc/passwd`, would ask the server
//! itself for `/file:///etc/passwd`; and it would read a redirect's page to its end, which a
//! hostile server need never reach.

use super::answer::{Asked, WebSeedError, judge};
use crate::door::Door;
use crate::door::http::{self, Hop, MAX_REDIRECTS, Redirect, barred};
use crate::threads::{self, NoThread};
use crate::url::{self, shown};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// How long the server may take to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const SILENCE: Duration = Duration::from_secs(20);

/// A redirect's page of at most this many bytes is read, to keep the connection usable.
const MAX_PAGE: u64 = 16 << 10;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How many bytes are read and reported at a time.
const CHUNK: u64 = 128 << 10;

/// How many chunks may wait in the channel for the web seed's thread.
const CHUNKS: usize = 4;

/// The stack of a request's thread, in bytes. TLS needs it, as in a tracker's thread.
const STACK: usize = 512 * 1024;

pub(crate) const PURPOSE: &str = "fetch from a web seed";

/// What a request's thread reports. The last is [`Answer::Over`] or [`Answer::Failed`].
#[derive(Debug)]
pub(crate) enum Answer {
    /// The server sends what we asked for.
    Begun {
        /// The first byte that follows, counted within the file.
        first: u64,
        /// Where redirects led, if there were any.
        moved: Option<Hop>,
    },
    Bytes(Vec<u8>),
    Over,
    /// The server sends no bytes, or stopped in the middle.
    Failed(WebSeedError),
}

/// Makes the requests to one web seed, one at a time, over kept connections. Hangs up when dropped.
pub(crate) struct Client {
    client: http::Client,
    door: Door,
}

impl Client {
    pub(crate) fn new(door: Door) -> Self {
        let client = client(&door);
        Self { client, door }
    }

    /// Starts a request.
    pub(crate) fn ask(&self, asked: Asked) -> Result<Receiver<Answer>, NoThread> {
        let client = self.client.clone();
        let (tell, answers) = bounded(CHUNKS);
        let request = move || {
            let last = match perform(&client, asked, &tell) {
                Ok(()) => Answer::Over,
                Err(error) => Answer::Failed(error),
            };
            // The web seed's thread may be gone.
            let _ = tell.send(last);
        };
        let thread = std::thread::Builder::new()
            .name("web request".into())
            .stack_size(STACK);
        // If it panics, the web seed's thread finds the channel closed.
        threads::spawn(thread, PURPOSE, request, || ())?;
        Ok(answers)
    }

    pub(crate) fn hang_up(&mut self) {
        std::mem::replace(&mut self.client, client(&self.door)).shutdown();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.client.shutdown();
    }
}

fn client(door: &Door) -> http::Client {
    let config = Agent::config_builder()
        .accept_encoding("identity")
        .max_response_header_size(MAX_HEAD)
        .output_buffer_size(MAX_HEAD)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE));
    http::Client::new(config, door)
}

/// Sends the request, and reports what arrives, up to the last byte that was asked for.
fn perform(client: &http::Client, asked: Asked, tell: &Sender<Answer>) -> Result<(), WebSeedError> {
    let (mut response, moved) = find(client, &asked)?;
    let first = judge(response.status().as_u16(), response.headers(), &asked)?;
    let mut left = asked.offset + asked.len - first;
    let is_exact = response.body().content_length() == Some(left);
    let mut body = response.body_mut().as_reader();
    let mut is_heard = tell.send(Answer::Begun { first, moved }).is_ok();
    while is_heard && left > 0 {
        let mut bytes = vec![0; left.min(CHUNK) as usize];
        let read = body
            .read(&mut bytes)
            .map_err(|error| failed(error.into()))?;
        if read == 0 {
            return Ok(());
        }
        bytes.truncate(read);
        left -= read as u64;
        is_heard = tell.send(Answer::Bytes(bytes)).is_ok();
    }
    if is_exact && left == 0 {
        // A connection can serve another request only if its answer was read to the end.
        let _ = body.read(&mut [0]);
    }
    Ok(())
}

/// Sends the request, and follows redirects. Returns the answer and, after redirects, where it was.
fn find(
    client: &http::Client,
    asked: &Asked,
) -> Result<(Response<Body>, Option<Hop>), WebSeedError> {
    let range = format!("bytes={}-{}", asked.offset, asked.offset + asked.len - 1);
    let mut hop = asked.hop.clone();
    if hop.url().len() > url::MAX_LEN {
        return Err(WebSeedError::BadUrl("it is too long".into()));
    }
    for redirects in 0..=MAX_REDIRECTS {
        let asked = client.ask(&hop, |request| request.header("Range", &range));
        let mut response = asked.map_err(failed)?;
        hop = match hop.redirect(&response) {
            Redirect::None => return Ok((response, (redirects > 0).then_some(hop))),
            Redirect::To(next) => next,
            Redirect::Elsewhere(to) => return Err(WebSeedError::BadRedirect(shown(&to))),
        };
        let body = response.body_mut();
        if body.content_length().is_some_and(|len| len <= MAX_PAGE) {
            let _ = io::copy(&mut body.as_reader(), &mut io::sink());
        }
    }
    Err(WebSeedError::Redirects)
}

fn failed(error: ureq::Error) -> WebSeedError {
    let error = match barred(error) {
        Ok(barred) => return WebSeedError::Barred(barred),
        Err(error) => error,
    };
    match error {
        ureq::Error::Io(error) => WebSeedError::Connection(error.to_string()),
        ureq::Error::Timeout(_) => WebSeedError::Connection("no answer in time".into()),
        ureq::Error::HostNotFound => WebSeedError::Connection("no such host".into()),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => WebSeedError::BadUrl(error.to_string()),
        ureq::Error::Decompress(encoding, _) => WebSeedError::Encoded(encoding.into()),
        other => WebSeedError::Connection(other.to_string()),
    }
}
