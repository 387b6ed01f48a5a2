//! Reads a SOURCE: a `.torrent` from a path, standard input or the web, a magnet link, or a bare
//! info hash, which counts as a magnet link. A URL may redirect to a magnet link.
//!
//! Most failures here are small mistakes of the user: a folder, a saved web page, a URL without
//! `https://`. So each message says what to do. At most [`MAX_TORRENT_LEN`] bytes are read.

use super::near;
use super::values::Source;
use crate::address::{Reach, Teller};
use crate::config::Subject;
use crate::door::Door;
use crate::door::http::{self, Barred, Client, Hop, MAX_REDIRECTS, Redirect, barred};
use crate::magnet::{Magnet, MagnetError};
use crate::metainfo::{self, MAX_TORRENT_LEN, Metainfo, MetainfoError};
use crate::url;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// How long an HTTP server may take to accept a connection, and to send the next byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `.torrent`, read and checked.
#[derive(Debug)]
pub struct Torrent {
    /// Its content.
    pub metainfo: Metainfo,
    /// The `.torrent` as read, for saving it.
    pub bytes: Vec<u8>,
}

/// What a SOURCE turned out to be.
#[derive(Debug)]
pub enum Given {
    /// A whole torrent.
    Torrent(Box<Torrent>),
    /// A magnet link.
    Link(Magnet),
}

/// A SOURCE that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {from}")]
pub struct SourceError {
    /// The SOURCE, safe to print.
    pub from: String,
    /// Why not, and what to do.
    #[source]
    pub why: Why,
}

/// What is wrong with a SOURCE.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// There is no such file.
    #[error("there is no such file; check the path")]
    Missing,
    /// There is no such file, but perhaps this URL.
    #[error("there is no such file; did you mean {0}?")]
    Meant(String),
    /// There is no such file, but this command.
    #[error("there is no such file; did you mean the command `storrent {0}`?")]
    Command(&'static str),
    /// A URL whose scheme we do not fetch.
    #[error(
        "{0}: URLs cannot be fetched, only http: and https:; fetch the .torrent by other means"
    )]
    Scheme(String),
    /// A `file:` URI of another machine.
    #[error(
        "it is a file of another machine, {0}; copy it to this one (whose files are file:///PATH)"
    )]
    OtherHost(String),
    /// It is a folder.
    #[error("it is a folder; give a .torrent file (`storrent create` makes one of a folder)")]
    Folder,
    /// The disk, or standard input, failed.
    #[error("{0}")]
    Io(io::Error),
    /// No bytes, or blanks only.
    #[error("it is empty; fetch the .torrent again")]
    Empty,
    /// More bytes than a torrent may have.
    #[error("it has more than 32 MiB, so it is no torrent; give the .torrent, not the data")]
    TooLarge,
    /// It is a web page.
    #[error("it is a web page, not a torrent; open it in a browser and fetch the .torrent itself")]
    WebPage,
    /// It is no torrent, or a broken one.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
    /// The server's answer is not 200.
    #[error("the server answered {0}; check the URL")]
    Status(String),
    /// The connection failed or broke, or the server sent nonsense.
    #[error("{0}; check the URL and the connection")]
    Http(String),
    /// A rule of ours forbids it.
    #[error("{0}")]
    Barred(String),
    /// The server went silent.
    #[error("the server was silent for {} s; try again later", PATIENCE.as_secs())]
    Silent,
    /// More redirects than [`MAX_REDIRECTS`].
    #[error("it redirects more than {MAX_REDIRECTS} times; check the URL")]
    Redirects,
    /// A redirect to a scheme that we do not fetch.
    #[error("it redirects to a {0}: URL, and only http:, https: and magnet: are followed")]
    RedirectScheme(String),
    /// A redirect to a text that is no URL.
    #[error("it redirects to {0:?}, which is no URL; check the URL")]
    BadRedirect(String),
    /// A magnet link without a usable info hash.
    #[error("{0}")]
    Magnet(#[from] MagnetError),
    /// A magnet link, where a whole torrent is needed.
    #[error(
        "a magnet link does not say what the torrent holds; `storrent show LINK -o FILE` saves a .torrent"
    )]
    OnlyALink,
}

impl From<Given> for Subject {
    fn from(given: Given) -> Self {
        match given {
            Given::Torrent(torrent) => Self::Torrent(Box::new(torrent.metainfo)),
            Given::Link(magnet) => Self::Link(magnet),
        }
    }
}

/// Whether reading may take longer than for a plain file: from the web or from a pipe.
pub fn may_be_slow(source: &Source) -> bool {
    let is_pipe = |path: &Path| {
        path.metadata()
            .is_ok_and(|about| !about.is_file() && !about.is_dir())
    };
    match source {
        Source::Url(_) | Source::Stdin => true,
        Source::Path(path) => is_pipe(path),
        Source::FileUri(uri) => file_of(uri).is_ok_and(|path| is_pipe(&path)),
        Source::Magnet(_) => false,
    }
}

