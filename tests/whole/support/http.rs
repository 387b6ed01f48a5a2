//! A web server for one test: a closure answers each request, or doesn't.

use super::content::Torrent;
use super::tracker::unescape;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A request: its target (path and query, as sent) and its headers, with names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, whose name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first and last byte of a `Range` header.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    /// The requested part of `file`, and the header line that describes it.
    pub(crate) fn part<'a>(&self, file: &'a [u8]) -> (&'a [u8], String) {
        let (first, last) = self.range().unwrap_or((0, file.len() - 1));
        let range = format!("Content-Range: bytes {first}-{last}/{}", file.len());
        (&file[first..=last], range)
    }
}

/// A server on loopback; lives as long as the test's process.
pub(crate) struct HttpServer {
    pub addr: SocketAddr,
}

impl HttpServer {
    /// Calls `answer` with each request and the open connection.
    pub(crate) fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    /// The same on another local address; port 0 is any free one.
    pub(crate) fn start_at(
        address: &str,
        answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let addr = listener.local_addr().unwrap();
        let answer = std::sync::Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                thread::spawn(move || {
                    let mut stream = stream;
                    // The client may hang up.
                    let _ = read_request(&stream).and_then(|r| answer(&r, &mut stream));
                });
            }
        });
        Self { addr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let mut next = || lines.next().unwrap_or_else(|| Ok(String::new()));
    let first = next()?;
    let target = first.split(' ').nth(1).unwrap_or_default().into();
    let mut headers = Vec::new();
    loop {
        let line = next()?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().into())),
            None => return Ok(Request { target, headers }),
        }
    }
}

/// Writes a whole answer and ends the connection with it.
pub(crate) fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let len = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Writes the requested part of `file`, or all of it, as a good server does.
pub(crate) fn respond_part(
    stream: &mut TcpStream,
    request: &Request,
    file: &[u8],
) -> io::Result<()> {
    match request.range() {
        None => respond(stream, "200 OK", file),
        Some((first, last)) if first <= last && last < file.len() => {
            let (part, range) = request.part(file);
            respond_with(stream, "206 Partial Content", &[&range], part)
        }
        Some(_) => respond(stream, "416 Range Not Satisfiable", b""),
    }
}

pub(crate) fn redirect(stream: &mut TcpStream, to: &str) -> io::Result<()> {
    respond_with(stream, "302 Found", &[&format!("Location: {to}")], b"")
}

pub(crate) fn respond_with(
    stream: &mut TcpStream,
    status: &str,
    headers: &[&str],
    body: &[u8],
) -> io::Result<()> {
    let len = body.len();
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n");
    headers
        .iter()
        .for_each(|line| head += &format!("{line}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)
}

/// Returns the file of `torrent` that `target` names below the folder `below`.
pub(crate) fn file_at<'a>(torrent: &'a Torrent, below: &str, target: &str) -> Option<&'a [u8]> {
    let path = unescape(target.strip_prefix(below)?);
    let mut files = torrent.real_files();
    let file = files.find(|file| file.path.to_str().map(str::as_bytes) == Some(&path))?;
    torrent.data.get(file.range.clone())
}
