//! Web servers, and what stands between them and us: proxies, redirects to forbidden places,
//! passwords in URLs.

use crate::support::content::{Spec, Torrent};
use crate::support::http::{HttpServer, Request, redirect, respond, respond_part};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::{Gate, PATIENCE};
use crossbeam_channel::{Receiver, unbounded};
use rustix::process::Signal;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

const SIZE: u64 = 100_000;

/// A server that is the tracker and web seed of `torrent`, and a channel with its requests.
fn server(torrent: &Arc<Torrent>) -> (HttpServer, Receiver<Request>) {
    let torrent = torrent.clone();
    watched(move |request, stream| serve(&torrent, request, stream))
}

fn serve(torrent: &Torrent, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    let path = request.target.split('?').next().unwrap_or_default();
    match path.rsplit('/').next() {
        Some("x.torrent") => respond(stream, "200 OK", &torrent.metainfo),
        Some("announce") => respond(stream, "200 OK", b"d8:intervali1800e5:peers0:e"),
        _ => respond_part(stream, request, &torrent.data),
    }
}

/// The same, which gives the file only after it was asked as a tracker: a download from it is
/// not complete before.
fn tracker_first(torrent: &Arc<Torrent>) -> (HttpServer, Receiver<Request>) {
    let (torrent, announced) = (torrent.clone(), Gate::new());
    watched(move |request, stream| {
        match request.target.contains("announce") {
            true => announced.open(),
            false if request.range().is_some() => announced.wait(),
            false => {}
        }
        serve(&torrent, request, stream)
    })
}

/// A server that answers so, and what it was asked.
fn watched(
    answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> (HttpServer, Receiver<Request>) {
    let (tell, asked) = unbounded();
    let server = HttpServer::start(move |request, stream| {
        let _ = tell.send(request.clone());
        answer(request, stream)
    });
    (server, asked)
}

fn redirecting(to: String) -> HttpServer {
    HttpServer::start(move |_, stream| redirect(stream, &to))
}

/// Starts it, waits until each of `words` is in a warning, interrupts it, and returns all that
/// it warned of.
fn warnings(download: Storrent, words: &[&str]) -> Vec<String> {
    let mut run = download.start();
    let mut missing = words.to_vec();
    while !missing.is_empty() {
        let warning = run.event("warning")["message"].to_string();
        missing.retain(|word| !warning.contains(word));
    }
    run.kill(Signal::INT);
    let end = run.wait().expect(130);
    let all = end.all("warning").into_iter();
    all.map(|warning| warning["message"].to_string()).collect()
}

/// A torrent that names servers of the internet, which have it, too.
fn far() -> Spec {
    Spec::single("x", SIZE)
        .tracker("http://far.example/k/announce")
        .webseed("http://far.example/x")
}

/// Everything over HTTP goes to an HTTP proxy as whole URLs, the form that works for any port, with
/// our name and password.
#[test]
fn an_http_proxy_gets_whole_urls() {
    let torrent = far().build();
    let (proxy, asked) = tracker_first(&torrent);
    let place = Place::new(far());
    Storrent::download(&place.dir())
        .env("http_proxy", &format!("http://me:p%40ss@{}", proxy.addr))
        .arg("http://far.example:8080/x.torrent")
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
    let asked: Vec<Request> = asked.try_iter().collect();
    for start in [
        "http://far.example:8080/x.torrent",
        "http://far.example/k/announce?",
        "http://far.example/x",
    ] {
        let is_it = |request: &&Request| request.target.starts_with(start);
        let request = asked.iter().find(is_it).expect(start);
        let login = request.header("proxy-authorization");
        assert_eq!(login, Some("Basic bWU6cEBzcw=="), "{request:?}");
    }
    let is_whole = |request: &Request| request.target.starts_with("http://far.example");
    assert!(asked.iter().all(is_whole), "{asked:?}");
}

/// A SOCKS proxy without a password that always connects to `to`, and a channel with the requested
/// names.
fn socks(to: SocketAddr) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, names) = unbounded();
    let lead = move |mut client: TcpStream, tell: crossbeam_channel::Sender<String>| {
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting)?;
        client.write_all(&[5, 0])?;
        let mut head = [0; 5];
        client.read_exact(&mut head)?;
        assert_eq!(
            head[..4],
            [5, 1, 0, 3],
            "a name, to be looked up by the proxy"
        );
        let mut name = vec![0; usize::from(head[4]) + 2];
        client.read_exact(&mut name)?;
        name.truncate(name.len() - 2);
        let _ = tell.send(String::from_utf8(name).unwrap());
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let server = TcpStream::connect(to)?;
        let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || io::copy(&mut up, &mut down));
        io::copy(&mut &server, &mut &client).map(drop)
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || lead(client, tell));
        }
    });
    (addr, names)
}

#[test]
fn a_socks_proxy_looks_up_the_names() {
    let torrent = far().build();
    let (web, _) = tracker_first(&torrent);
    let (proxy, names) = socks(web.addr);
    let place = Place::new(far());
    Storrent::download(&place.dir())
        .env("ALL_PROXY", &format!("socks5://{proxy}"))
        .arg("http://far.example/x.torrent")
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
    assert!(names.len() >= 3, "the SOURCE, the tracker and the web seed");
    assert!(names.try_iter().all(|name| name == "far.example"));
}