/// Reads and checks one SOURCE, through `door` if it is a URL. The [`Teller`] says who sent it, and
/// so how near the addresses in it may be.
///
/// # Errors
/// [`SourceError`], if it can't be read, or is neither torrent nor link.
pub fn given(source: &Source, door: &Door) -> Result<(Given, Teller), SourceError> {
    let given = match source {
        Source::Path(path) => named(path),
        Source::FileUri(uri) => file_of(uri).and_then(|path| file(&path)),
        Source::Stdin => read_all(io::stdin().lock()).and_then(torrent_of),
        Source::Url(url) => {
            return fetch(url, door).map_err(|why| SourceError::new(source, why));
        }
        Source::Magnet(link) => link_of(link),
    };
    let given = given.map(|given| (given, Teller::Unknown));
    given.map_err(|why| SourceError::new(source, why))
}

/// Reads and checks one SOURCE, which must be a whole torrent.
///
/// # Errors
/// [`SourceError`], if it can't be read or is not a torrent.
pub fn read(source: &Source, door: &Door) -> Result<Torrent, SourceError> {
    match given(source, door)? {
        (Given::Torrent(torrent), _) => Ok(*torrent),
        (Given::Link(_), _) => Err(SourceError::new(source, Why::OnlyALink)),
    }
}

impl SourceError {
    fn new(source: &Source, why: Why) -> Self {
        let from = match source {
            Source::Stdin => "standard input".to_string(),
            _ => source.to_string(),
        };
        Self { from, why }
    }
}

fn link_of(text: &str) -> Result<Given, Why> {
    Ok(Given::Link(text.parse()?))
}

fn torrent_of(bytes: Vec<u8>) -> Result<Given, Why> {
    let metainfo = parse(&bytes)?;
    Ok(Given::Torrent(Box::new(Torrent { metainfo, bytes })))
}

fn file(path: &Path) -> Result<Given, Why> {
    let file = open(path)?;
    torrent_of(read_all(file)?)
}

/// Reads the torrent at a path. If nothing is there, the text may be a bare info hash.
fn named(path: &Path) -> Result<Given, Why> {
    let text = path.to_str().unwrap_or_default().trim();
    match (file(path), Magnet::bare(text)) {
        (Err(Why::Missing), Some(magnet)) => Ok(Given::Link(magnet)),
        (Err(Why::Missing), None) => Err(missing(path, text)),
        (result, _) => result,
    }
}

/// Nothing is at a path: perhaps the user meant a URL or a command.
fn missing(path: &Path, text: &str) -> Why {
    let is_below_something = path
        .iter()
        .next()
        .is_some_and(|first| Path::new(first).exists());
    match (url::scheme(text), url::meant(text)) {
        (Some(scheme), _) if text.contains("://") => Why::Scheme(scheme.to_owned()),
        (_, Some(url)) if !is_below_something => Why::Meant(url),
        _ => near::command(text).map_or(Why::Missing, Why::Command),
    }
}

/// Returns the path of a `file:` URI ([RFC 8089](https://www.rfc-editor.org/rfc/rfc8089)).
fn file_of(uri: &str) -> Result<PathBuf, Why> {
    let (_, rest) = uri.split_once(':').unwrap_or_default();
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(Why::OtherHost(host.to_owned()));
            }
            path
        }
    };
    Ok(OsString::from_vec(url::unescaped(path)).into())
}

fn open(path: &Path) -> Result<File, Why> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Why::Missing,
        _ => Why::Io(error),
    };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(Why::Folder);
    }
    // A pipe has no length yet; `read_all` limits it.
    if about.len() > MAX_TORRENT_LEN as u64 {
        return Err(Why::TooLarge);
    }
    Ok(file)
}

