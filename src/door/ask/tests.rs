//! Proxies that answer well or badly, in pieces of any size.

use super::*;
use crate::door::Name;

fn proxy(url: &str) -> Proxy {
    url.parse().unwrap()
}

/// Plays a proxy that answers with these bytes, at most `cut` at a time. Returns what we sent, how
/// it ended, and how many bytes of the answer we left unread.
fn talk(
    proxy: &Proxy,
    target: Option<&Target>,
    answers: &[u8],
    cut: usize,
) -> (Vec<Vec<u8>>, Option<Result<(), Refusal>>, usize) {
    let mut asking = Asking::new(proxy, target);
    let (mut sent, mut rest) = (Vec::new(), answers);
    loop {
        match asking.step() {
            Ok(Next::Send(bytes)) => sent.push(bytes),
            Ok(Next::Read(wanted)) => {
                assert!(wanted > 0);
                let (now, later) = rest.split_at(wanted.min(cut).min(rest.len()));
                if now.is_empty() {
                    return (sent, None, 0); // it waits for more
                }
                asking.take(now);
                rest = later;
            }
            Ok(Next::Open) => return (sent, Some(Ok(())), rest.len()),
            Err(refusal) => return (sent, Some(Err(refusal)), rest.len()),
        }
    }
}

/// Does the same with every `cut`; the results must agree.
fn in_any_cut(
    proxy: &Proxy,
    target: Option<&Target>,
    answers: &[u8],
) -> (Vec<Vec<u8>>, Option<Result<(), Refusal>>, usize) {
    let whole = talk(proxy, target, answers, usize::MAX);
    for cut in 1..answers.len().min(40) {
        let parts = talk(proxy, target, answers, cut);
        assert_eq!((&parts.0, &parts.1), (&whole.0, &whole.1), "cut {cut}");
    }
    whole
}

fn addr(text: &str) -> Target {
    Target::Addr(text.parse().unwrap())
}

const DONE: [u8; 10] = [5, 0, 0, 1, 10, 0, 0, 1, 0x1a, 0xe1];

#[test]
fn socks_without_and_with_a_password() {
    let plain = proxy("socks5://p:1");
    let target = addr("1.2.3.4:6881");
    let answers = [&[5, 0][..], &DONE, b"peer"].concat();
    let (sent, end, left) = in_any_cut(&plain, Some(&target), &answers);
    let connect = vec![5, 1, 0, 1, 1, 2, 3, 4, 0x1a, 0xe1];
    assert_eq!(sent, [vec![5, 1, 0], connect.clone()]);
    assert_eq!((end, left), (Some(Ok(())), 4), "the peer's bytes are left");

    let login = proxy("socks5h://us%3Aer:p%40ss@p:1");
    let answers = [&[5, 2, 1, 0][..], &DONE].concat();
    let (sent, end, left) = in_any_cut(&login, Some(&target), &answers);
    let password = b"\x01\x05us:er\x04p@ss".to_vec();
    assert_eq!(sent, [vec![5, 2, 0, 2], password, connect]);
    assert_eq!((end, left), (Some(Ok(())), 0));
}

#[test]
fn socks_names_and_addresses_of_all_kinds() {
    let plain = proxy("socks5://p:1");
    let name = Target::Name(Name::new("peer.example:80").unwrap());
    let cases = [
        (name, b"\x05\x01\x00\x03\x0cpeer.example\x00\x50".to_vec()),
        (
            addr("[2001:db8::1]:80"),
            [&[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0, 80]].concat(),
        ),
    ];
    let froms = [
        [&[5, 0, 0, 1][..], &[7; 6]].concat(),
        [&[5, 0, 0, 4][..], &[7; 18]].concat(),
        [&[5, 0, 0, 3, 0][..], &[7; 2]].concat(),
        [&[5, 0, 0, 3, 255][..], &[7; 257]].concat(),
    ];
    for (target, connect) in &cases {
        for from in &froms {
            let answers = [&[5, 0][..], from, b"x"].concat();
            let (sent, end, left) = in_any_cut(&plain, Some(target), &answers);
            assert_eq!(&sent[1], connect);
            assert_eq!((end, left), (Some(Ok(())), 1));
        }
    }
}

