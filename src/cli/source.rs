//! Reads a SOURCE: a `.torrent` from a path, from standard input, or from the web.
//!
//! What can go wrong here is mostly the user's own small mistakes: a folder, a web page
//! saved in place of the torrent, a URL that has moved. So the messages are kind: each
//! says what to do. Nothing larger than [`MAX_TORRENT_LEN`] is ever read whole.

use super::values::Source;
use crate::config::Subject;
use crate::http;
use crate::magnet::MagnetError;
use crate::metainfo::{self, MAX_TORRENT_LEN, Metainfo, MetainfoError};
use crate::url;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use ureq::Agent;

/// How long an HTTP server may take for the next byte, and for the connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most HTTP redirects followed.
const MAX_REDIRECTS: u32 = 10;

/// A torrent as it was read.
#[derive(Debug)]
pub struct Torrent {
    /// What it holds.
    pub metainfo: Metainfo,
    /// The bytes of the `.torrent`, to be saved elsewhere.
    pub bytes: Vec<u8>,
}

/// Why a SOURCE is no torrent.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {from}")]
pub struct SourceError {
    /// The SOURCE as the user gave it, safe to print.
    pub from: String,
    /// Why not, and what to do.
    #[source]
    pub why: Why,
}

/// What is wrong with a SOURCE.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Nothing there.
    #[error("there is no such file; check the path")]
    Missing,
    /// A folder is no torrent.
    #[error("it is a folder; give a .torrent file (`storrent create` makes one of a folder)")]
    Folder,
    /// The disk, or standard input, failed.
    #[error("{0}")]
    Io(io::Error),
    /// Nothing in it.
    #[error("it is empty; fetch the .torrent again")]
    Empty,
    /// More than a torrent can have.
    #[error("it has more than 32 MiB, so it is no torrent; give the .torrent, not the data")]
    TooLarge,
    /// A page where a torrent was expected.
    #[error("it is a web page, not a torrent; open it in a browser and fetch the .torrent itself")]
    WebPage,
    /// Not a torrent, or a broken one.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
    /// The server's answer is not 200.
    #[error("the server answered {0}; check the URL")]
    Status(String),
    /// No connection, one that broke, or nonsense from the server.
    #[error("{0}; check the URL and the connection")]
    Http(String),
    /// The server went silent.
    #[error("the server was silent for {} s; try again later", PATIENCE.as_secs())]
    Silent,
    /// In a circle, or nearly.
    #[error("it redirects more than {MAX_REDIRECTS} times; check the URL")]
    Redirects,
    /// A magnet link that names no torrent that we could find.
    #[error("{0}")]
    Magnet(#[from] MagnetError),
    /// A magnet link where the data of a torrent is needed at once.
    #[error(
        "a magnet link does not say what the torrent holds; `storrent show LINK -o FILE` saves a .torrent"
    )]
    OnlyALink,
}

/// What a SOURCE tells at once: all of a torrent, or what a magnet link says. `bind`: the
/// local address to fetch a URL from.
///
/// # Errors
/// [`SourceError`], if it can't be read or is neither.
pub fn subject(source: &Source, bind: Option<IpAddr>) -> Result<Subject, SourceError> {
    match source {
        Source::Magnet(link) => match link.parse() {
            Ok(magnet) => Ok(Subject::Link(magnet)),
            Err(error) => Err(SourceError {
                from: source.to_string(),
                why: Why::Magnet(error),
            }),
        },
        _ => read(source, bind).map(|torrent| Subject::Torrent(Box::new(torrent.metainfo))),
    }
}

/// Reads and checks one SOURCE that is no magnet link; `bind` as in [`subject`].
///
/// # Errors
/// [`SourceError`], if it can't be read or is no torrent.
pub fn read(source: &Source, bind: Option<IpAddr>) -> Result<Torrent, SourceError> {
    let bytes = match source {
        Source::Path(path) => open(path).and_then(|file| read_all(file, Vec::new())),
        Source::Stdin => read_all(io::stdin().lock(), Vec::new()),
        Source::Url(url) => fetch(url, bind),
        Source::Magnet(_) => Err(Why::OnlyALink),
    };
    let torrent = bytes.and_then(|bytes| {
        let metainfo = parse(&bytes)?;
        Ok(Torrent { metainfo, bytes })
    });
    torrent.map_err(|why| SourceError {
        from: match source {
            Source::Stdin => "standard input".to_string(),
            _ => source.to_string(),
        },
        why,
    })
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
    // A pipe has no length; `read_all` stops that one in time.
    if about.len() > MAX_TORRENT_LEN as u64 {
        return Err(Why::TooLarge);
    }
    Ok(file)
}

fn read_all(from: impl Read, mut bytes: Vec<u8>) -> Result<Vec<u8>, Why> {
    let mut from = from.take(MAX_TORRENT_LEN as u64 + 1);
    from.read_to_end(&mut bytes).map_err(|error| {
        // ureq's own errors come wrapped from the body of an answer.
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

fn fetch(url: &str, bind: Option<IpAddr>) -> Result<Vec<u8>, Why> {
    let config = Agent::config_builder()
        .user_agent(http::USER_AGENT)
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE));
    let agent = http::agent(config, bind);
    let mut answer = agent.get(url::requestable(url)).call().map_err(trouble)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(Why::Status(status.to_string()));
    }
    let limit = MAX_TORRENT_LEN as u64;
    if answer
        .body()
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(Why::TooLarge);
    }
    read_all(answer.body_mut().as_reader(), Vec::new())
}

fn trouble(error: ureq::Error) -> Why {
    match error {
        ureq::Error::Timeout(_) => Why::Silent,
        ureq::Error::TooManyRedirects => Why::Redirects,
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

    /// A torrent of three files of 1 byte, the second of them padding.
    fn torrent() -> Vec<u8> {
        let file =
            |name: &str, attr: &str| format!("d{attr}6:lengthi1e4:pathl{}:{name}ee", name.len());
        let files = file("a", "") + &file("p", "4:attr1:p") + &file("b", "");
        let hash = "x".repeat(20);
        let info = format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
        format!("d4:info{info}e").into_bytes()
    }

    /// Answers each connection with the next of `answers`; returns the URL.
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
            let text = chain(&read(&Source::Path(path.clone()), None).unwrap_err());
            let start = format!("cannot read {}: ", path.display());
            assert!(text.starts_with(&start) && text.contains(why), "{text}");
        }
        let good = read(&Source::Path(dir.path().join("good")), None).unwrap();
        assert_eq!((good.bytes, &*good.metainfo.name), (torrent(), "n"));
        let magnet = read(&Source::Magnet("magnet:?x".into()), None).unwrap_err();
        assert!(chain(&magnet).contains("does not say what"));
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
                match (read(&Source::Url(url), bind), why) {
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
        let error = read(&Source::Url(format!("http://{nobody}/")), None).unwrap_err();
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }
}