fn read_all(from: impl Read) -> Result<Vec<u8>, Why> {
    let mut bytes = Vec::new();
    let mut from = from.take(MAX_TORRENT_LEN as u64 + 1);
    from.read_to_end(&mut bytes).map_err(|error| {
        // While it reads a body, ureq wraps its errors in an `io::Error`.
        match error.downcast::<ureq::Error>() {
            Ok(error) => trouble(error),
            Err(error) => Why::Io(error),
        }
    })?;
    if bytes.len() > MAX_TORRENT_LEN {
        return Err(Why::TooLarge);
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Metainfo, Why> {
    match bytes.trim_ascii_start().first() {
        None => Err(Why::Empty),
        Some(b'<') => Err(Why::WebPage),
        Some(_) => Ok(metainfo::parse(bytes)?),
    }
}

/// Fetches a URL. A redirect may lead to a magnet link.
fn fetch(url: &str, door: &Door) -> Result<(Given, Teller), Why> {
    // First: the server is not to blame for our own address or the proxy.
    door.find_address().map_err(Why::Barred)?;
    door.find_proxy().map_err(Why::Barred)?;
    let config = Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE));
    let client = Client::new(config, door);
    // The user named this URL, so it may even be on this machine.
    let mut hop = Hop::new(url, Teller::User.nearest(Reach::Machine));
    for _ in 0..=MAX_REDIRECTS {
        let answer = client.ask(&hop, |request| request).map_err(trouble)?;
        let teller = Teller::Server(http::sender(&answer));
        hop = match hop.redirect(&answer) {
            Redirect::None => {
                let given = body_of(answer).and_then(torrent_of)?;
                return Ok((given, teller));
            }
            Redirect::To(next) => next,
            Redirect::Elsewhere(to) => return elsewhere(&to).map(|link| (link, teller)),
        };
    }
    Err(Why::Redirects)
}

/// Follows a redirect to no web server: only a magnet link is accepted.
fn elsewhere(to: &str) -> Result<Given, Why> {
    match url::scheme(to).map(str::to_ascii_lowercase).as_deref() {
        Some("magnet") => link_of(to),
        None | Some("http" | "https") => Err(Why::BadRedirect(url::shown(to))),
        Some(scheme) => Err(Why::RedirectScheme(scheme.to_owned())),
    }
}

fn body_of(mut answer: Response<Body>) -> Result<Vec<u8>, Why> {
    let status = answer.status();
    if !status.is_success() {
        return Err(Why::Status(status.to_string()));
    }
    let limit = MAX_TORRENT_LEN as u64;
    let length = answer.body().content_length();
    if length.is_some_and(|length| length > limit) {
        return Err(Why::TooLarge);
    }
    read_all(answer.body_mut().as_reader())
}