/// A proxy that wants a password is not mistaken for a server that does.
#[test]
fn a_proxy_that_wants_a_password() {
    let proxy = HttpServer::start(|_, stream| respond(stream, "407 No", b""));
    let place = Place::new(Spec::single("x", SIZE));
    let end = Storrent::download(&place.dir())
        .env("http_proxy", &format!("http://me:CANARY@{}", proxy.addr))
        .arg("http://far.example/x.torrent")
        .run()
        .expect(1);
    let said = format!("the proxy http://{} refuses the user name", proxy.addr);
    assert!(end.stderr.contains(&said), "{}", end.stderr);
    assert!(!end.stderr.contains("CANARY"), "{}", end.stderr);
}

/// A proxy that can't be used is reported, and never bypassed.
#[test]
fn a_proxy_that_cannot_be_used_is_an_error() {
    let torrent = Spec::single("x", SIZE).build();
    let (web, asked) = server(&torrent);
    let place = Place::new(Spec::single("x", SIZE).tracker(&web.url("/announce")));
    for (name, value) in [
        ("http_proxy", "socks4://10.0.0.1:1"),
        ("ALL_PROXY", "https://u:CANARY@10.0.0.1"),
        ("all_proxy", "nonsense://"),
    ] {
        let end = Storrent::download(&place.dir())
            .env(name, value)
            .arg(web.url("/x.torrent"))
            .run()
            .expect(1);
        assert!(end.stderr.contains(name), "{}", end.stderr);
        assert!(!end.stderr.contains("CANARY"), "{}", end.stderr);
        let warnings = warnings(place.download().env(name, value), &[name]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
    assert_eq!(asked.len(), 0);
}

/// A server of the internet (what a proxy leads to) redirects us to our own machine, or names it in
/// a torrent, by address or by a name that is looked up.
#[test]
fn the_world_does_not_name_what_is_near() {
    let (near, asked) = watched(|_, stream| respond(stream, "200 OK", b"d5:peers0:e"));
    let port = near.addr.port();
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let url = format!("http://{host}:{port}/announce");
        let proxy = redirecting(url.clone());
        let place = Place::new(Spec::single("x", SIZE).tracker(&url).webseed(&url));
        let run = |proxy: &HttpServer| {
            Storrent::download(&place.dir())
                .env("http_proxy", &proxy.addr.to_string())
                .env("no_proxy", "localhost, 127.0.0.1 0.0.0.0")
                .arg("http://far.example/x.torrent")
        };
        let end = run(&proxy).run().expect(1);
        let message = end.one("error")["message"].to_string();
        assert!(message.contains("on this machine"), "{message}");
        let (proxy, _) = server(&place.torrent);
        let both = ["tracker http", "web seed http"];
        let texts = warnings(run(&proxy), &both);
        let about = |what: &str| texts.iter().filter(|text| text.contains(what)).count();
        assert_eq!(both.map(about), [1, 1], "{texts:?}");
        assert!(
            texts.iter().any(|text| text.contains("with -t")),
            "{texts:?}"
        );
    }
    assert_eq!(asked.len(), 0);
}

/// A torrent from a file may name a tracker on this machine if the URL looks like one, and a web
/// seed if it is no command. The user may name anything.
#[test]
fn a_file_names_what_looks_right() {
    let torrent = Spec::single("x", SIZE).build();
    let (near, asked) = tracker_first(&torrent);
    let bad = near.url("/reboot?announce");
    let spec = || Spec::single("x", SIZE).tracker(&bad).webseed(&bad);
    let place = Place::new(spec());
    let refused = warnings(place.download(), &["tracker http", "web seed http"]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(asked.len(), 0);
    let mut run = place.download().args(["-t", &bad]).start();
    let refused = run.event("warning")["message"].to_string();
    assert!(refused.contains("web seed http"), "{refused}");
    let first = asked.recv_timeout(PATIENCE).unwrap().target;
    assert!(first.contains("started"), "{first}");
    run.kill(Signal::INT);
    assert_eq!(run.wait().expect(130).all("warning").len(), 1);
    asked.try_iter().for_each(drop);

    let good = Spec::single("x", SIZE).tracker(&near.url("/announce"));
    let place = Place::new(good.webseed(&near.url("/x")));
    place.download().run().expect(0);
    assert!(
        asked
            .try_iter()
            .any(|request| request.target.starts_with("/announce?"))
    );
}

/// A password goes to its own server only, decoded.
#[test]
fn passwords_stay_with_their_server() {
    let torrent = Spec::single("x", SIZE).build();
    let (other, others) = server(&torrent);
    let to = other.url("/x.torrent");
    let (own, asked) = watched(move |request, stream| {
        let to = match &*request.target {
            "/" => "/again",
            _ => &to,
        };
        redirect(stream, to)
    });
    Storrent::new()
        .arg("show")
        .arg(own.url("/").replace("//", "//ann:p%40ss@"))
        .run()
        .expect(0);
    let logins: Vec<Request> = asked.try_iter().collect();
    assert_eq!(logins.len(), 2);
    for request in logins {
        assert_eq!(request.header("authorization"), Some("Basic YW5uOnBAc3M="));
    }
    let request = others.try_recv().unwrap();
    assert_eq!(request.header("authorization"), None, "{request:?}");
}

/// No form of output shows what is in a URL beside its server, whether the server works or not.
#[test]
fn nothing_printed_has_a_password_or_a_key() {
    let torrent = Spec::single("x", SIZE).build();
    let bad = HttpServer::start(|request, stream| match request.target.contains("turn") {
        true => redirect(stream, "ftp://CANARY@h/CANARY"),
        false => respond(stream, "404 Not Found", b""),
    });
    let secret = |server: &HttpServer, path: &str| {
        let url = server.url(path);
        url.replace("//", "//CANARY:CANARY@") + "/CANARY?key=CANARY"
    };
    let (web, _) = server(&torrent);
    let place = Place::new(
        Spec::single("x", SIZE)
            .tracker(&secret(&bad, "/announce"))
            .tracker("udp://CANARY@127.0.0.1:9/CANARY/announce")
            .tracker("gopher://CANARY@127.0.0.1:9/CANARY")
            .webseed(&secret(&bad, "/turn"))
            .webseed(&secret(&bad, "/none"))
            .webseed("gopher://CANARY@h/CANARY")
            .webseed(&secret(&web, "/x").replace("?key=CANARY", "")),
    );
    let private = Place::new(Spec::single("p", SIZE).private());
    let magnet = format!(
        "{}&tr={}&tr=http%3A%2F%2Fh%2FCANARY&dn=x",
        place.torrent.magnet(),
        secret(&bad, "/announce").replace('&', "%26")
    );
    let sources = [
        place.file().to_str().unwrap().to_owned(),
        private.file().to_str().unwrap().to_owned(),
        magnet,
        secret(&bad, "/turn"),
        secret(&bad, "/none"),
        secret(&web, ""),
        "http://CANARY:CANARY@127.0.0.1:9/CANARY".into(),
        "http://CANARY:CANARY@[x/CANARY".into(),
        "magnet:?dn=CANARY&tr=http://CANARY".into(),
        "ftp://CANARY:CANARY@h/CANARY".into(),
    ];
    let tracker = secret(&bad, "/announce2");
    for form in [
        &["--json"][..],
        &[],
        &["-v"],
        &["-vv"],
        &["-q"],
        &["--json", "-vv"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let end = Storrent::new()
            .alone()
            .args(["--stall-timeout", "1", "-t", &tracker, "-d"])
            .arg(dir.path())
            .args(form)
            .args(&sources)
            .run()
            .expect(1);
        for text in [&end.stdout, &end.stderr] {
            let line = text.lines().find(|line| line.contains("CANARY"));
            assert_eq!(line, None, "{form:?}");
        }
        assert!(
            end.stderr.contains("/…") || form[0] == "--json",
            "{}",
            end.stderr
        );
    }
    // Messages about a wrong command line hide it, too.
    for wrong in [
        &["-t", "ftp://CANARY@h/CANARY", "x"][..],
        &["check", "x", "http://CANARY@h/CANARY"],
        &["check", "magnet:?xt=urn:btih:00&tr=CANARY"],
    ] {
        let end = Storrent::new().args(wrong).run();
        assert!(!end.stderr.contains("CANARY"), "{}", end.stderr);
        assert_ne!(end.code, Some(0));
    }
}

/// A server at 127.0.0.1 with a certificate that it signed itself, which always answers `body`.
/// Returns its port and the certificate as a file.
fn secure(body: Vec<u8>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move |stream: TcpStream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let len = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
        stream.write_all(&body)
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client may hang up: it does not trust us.
            let _: io::Result<()> = answer(stream);
        }
    });
    (port, made.cert.pem())
}

/// The system decides whom to trust. An untrusted server is named, also without `-v`.
#[test]
fn certificates() {
    let spec = || Spec::single("x", SIZE);
    let (port, certificate) = secure(spec().build().metainfo.clone());
    let url = format!("https://127.0.0.1:{port}/x.torrent");
    let end = Storrent::new().args(["show", &url]).run().expect(1);
    let said = format!("the certificate of https://127.0.0.1:{port}/… is not trusted");
    assert!(end.stderr.contains(&said), "{}", end.stderr);

    let (port, _) = secure(b"d8:intervali1800e5:peers0:e".to_vec());
    let place = Place::new(spec().tracker(&format!("https://127.0.0.1:{port}/announce")));
    let said = format!("the certificate of https://127.0.0.1:{port}/… is not trusted");
    let warnings = warnings(place.download(), &[&said]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");

    let file = place.temp.path().join("roots.pem");
    std::fs::write(&file, certificate).unwrap();
    Storrent::new()
        .env("SSL_CERT_FILE", file.to_str().unwrap())
        .args(["show", &url])
        .run()
        .expect(0);
}