#[test]
fn socks_that_refuses() {
    let (plain, login) = (proxy("socks5://p:1"), proxy("socks5://u:w@p:1"));
    let target = addr("1.2.3.4:6881");
    let cases: [(&Proxy, &[u8], Refusal); 7] = [
        (&plain, &[5, 0xff], Refusal::NoLogin),
        (&plain, &[5, 2], Refusal::Foreign), // we did not offer this method
        (&plain, b"HTTP/1.1 400 Bad", Refusal::Foreign),
        (&plain, &[4, 0], Refusal::Foreign),
        (&login, &[5, 0xff], Refusal::Login),
        (&login, &[5, 2, 1, 1], Refusal::Login),
        (&plain, &[5, 0, 5, 0, 0, 9, 0], Refusal::Foreign),
    ];
    for (proxy, answers, why) in cases {
        let (_, end, _) = in_any_cut(proxy, Some(&target), answers);
        assert_eq!(end, Some(Err(why)), "{answers:?}");
    }
    let replies = [
        (1, ErrorKind::Other),
        (3, ErrorKind::NetworkUnreachable),
        (4, ErrorKind::HostUnreachable),
        (5, ErrorKind::ConnectionRefused),
        (6, ErrorKind::TimedOut),
        (8, ErrorKind::Unsupported),
        (200, ErrorKind::Other),
    ];
    for (reply, kind) in replies {
        let (_, end, _) = in_any_cut(&plain, Some(&target), &[5, 0, 5, reply]);
        let refused = matches!(&end, Some(Err(Refusal::Peer(k, _))) if *k == kind);
        assert!(refused, "{reply}: {end:?}");
    }
    for reply in [2, 7] {
        let (_, end, _) = in_any_cut(&plain, Some(&target), &[5, 0, 5, reply]);
        assert!(matches!(end, Some(Err(Refusal::Rules(_)))), "{end:?}");
    }
}

#[test]
fn only_whether_it_lets_us_in() {
    let plain = proxy("socks5://p:1");
    let (sent, end, _) = in_any_cut(&plain, None, &[5, 0]);
    assert_eq!((sent, end), (vec![vec![5, 1, 0]], Some(Ok(()))));
    let login = proxy("http://u:w@p:1");
    let (sent, end, _) = in_any_cut(&login, None, b"HTTP/1.1 405 No\r\n\r\n");
    assert_eq!(end, Some(Ok(())), "it need not know the question");
    let text = String::from_utf8(sent.concat()).unwrap();
    assert!(text.starts_with("OPTIONS * HTTP/1.1\r\nHost: p:1\r\nMax-Forwards: 0\r\n"));
    let (sent, ..) = in_any_cut(
        &proxy("http://[::1]:3128"),
        None,
        b"HTTP/1.1 200 OK\r\n\r\n",
    );
    let text = String::from_utf8(sent.concat()).unwrap();
    assert!(text.contains("\r\nHost: [::1]:3128\r\n"), "{text}");
    for status in [401, 407] {
        let answer = format!("HTTP/1.1 {status} No\r\n\r\n");
        let (_, end, _) = in_any_cut(&login, None, answer.as_bytes());
        assert_eq!(end, Some(Err(Refusal::Login)));
    }
}

#[test]
fn http() {
    let login = proxy("http://user:p%40ss@p:1");
    let target = addr("[2001:db8::1]:6881");
    let answers = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\npeer";
    let (sent, end, left) = in_any_cut(&login, Some(&target), answers);
    assert_eq!((end, left), (Some(Ok(())), 4));
    let head = "CONNECT [2001:db8::1]:6881 HTTP/1.1\r\nHost: [2001:db8::1]:6881\r\n\
                Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n";
    assert_eq!(sent, [head.as_bytes()]);

    let plain = proxy("http://p:1");
    let peer = |kind, text: &str| Some(Err(Refusal::Peer(kind, text.into())));
    let rules = |text: &str| Some(Err(Refusal::Rules(text.into())));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
    let cases: [(&str, Option<Result<(), Refusal>>); 13] = [
        ("HTTP/1.0 200\n\n", Some(Ok(()))),
        (
            "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
            Some(Ok(())),
        ),
        ("HTTP/1.1 200 OK\r\n", None),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", rules("403 Forbidden")),
        (
            "HTTP/1.1 405 \x1b[2J\r\n\r\n",
            rules(&escaped("405 \x1b[2J")),
        ),
        ("HTTP/1.1 302 Found\r\n\r\n", rules("302 Found")),
        ("HTTP/1.1 502 x\r\n\r\n", peer(ErrorKind::Other, "502 x")),
        ("HTTP/1.1 504 x\r\n\r\n", peer(ErrorKind::TimedOut, "504 x")),
        ("HTTP/1.1 407 x\r\n\r\n", Some(Err(Refusal::NoLogin))),
        ("HTTP/1.1 xx\r\n\r\n", Some(Err(Refusal::Foreign))),
        ("HTTP/2 200\r\n\r\n", Some(Err(Refusal::Foreign))),
        ("SSH-2.0-OpenSSH\r\n", Some(Err(Refusal::Foreign))),
        (&long, Some(Err(Refusal::Foreign))),
    ];
    for (answer, end) in cases {
        let got = in_any_cut(&plain, Some(&target), answer.as_bytes());
        assert_eq!(got.1, end, "{answer:.40}");
    }
}

#[test]
fn base64_of_all_lengths() {
    let cases = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];
    for (plain, coded) in cases {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
    assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
}
