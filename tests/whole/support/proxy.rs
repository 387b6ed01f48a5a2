//! Scripted proxies on loopback that remember their requests: SOCKS 5 ([RFC 1928], [RFC 1929]) and
//! HTTP's `CONNECT`.
//!
//! [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928
//! [RFC 1929]: https://www.rfc-editor.org/rfc/rfc1929

use crossbeam_channel::{Receiver, unbounded};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The protocol of a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Socks,
    Http,
}

/// What it does with a client's request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Connects to this address, whatever was requested.
    To(SocketAddr),
    /// Connects to the requested address.
    Where,
    /// Refuses: the reply of SOCKS, the status of HTTP.
    No(u16),
    /// Sends garbage.
    Garbage,
    HangUp,
}

/// A proxy; lives as long as the test's process.
pub(crate) struct FakeProxy {
    pub addr: SocketAddr,
    kind: Kind,
    asked: Receiver<String>,
    refused: Receiver<()>,
}

impl FakeProxy {
    /// A proxy for everybody, or only for this name and password. `answer` decides for each target,
    /// `HOST:PORT`.
    pub(crate) fn start(
        kind: Kind,
        login: Option<(&'static str, &'static str)>,
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (ask, asked) = unbounded();
        let (refuse, refused) = unbounded();
        let answer = Arc::new(move |target: &str| {
            let answer = answer(target);
            let _ = ask.send(target.to_owned());
            answer
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, refuse) = (answer.clone(), refuse.clone());
                thread::spawn(move || {
                    // Noted before it is told.
                    let refuse = || _ = refuse.send(());
                    // An error is the client's going away: its right.
                    let _ = match kind {
                        Kind::Socks => socks(stream, login, &*answer, &refuse),
                        Kind::Http => http(stream, login, &*answer, &refuse),
                    };
                });
            }
        });
        Self {
            addr,
            kind,
            asked,
            refused,
        }
    }

    /// Its URL, with this before the host: `user:password@`.
    pub(crate) fn url(&self, login: &str) -> String {
        match self.kind {
            Kind::Socks => format!("socks5://{login}{}", self.addr),
            Kind::Http => format!("http://{login}{}", self.addr),
        }
    }

    /// All requested targets that nobody took yet.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }

    /// How many clients it did not let in.
    pub(crate) fn turned_away(&self) -> usize {
        self.refused.len()
    }
}

/// Serves one client. Calls `refuse` before the client hears that it is not let in.
fn socks(
    mut stream: TcpStream,
    login: Option<(&str, &str)>,
    answer: &dyn Fn(&str) -> Answer,
    refuse: &dyn Fn(),
) -> io::Result<()> {
    let [_, count] = read(&mut stream)?;
    let methods = read_some(&mut stream, count.into())?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        refuse();
        return stream.write_all(&[5, 0xff]);
    }
    stream.write_all(&[5, method])?;
    if let Some((user, password)) = login {
        let [_, len] = read(&mut stream)?;
        let theirs = read_some(&mut stream, len.into())?;
        let [len] = read(&mut stream)?;
        let word = read_some(&mut stream, len.into())?;
        let right = theirs == user.as_bytes() && word == password.as_bytes();
        if !right {
            refuse();
        }
        stream.write_all(&[1, u8::from(!right)])?;
        if !right {
            return Ok(());
        }
    }
    let Ok([_, 1, _, kind]) = read(&mut stream) else {
        return Ok(()); // it only looked
    };
    let host = match kind {
        1 => Ipv4Addr::from(read::<4>(&mut stream)?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(read::<16>(&mut stream)?)),
        _ => {
            let [len] = read(&mut stream)?;
            String::from_utf8_lossy(&read_some(&mut stream, len.into())?).into_owned()
        }
    };
    let target = format!("{host}:{}", u16::from_be_bytes(read(&mut stream)?));
    match answer(&target) {
        Answer::No(reply) => stream.write_all(&[5, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0])?,
        Answer::Garbage => stream.write_all(b"what is that?")?,
        Answer::HangUp => {}
        to => {
            let there = connect(to, &target)?;
            // In two parts, and from an address of another kind.
            stream.write_all(&[5, 0, 0])?;
            stream.write_all(b"\x03\x05proxy\x00\x50")?;
            join(stream, there);
        }
    }
    Ok(())
}

/// Serves one client. Calls `refuse` before the client hears that it is not let in.
fn http(
    mut stream: TcpStream,
    login: Option<(&str, &str)>,
    answer: &dyn Fn(&str) -> Answer,
    refuse: &dyn Fn(),
) -> io::Result<()> {
    // Nothing may be read beyond the head.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read::<1>(&mut stream)?);
    }
    let lines: Vec<String> = BufReader::new(&head[..])
        .lines()
        .collect::<Result<_, _>>()?;
    let wanted = login.map(|(user, password)| basic(&format!("{user}:{password}")));
    let given = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name.eq_ignore_ascii_case("proxy-authorization")).then_some(value)
    });
    if wanted.is_some() && wanted.as_deref() != given {
        refuse();
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    }
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    if method != Some("CONNECT") {
        return stream.write_all(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n");
    }
    match answer(target) {
        Answer::No(status) => {
            let head = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes())?;
        }
        Answer::Garbage => stream.write_all(b"what is that?\r\n\r\n")?,
        Answer::HangUp => {}
        to => {
            let there = connect(to, target)?;
            stream.write_all(b"HTTP/1.1 200 Conn")?;
            stream.write_all(b"ection established\r\nVia: a test\r\n\r\n")?;
            join(stream, there);
        }
    }
    Ok(())
}

fn connect(to: Answer, target: &str) -> io::Result<TcpStream> {
    match to {
        Answer::To(addr) => TcpStream::connect(addr),
        _ => {
            let addr: SocketAddr = target.parse().map_err(io::Error::other)?;
            let ip: IpAddr = addr.ip();
            assert!(ip.is_loopback(), "a test goes to {ip}");
            TcpStream::connect(addr)
        }
    }
}

/// Passes all bytes on, both ways, until both have ended.
pub(crate) fn join(here: TcpStream, there: TcpStream) {
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (back_from, back_to) = (there.try_clone().unwrap(), here.try_clone().unwrap());
    thread::spawn(move || pass(back_from, back_to));
    pass(here, there);
}

fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_some(stream: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn basic(text: &str) -> String {
    let digits: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let mut coded = String::from("Basic ");
    for at in (0..bits.len()).step_by(6) {
        let six = format!("{:0<6}", &bits[at..bits.len().min(at + 6)]);
        coded.push(digits[usize::from_str_radix(&six, 2).unwrap()]);
    }
    while (coded.len() - 6) % 4 != 0 {
        coded.push('=');
    }
    coded
}