fn trouble(error: ureq::Error) -> Why {
    let error = match barred(error) {
        Ok(barred) => {
            let way = match barred {
                Barred::TooNear(_) => "; if you want what is there, give its own URL",
                Barred::Certificate { .. } => {
                    "; if you trust who signed it, name his certificate in SSL_CERT_FILE"
                }
                Barred::Proxy(..) => "; check the proxy",
                _ => "",
            };
            return Why::Barred(format!("{barred}{way}"));
        }
        Err(error) => error,
    };
    match error {
        ureq::Error::Timeout(_) => Why::Silent,
        ureq::Error::BodyExceedsLimit(_) => Why::TooLarge,
        ureq::Error::Io(error) => Why::Http(error.to_string()),
        error => Why::Http(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::human::chain;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    const HASH: &str = "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36";

    /// A torrent of three files of 1 byte; the second is padding.
    fn torrent() -> Vec<u8> {
        let file =
            |name: &str, attr: &str| format!("d{attr}6:lengthi1e4:pathl{}:{name}ee", name.len());
        let files = file("a", "") + &file("p", "4:attr1:p") + &file("b", "");
        let hash = "x".repeat(20);
        let info = format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
        format!("d4:info{info}e").into_bytes()
    }

    /// Starts a server that gives one of `answers` per connection, and returns its URL.
    fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x y.torrent#top", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
    }

    #[test]
    fn files_and_what_is_wrong_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("good", &torrent());
        write("empty", b"");
        write("blank", b"\n \n");
        write("page", b"\n<!DOCTYPE html>");
        write("text", b"hello");
        let huge = File::create(dir.path().join("huge")).unwrap();
        huge.set_len(MAX_TORRENT_LEN as u64 + 1).unwrap();
        let cases = [
            ("missing", "there is no such file"),
            ("good/x", "there is no such file"),
            (".", "it is a folder"),
            ("empty", "it is empty"),
            ("blank", "it is empty"),
            ("page", "it is a web page"),
            ("text", "it is not a torrent"),
            ("huge", "more than 32 MiB"),
        ];
        for (name, why) in cases {
            let path = dir.path().join(name);
            let text = chain(&read(&Source::Path(path.clone()), &Door::default()).unwrap_err());
            let start = format!("cannot read {}: ", path.display());
            assert!(text.starts_with(&start) && text.contains(why), "{text}");
        }
        let good = read(&Source::Path(dir.path().join("good")), &Door::default()).unwrap();
        assert_eq!((good.bytes, &*good.metainfo.name), (torrent(), "n"));
        let link = Source::Magnet(format!("magnet:?xt=urn:btih:{HASH}"));
        let magnet = read(&link, &Door::default()).unwrap_err();
        assert!(chain(&magnet).contains("does not say what"));
    }

    #[test]
    fn file_uris() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("größe 100%.torrent");
        std::fs::write(&path, torrent()).unwrap();
        let dir = dir.path().display();
        for start in ["file://", "FILE://localhost", "file:"] {
            let uri = format!("{start}{dir}/gr%C3%B6%c3%9fe%20100%25.torrent");
            let good = read(&Source::FileUri(uri), &Door::default()).unwrap();
            assert_eq!(&*good.metainfo.name, "n");
        }
        for (uri, why) in [
            (
                "file://elsewhere.example/x",
                "another machine, elsewhere.example; copy",
            ),
            ("file:///no/such/x", "no such file; check"),
            ("file:///tmp/%00", "NUL"),
            ("file:///tmp", "it is a folder"),
        ] {
            let text = chain(&given(&Source::FileUri(uri.into()), &Door::default()).unwrap_err());
            assert!(
                text.starts_with("cannot read file:") && text.contains(why),
                "{text}"
            );
        }
    }

    #[test]
    fn what_else_a_missing_file_may_mean() {
        let base32 = "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6RW";
        for text in [HASH, base32] {
            match given(&Source::Path(text.into()), &Door::default()) {
                Ok((Given::Link(magnet), _)) => assert_eq!(magnet.info_hash.to_string(), HASH),
                other => panic!("{text}: {other:?}"),
            }
        }
        for (text, why) in [
            (
                "example.org/x.torrent",
                "did you mean https://example.org/x.torrent?",
            ),
            ("ftp://example.org/x", "ftp: URLs cannot be fetched"),
            ("dir/x.torrent", "no such file; check the path"),
            (&HASH[1..], "no such file; check the path"),
            ("shwo", "did you mean the command `storrent show`?"),
        ] {
            let text = chain(&given(&Source::Path(text.into()), &Door::default()).unwrap_err());
            assert!(text.contains(why), "{text}");
        }
        // A file that exists wins over an info hash.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(HASH);
        std::fs::write(&path, torrent()).unwrap();
        assert!(read(&Source::Path(path), &Door::default()).is_ok());
    }

    #[test]
    fn redirects_to_links() {
        let to = |to: &str| vec![answer("302 Found", &format!("Location: {to}\r\n"), "")];
        let link = format!("magnet:?xt=urn:btih:{HASH}&dn=a b");
        match given(&Source::Url(server(to(&link))), &Door::default()) {
            Ok((Given::Link(magnet), _)) => assert_eq!(magnet.name.as_deref(), Some("a b")),
            other => panic!("{other:?}"),
        }
        for (link, why) in [
            ("file:///etc/passwd", "redirects to a file: URL, and only"),
            ("FTP://h/x", "redirects to a ftp: URL"),
            ("magnet:?dn=x", "names no torrent"),
            ("http://", "is no URL"),
            ("", "is no URL"),
        ] {
            let text = chain(&given(&Source::Url(server(to(link))), &Door::default()).unwrap_err());
            assert!(
                text.starts_with("cannot read http:") && text.contains(why),
                "{text}"
            );
        }
    }

    #[test]
    fn urls_and_what_is_wrong_with_them() {
        let good = String::from_utf8(torrent()).unwrap();
        let moved = || answer("302 Found", "Location: /elsewhere\r\n", "");
        let huge = "Content-Length: 999999999\r\n";
        let cases = [
            (vec![answer("200 OK", "", &good)], None),
            (vec![moved(), answer("200 OK", "", &good)], None),
            (
                vec![answer("404 Not Found", "", "<html>")],
                Some("404 Not Found; check"),
            ),
            (vec![answer("200 OK", "", "<html>")], Some("a web page")),
            (vec![answer("200 OK", "", "")], Some("empty")),
            (
                vec![format!("HTTP/1.1 200 OK\r\n{huge}\r\nd")],
                Some("more than 32 MiB"),
            ),
            (
                vec!["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd".into()],
                Some("cannot read http"),
            ),
            (
                (0..12).map(|_| moved()).collect(),
                Some("redirects more than 10 times"),
            ),
            (vec!["nonsense\r\n\r\n".into()], Some("cannot read http")),
        ];
        for (answers, why) in cases {
            for bind in [None, Some([127, 0, 0, 1].into())] {
                let url = server(answers.clone());
                let door = Door {
                    bind,
                    ..Door::default()
                };
                match (read(&Source::Url(url), &door), why) {
                    (Ok(torrent), None) => assert_eq!(torrent.metainfo.name, "n"),
                    (Err(error), Some(why)) => {
                        let text = chain(&error);
                        assert!(text.contains(why), "{text}");
                    }
                    (other, why) => panic!("{other:?}, expected {why:?}"),
                }
            }
        }
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = given(&Source::Url(format!("http://{nobody}/")), &Door::default()).unwrap_err();
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }
}
