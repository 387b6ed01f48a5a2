//! The first words to a proxy, up to where its connection leads to the server.
//!
//! ```text
//! SOCKS 5 (RFC 1928, 1929)            we                        the proxy
//!   how may we say who we are?        05 n methods              05 method
//!   name and password, if asked       01 len user len password  01 00
//!   connect us                        05 01 00 03 len name port 05 00 00 type address port
//! HTTP                                CONNECT name:port …       HTTP/1.1 200 …
//! ```
//!
//! The proxy looks names up; only what is an address already is sent as one. From there on
//! the bytes are those of the connection to the server. What the proxy sends is bounded.

use crate::proxy::{Proxy, ProxyKind};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;

/// The most bytes of a proxy's answer to CONNECT.
const MAX_HEAD: usize = 16 << 10;

/// Why a proxy gives no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The connection to the proxy broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The password is wrong, or one is needed.
    #[error("it wants another user name or password")]
    Login,
    /// It can't, or won't.
    #[error("it answered: {0}")]
    No(String),
    /// It is no proxy of this kind.
    #[error("it sent what no proxy of this kind sends")]
    Garbage,
}

/// Asks `proxy`, over its connection, for one to `host` and `port`.
///
/// # Errors
/// [`Refusal`], if there is none. The connection is of no more use then.
pub fn lead(
    connection: &mut (impl Read + Write),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), Refusal> {
    match proxy.kind {
        ProxyKind::Socks5 => socks(connection, proxy, host, port),
        ProxyKind::Http => connect(connection, proxy, host, port),
    }
}

fn socks(
    connection: &mut (impl Read + Write),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), Refusal> {
    let methods: &[u8] = match proxy.login {
        Some(_) => &[5, 2, 0, 2],
        None => &[5, 1, 0],
    };
    connection.write_all(methods)?;
    match (take(connection)?, &proxy.login) {
        ([5, 0], _) => {}
        ([5, 2], Some((user, word))) => {
            let mut message = vec![1];
            for text in [user, word] {
                message.push(u8::try_from(text.len()).map_err(|_| Refusal::Login)?);
                message.extend_from_slice(text);
            }
            connection.write_all(&message)?;
            let [_, status] = take(connection)?;
            if status != 0 {
                return Err(Refusal::Login);
            }
        }
        ([5, _], _) => return Err(Refusal::Login),
        _ => return Err(Refusal::Garbage),
    }
    let mut message = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => message.extend([&[1], &ip.octets()[..]].concat()),
        Ok(IpAddr::V6(ip)) => message.extend([&[4], &ip.octets()[..]].concat()),
        Err(_) => {
            let too_long = |_| Refusal::No("the host's name is too long".into());
            message.extend([3, u8::try_from(host.len()).map_err(too_long)?]);
            message.extend_from_slice(host.as_bytes());
        }
    }
    message.extend(port.to_be_bytes());
    connection.write_all(&message)?;
    let [version, reply, _, kind] = take(connection)?;
    if version != 5 {
        return Err(Refusal::Garbage);
    }
    if reply != 0 {
        return Err(Refusal::No(in_words(reply).into()));
    }
    // The address that it connects from, which is nothing to us.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(take::<1>(connection)?[0]),
        _ => return Err(Refusal::Garbage),
    };
    connection.read_exact(&mut vec![0; rest + 2])?;
    Ok(())
}

fn take<const N: usize>(connection: &mut impl Read) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    connection.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What the numbers of RFC 1928 mean.
fn in_words(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow this connection",
        3 => "the network can't be reached",
        4 => "the server can't be reached",
        5 => "the server refused the connection",
        6 => "the server did not answer in time",
        8 => "it has no use for addresses of this kind",
        _ => "it could not connect",
    }
}

fn connect(
    connection: &mut (impl Read + Write),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), Refusal> {
    let place = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let login = authorization(proxy);
    let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n");
    connection.write_all(head.as_bytes())?;
    // Byte by byte, as what follows the head is no longer ours to read.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() >= MAX_HEAD {
            return Err(Refusal::Garbage);
        }
        head.extend(take::<1>(connection).map_err(|refusal| match refusal {
            Refusal::Io(e) if e.kind() == ErrorKind::UnexpectedEof && !head.is_empty() => {
                Refusal::Garbage
            }
            refusal => refusal,
        })?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    match line.split_whitespace().nth(1) {
        _ if !line.starts_with("HTTP/1.") => Err(Refusal::Garbage),
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
        Some("401" | "407") => Err(Refusal::Login),
        Some(_) => {
            let (_, status) = line.split_once(' ').unwrap_or_default();
            Err(Refusal::No(status.trim().chars().take(100).collect()))
        }
        None => Err(Refusal::Garbage),
    }
}

