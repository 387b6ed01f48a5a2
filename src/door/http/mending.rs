//! Sits between `ureq` and each connection and repairs the [heads](super::head) of answers as they
//! arrive. It is the top of the chain, so it sees plain HTTP even if the bytes travel through TLS.
//!
//! A head begins with the first byte after a request was sent. Its bytes are kept here until it is
//! complete. All other bytes pass unexamined and uncopied.

use super::head::{Collected, Collector, MAX_HEAD, TooLong, add_sender};
use crate::address::Reach;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Wraps each connection in a [`Mended`].
#[derive(Debug)]
pub struct Mending;

impl<In: Transport> Connector<In> for Mending {
    type Out = Mended<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Mended<In>>, Error> {
        // The farthest of the addresses that we may be connected to. If a proxy looks the name up,
        // we know none: then only an address or `localhost` in the URL counts as near.
        let farthest = details.addrs.iter().map(|to| Reach::of(to.ip())).max();
        let unseen = || Reach::of_host(details.uri.host().unwrap_or_default());
        let sender = farthest.or_else(unseen).unwrap_or(Reach::World);
        Ok(chained.map(|connection| Mended {
            connection,
            sender,
            stage: Stage::Body,
            ready: Vec::new(),
        }))
    }
}

/// A connection whose answers begin with well-formed heads.
#[derive(Debug)]
pub struct Mended<T> {
    connection: T,
    sender: Reach,
    stage: Stage,
    /// A head, and the bytes that came with it, not yet passed to `ureq`.
    ready: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    /// A head, of which this much has arrived.
    Head(Collector),
    /// The rest of an answer, or nothing.
    Body,
    /// Something other than HTTP. All further bytes pass unchanged.
    Foreign,
}

impl<T: Transport> Mended<T> {
    /// Takes what has arrived. `is_end`: nothing more will come.
    fn collect(&mut self, is_end: bool) -> Result<(), Error> {
        let Stage::Head(collector) = &mut self.stage else {
            return Ok(());
        };
        let buffers = self.connection.buffers();
        let input = buffers.input();
        let (len, collected) = (input.len(), collector.take(input));
        buffers.input_consume(len);
        match collected {
            Ok(Collected::Part) if !is_end => {}
            Ok(Collected::Part) => {
                self.ready = collector.end();
                add_sender(&mut self.ready, self.sender);
                self.stage = Stage::Body;
            }
            Ok(Collected::Whole(bytes)) => {
                self.ready = bytes;
                add_sender(&mut self.ready, self.sender);
                self.stage = Stage::Body;
            }
            Ok(Collected::Foreign(bytes)) => {
                self.ready = bytes;
                self.stage = Stage::Foreign;
            }
            Err(TooLong(len)) => return Err(Error::LargeResponseHeader(len, MAX_HEAD)),
        }
        Ok(())
    }

    /// Copies what is ready into `ureq`'s input buffer, as far as there is room.
    fn hand_up(&mut self) {
        let buffers = self.connection.buffers();
        let room = buffers.input_append_buf();
        let len = room.len().min(self.ready.len());
        room[..len].copy_from_slice(&self.ready[..len]);
        buffers.input_appended(len);
        self.ready.drain(..len);
    }
}

impl<T: Transport> Transport for Mended<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !matches!(self.stage, Stage::Foreign) {
            self.stage = Stage::Head(Collector::default());
        }
        self.connection.transmit_output(amount, timeout)
    }

    /// Waits for the server at most once, so that `ureq`'s timeouts hold.
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.ready.is_empty() {
            self.hand_up();
            return Ok(true);
        }
        let has_come = self.connection.await_input(timeout)?;
        self.collect(!has_come)?;
        let is_ready = !self.ready.is_empty();
        if is_ready {
            self.hand_up();
        }
        Ok(has_come || is_ready)
    }

    fn is_open(&mut self) -> bool {
        self.ready.is_empty() && self.connection.is_open()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}

#[cfg(test)]
mod tests {
    use crate::address::Reach;
    use crate::door::Door;
    use crate::door::http::{self, Hop};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;
    use ureq::Agent;

    /// Sends one request for each of `answers` over one connection. The server sends them one after
    /// the other, byte by byte. Returns each status, header `x` and body.
    fn asked(answers: Vec<Vec<u8>>) -> Vec<(u16, String, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let count = answers.len();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut answers = answers.into_iter();
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if line.is_empty() {
                    let answer = answers.next().unwrap_or_default();
                    answer
                        .iter()
                        .for_each(|byte| _ = (&stream).write_all(&[*byte]));
                }
            }
        });
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false);
        let client = http::Client::new(config, &Door::default());
        let hop = Hop::new(&url, Reach::Machine);
        let ask = |_| {
            let mut answer = client.ask(&hop, |request| request).unwrap();
            let x = answer
                .headers()
                .get("x")
                .map(|x| x.to_str().unwrap().to_owned());
            let body = answer.body_mut().read_to_string().unwrap();
            (answer.status().as_u16(), x.unwrap_or_default(), body)
        };
        (0..count).map(ask).collect()
    }

    #[test]
    fn answers_in_a_row_over_one_connection() {
        // The first body looks like a head; the second comes in chunks.
        let body = "HTTP/1.1 200 OK\r\nX: no\r\n fold\r\n\r\n";
        let first = format!(
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nstray\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let second = "HTTP/1.1 100 Continue\r\nY: z\r\n\r\nHTTP/1.1 404 Not Found\r\nX: c\r\n\
                      Transfer-Encoding: chunked\r\n\r\n3\r\n\r\n \r\n0\r\n\r\n";
        let third = "HTTP/1.1 200 OK\r\nX: d\r\nContent-Length: 0\r\n\r\n";
        let answers = [&first, second, third].map(|text| text.as_bytes().to_vec());
        let expected = [(200, "a b", body), (404, "c", "\r\n "), (200, "d", "")];
        let expected = expected.map(|(status, x, body)| (status, x.into(), body.into()));
        assert_eq!(asked(answers.to_vec()), expected);
    }

    #[test]
    fn a_body_larger_than_any_buffer_comes_whole() {
        let body = "0123456789abcdef".repeat(20_000);
        let head = format!(
            "HTTP/1.1 200 OK\nX: a\n b\nContent-Length: {}\n\n",
            body.len()
        );
        let answers = vec![[head.as_bytes(), body.as_bytes()].concat()];
        assert_eq!(asked(answers), [(200, "a b".into(), body)]);
    }
}