/// The line of a request by which an HTTP proxy hears who we are; nothing, if it need not.
pub fn authorization(proxy: &Proxy) -> String {
    let login = proxy.login.as_ref();
    login.map_or_else(String::new, |(user, word)| {
        format!("Proxy-Authorization: {}\r\n", basic(user, word))
    })
}

/// Name and password as HTTP takes them (RFC 7617).
pub fn basic(user: &[u8], password: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for three in [user, b":", password].concat().chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            match place <= three.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A connection whose other side has said everything already.
    struct Script {
        answers: Cursor<Vec<u8>>,
        said: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buf)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.said.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What was said, how it ended, and what was left unread.
    fn led(proxy: &str, host: &str, answers: &[u8]) -> (Vec<u8>, String, Vec<u8>) {
        let mut script = Script {
            answers: Cursor::new(answers.to_vec()),
            said: Vec::new(),
        };
        let end = match lead(&mut script, &proxy.parse().unwrap(), host, 0x1f90) {
            Ok(()) => "led".into(),
            Err(refusal) => refusal.to_string(),
        };
        let mut rest = Vec::new();
        script.answers.read_to_end(&mut rest).unwrap();
        (script.said, end, rest)
    }

    #[test]
    fn socks_leads_to_the_server() {
        let led_by = |answers: &[u8], host: &str, said: &[u8]| {
            let (all, end, rest) = led("socks5://p", host, &[&[5, 0], answers, b"HTTP"].concat());
            assert_eq!((end.as_str(), &rest[..]), ("led", &b"HTTP"[..]));
            assert_eq!(all, [&[5, 1, 0, 5, 1, 0], said, &[0x1f, 0x90]].concat());
        };
        led_by(&[5, 0, 0, 1, 1, 2, 3, 4, 5, 6], "ab", b"\x03\x02ab");
        led_by(
            &[5, 0, 0, 3, 1, b'x', 5, 6],
            "127.0.0.1",
            &[1, 127, 0, 0, 1],
        );
        let v6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
        led_by(&v6, "::1", &[&[4][..], &[0; 15], &[1]].concat());
        let granted = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (said, end, _) = led("socks5h://u:p%40s@p", "a", &granted);
        assert_eq!(end, "led");
        assert_eq!(said[..12], *b"\x05\x02\x00\x02\x01\x01u\x03p@s\x05");
    }

    #[test]
    fn socks_that_does_not() {
        for (proxy, answers, why) in [
            ("socks5://p", &[5, 0xff][..], "another user name"),
            ("socks5://p", &[5, 2], "another user name"),
            ("socks5://u:p@p", &[5, 2, 1, 1], "another user name"),
            ("socks5://p", &[5, 0, 5, 2, 0, 1], "rules"),
            ("socks5://p", &[5, 0, 5, 5, 0, 1], "server refused"),
            ("socks5://p", &[5, 0, 5, 0, 0, 9], "no proxy of this kind"),
            ("socks5://p", &[5, 0, 4, 0, 0, 1], "no proxy of this kind"),
            ("socks5://p", b"HTTP/1.1 400", "no proxy of this kind"),
            ("socks5://p", &[5, 0, 5], "fill"),
        ] {
            let (_, end, _) = led(proxy, "a", answers);
            assert!(end.contains(why), "{answers:?}: {end}");
        }
        let (_, end, _) = led("socks5://p", &"a".repeat(256), &[5, 0]);
        assert!(end.contains("too long"), "{end}");
    }

    #[test]
    fn http_by_connect() {
        let (said, end, rest) = led("http://u:p@p", "::1", b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nTLS");
        assert_eq!((end.as_str(), &rest[..]), ("led", &b"TLS"[..]));
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "CONNECT [::1]:8080 HTTP/1.1\r\nHost: [::1]:8080\r\n\
             Proxy-Authorization: Basic dTpw\r\n\r\n"
        );
        let long = [&b"HTTP/1.1 200 "[..], &[b'x'; MAX_HEAD]].concat();
        for (answer, why) in [
            (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], "403 Forbidden"),
            (b"HTTP/1.1 407 No\r\n\r\n", "another user name"),
            (b"SSH-2.0\r\n\r\n", "no proxy of this kind"),
            (b"HTTP/1.1\n\n", "no proxy of this kind"),
            (b"HTTP/1.1 200 OK\r\n", "no proxy of this kind"),
            (&long, "no proxy of this kind"),
            (b"", "fill"),
        ] {
            let (_, end, _) = led("http://p", "a", answer);
            assert!(end.contains(why), "{end}");
        }
    }

    #[test]
    fn names_and_passwords() {
        for (user, word, text) in [
            ("ann", "p@ss/w rd", "Basic YW5uOnBAc3MvdyByZA=="),
            ("", "", "Basic Og=="),
            ("a", "", "Basic YTo="),
            ("a", "b", "Basic YTpi"),
            ("ö", "?~>", "Basic w7Y6P34+"),
        ] {
            assert_eq!(basic(user.as_bytes(), word.as_bytes()), text);
        }
    }
}
