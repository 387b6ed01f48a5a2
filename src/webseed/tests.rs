//! The web seed's thread over loopback, with a scripted server and the test in the role of
//! main.

use super::*;
use crate::layout::{BLOCK_LEN, Span};
use crate::storage::testing;
use crossbeam_channel::{Sender, unbounded};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// How long a test waits for what must come: less than any silence that the thread itself bears.
const PATIENCE: Duration = Duration::from_secs(15);

const BLOCK: u64 = BLOCK_LEN as u64;

/// What the server does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    /// Sends nothing more, until the other side hangs up.
    Stay,
}

/// The first and the last byte of the requested range.
type Bytes = (usize, usize);

/// What the server sends, and what it does then.
type Reply = (Vec<u8>, Then);

/// Answers the `n`th request, from 0, with what `answer` returns for its path and range.
/// Returns the URL, and a channel with the heads of the requests.
fn server(
    answer: impl Fn(usize, &str, Bytes) -> Reply + Send + Sync + 'static,
) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pub/", listener.local_addr().unwrap());
    let (note, heads) = unbounded();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let (answer, note) = (answer.clone(), note.clone());
            std::thread::spawn(move || serve(n, stream, &*answer, &note));
        }
    });
    (url, heads)
}

fn serve(
    n: usize,
    mut stream: TcpStream,
    answer: &impl Fn(usize, &str, Bytes) -> Reply,
    note: &Sender<String>,
) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let lines = lines.map_while(Result::ok).take_while(|l| !l.is_empty());
    let head: Vec<String> = lines.collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    let range = head.iter().find_map(|l| l.strip_prefix("range: bytes="));
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap();
    let range = (first.parse().unwrap(), last.parse().unwrap());
    let _ = note.send(head.join("\n"));
    let (bytes, then) = answer(n, path, range);
    let _ = stream.write_all(&bytes);
    if then == Then::Stay {
        // The client's hang-up is an error or the end of the stream.
        while stream.read(&mut [0; 99]).is_ok_and(|n| n > 0) {}
        let _ = note.send(format!("{n} hung up"));
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n");
    [head.as_bytes(), headers.as_bytes(), b"\r\n", body].concat()
}

/// The right answer for this range of `file`.
fn part(file: &[u8], (first, last): Bytes) -> Vec<u8> {
    let range = format!("Content-Range: bytes {first}-{last}/{}\r\n", file.len());
    response("206 Partial Content", &range, &file[first..=last])
}

/// A torrent with a folder of its own, and the web seed's thread that fetches it.
struct Scene {
    torrent: Arc<testing::Torrent>,
    storage: Arc<Storage>,
    orders: Option<Sender<Order>>,
    events: Receiver<(PeerKey, PeerEvent)>,
    _temp: tempfile::TempDir,
}

impl Scene {
    fn new(torrent: &Arc<testing::Torrent>, url: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.begun_all(temp.path());
        let seed = WebSeed {
            url: url.into(),
            name: "t".into(),
            multi_file: true,
            storage: storage.clone(),
            max_open: 2,
            door: Door {
                bind: Some(Ipv4Addr::LOCALHOST.into()),
                ..Door::default()
            },
            nearest: Reach::Machine,
        };
        let ((orders, to_obey), (tell, events)) = (unbounded(), unbounded());
        spawn(PeerKey(7), seed, to_obey, tell.into()).unwrap();
        Self {
            torrent: torrent.clone(),
            storage,
            orders: Some(orders),
            events,
            _temp: temp,
        }
    }

    fn say(&self, command: Command) {
        // The last event of a thread that is gone says so.
        let orders = self.orders.as_ref();
        let _ = orders.map(|orders| orders.send(Order::Do(command)));
    }

    fn everything(&self) -> Vec<Span> {
        let layout = &self.torrent.layout;
        let pieces = layout.all_pieces();
        pieces.filter_map(|p| layout.span(p, 0..u32::MAX)).collect()
    }

    /// Returns the next event other than traffic.
    fn event(&self) -> PeerEvent {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("no event came") {
                (PeerKey(7), PeerEvent::Traffic { .. }) => {}
                (PeerKey(7), event) => return event,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns the next event other than a question for work, and grants none.
    fn answer(&self) -> PeerEvent {
        loop {
            match self.event() {
                PeerEvent::Want(_) => self.say(Command::Fetch(Vec::new())),
                event => return event,
            }
        }
    }

    /// Waits until the thread asks for work, and grants it these spans.
    fn give(&self, spans: Vec<Span>) {
        assert!(matches!(self.event(), PeerEvent::Want(_)));
        self.say(Command::Fetch(spans));
    }

    /// Grants nothing more. Collects the events until this many blocks are stored, or until the
    /// thread ends.
    fn told(&self, mut blocks: u32) -> Vec<PeerEvent> {
        let mut told = Vec::new();
        while blocks > 0 {
            match self.answer() {
                PeerEvent::Stored(spans) => {
                    blocks -= spans.iter().map(|span| span.count()).sum::<u32>();
                }
                PeerEvent::Closed(why) => {
                    told.push(PeerEvent::Closed(why));
                    let after = self.events.recv_timeout(Duration::from_millis(50));
                    assert!(after.is_err(), "after the end: {after:?}");
                    break;
                }
                event => told.push(event),
            }
        }
        told
    }

    fn is_whole(&self) -> bool {
        let mut data = vec![0; self.torrent.data.len()];
        self.storage.files(2).read(0, &mut data).unwrap();
        data == self.torrent.data
    }

    fn hang_up(&mut self) {
        self.orders = None;
        assert_eq!(self.told(1), [PeerEvent::Closed("no longer needed".into())]);
    }
}

/// Three pieces of two blocks each; two files with padding between them.
fn torrent() -> Arc<testing::Torrent> {
    let files = [
        (3 * BLOCK + 5, false),
        (BLOCK - 5, true),
        (2 * BLOCK, false),
    ];
    Arc::new(testing::Torrent::new(2 * BLOCK, &files))
}

fn files(torrent: &testing::Torrent) -> [Vec<u8>; 2] {
    [0, 2].map(|file| {
        let range = torrent.layout.file_range(file);
        torrent.data[range.start as usize..range.end as usize].to_vec()
    })
}

#[test]
fn files_are_fetched_by_their_names_without_padding() {
    let torrent = torrent();
    let data = files(&torrent);
    let (url, heads) = server(move |_, path, range| match path {
        "/pub/t/0" => (part(&data[0], range), Then::Close),
        "/pub/t/2" => (part(&data[1], range), Then::Close),
        _ => (response("404 Not Found", "", b""), Then::Close),
    });
    let mut scene = Scene::new(&torrent, &url);
    scene.give(scene.everything());
    assert_eq!(scene.told(6), []);
    assert!(scene.is_whole());
    let heads: Vec<String> = heads.try_iter().collect();
    assert_eq!(heads.len(), 2, "{heads:#?}");
    for (head, range) in heads.iter().zip(["0-49156", "0-32767"]) {
        assert!(head.contains(&format!("\nrange: bytes={range}")), "{head}");
        assert!(head.contains("\naccept-encoding: identity"), "{head}");
    }
    // Work that main grants unasked is fetched, too.
    scene.say(Command::Fetch(scene.everything()));
    assert_eq!(scene.told(6), []);
    scene.hang_up();
}

#[test]
fn main_is_obeyed_at_once_whatever_the_server_does() {
    for hangs in [0, 30, 70, 1000, 40_000] {
        let torrent = torrent();
        let data = files(&torrent);
        let (url, heads) = server(move |n, path, range| {
            let file = &data[usize::from(path.ends_with("/2"))];
            let mut answer = part(file, range);
            if n > 0 {
                return (answer, Then::Close);
            }
            answer.truncate(hangs);
            (answer, Then::Stay)
        });
        let mut scene = Scene::new(&torrent, &url);
        scene.give(scene.everything());
        heads.recv_timeout(PATIENCE).unwrap();
        scene.say(Command::Cancel(scene.everything()));
        let told = loop {
            match scene.answer() {
                PeerEvent::Stored(_) => {}
                event => break event,
            }
        };
        assert_eq!(told, PeerEvent::Cancelled(scene.everything()));
        let gone = heads.recv_timeout(PATIENCE).unwrap();
        assert_eq!(gone, "0 hung up", "after {hangs} bytes");
        // The same work once more needs a new connection.
        scene.say(Command::Fetch(scene.everything()));
        assert_eq!(scene.told(6), [], "after {hangs} bytes");
        assert!(scene.is_whole());
        scene.hang_up();

        let (url, heads) = server(move |_, _, range| {
            let mut answer = part(&vec![0; 49157], range);
            answer.truncate(hangs);
            (answer, Then::Stay)
        });
        let mut scene = Scene::new(&torrent, &url);
        scene.give(scene.everything());
        heads.recv_timeout(PATIENCE).unwrap();
        scene.orders = None;
        let end = PeerEvent::Closed("no longer needed".into());
        assert_eq!(scene.told(99).last(), Some(&end));
        assert_eq!(heads.recv_timeout(PATIENCE).unwrap(), "0 hung up");
    }
}

/// Main cancels the first part of the work. A short gap in the answer is skipped; a long one costs
/// a new request. Neither is written.
#[test]
fn a_cancel_in_the_midst_of_an_answer() {
    let blocks = 64;
    let torrent = testing::Torrent::new(blocks * BLOCK, &[(blocks * BLOCK, false)]);
    let torrent = Arc::new(torrent);
    for (cancelled, requests) in [(1..5, 1), (1..40, 2)] {
        let data = torrent.data.clone();
        let (go, wait) = unbounded::<()>();
        let (url, heads) = server(move |n, _, range| {
            if n == 0 {
                wait.recv_timeout(PATIENCE).unwrap();
            }
            (part(&data, range), Then::Close)
        });
        let mut scene = Scene::new(&torrent, &url);
        scene.give(scene.everything());
        heads.recv_timeout(PATIENCE).unwrap();
        let piece = torrent.piece(0);
        let span = |numbers| torrent.layout.span(piece, numbers).unwrap();
        let cancel = vec![span(cancelled.clone())];
        // Block 0 is still needed, so the request continues. After the next cancel it is not.
        scene.say(Command::Cancel(cancel.clone()));
        assert!(matches!(scene.answer(), PeerEvent::Cancelled(_)));
        scene.say(Command::Cancel(vec![span(0..1)]));
        assert!(matches!(scene.answer(), PeerEvent::Cancelled(_)));
        go.send(()).unwrap();
        assert_eq!(scene.told(blocks as u32 - cancelled.end), []);
        assert_eq!(1 + heads.try_iter().count(), requests);
        let mut data = torrent.data.clone();
        data[..cancelled.end as usize * BLOCK as usize].fill(0);
        let mut disk = vec![1; data.len()];
        scene.storage.files(2).read(0, &mut disk).unwrap();
        assert!(disk == data, "what was cancelled was not written");
        scene.hang_up();
    }
}

fn end(answer: impl Fn(usize, &str, Bytes) -> Reply + Send + Sync + 'static) -> Vec<PeerEvent> {
    let (url, _) = server(answer);
    let scene = Scene::new(&torrent(), &url);
    scene.give(scene.everything());
    let mut told = scene.told(99);
    told.retain(|event| !matches!(event, PeerEvent::Released(..)));
    told
}

fn closed(why: &str) -> PeerEvent {
    PeerEvent::Closed(why.into())
}

#[test]
fn servers_that_fail_end_with_the_reason() {
    let busy = end(|_, _, _| {
        let headers = "Retry-After: 77\r\n";
        (response("503 Busy", headers, b"later"), Then::Close)
    });
    let pause = PeerEvent::Web(Web::ComeBack(Duration::from_secs(77)));
    let why = closed("the server answered 503, to come back in 1 min 17 s");
    assert_eq!(busy, [pause, why]);
    let ill = end(|_, _, _| (response("500 Ill", "", b""), Then::Close));
    assert_eq!(ill, [closed("the server answered 500")]);
    let short = end(|_, _, range| {
        let mut answer = part(&[7; 49157], range);
        answer.truncate(answer.len() - 49157 + 16383);
        (answer, Then::Close)
    });
    assert!(matches!(&short[..], [PeerEvent::Closed(_)]), "{short:?}");
    let garbage = end(|_, _, _| (b"SSH-2.0-x\r\n\r\n".to_vec(), Then::Close));
    assert!(
        matches!(&garbage[..], [PeerEvent::Closed(_)]),
        "{garbage:?}"
    );
    let head = end(|_, _, _| {
        let long = format!("X: {}\r\n", "x".repeat(20_000));
        (response("206 Partial Content", &long, b""), Then::Close)
    });
    assert!(matches!(&head[..], [PeerEvent::Closed(_)]), "{head:?}");
    let nobody = Scene::new(&torrent(), "http://127.0.0.1:1/");
    nobody.give(nobody.everything());
    assert!(
        matches!(&nobody.told(99)[..], [PeerEvent::Closed(end)] if end.text.contains("refused"))
    );
}

/// Each error concerns one file: the thread tries both files, gives both back, and lives on.
#[test]
fn files_that_are_not_there_are_told_one_by_one() {
    type Answer = fn(Bytes) -> Vec<u8>;
    let cases: [(&str, Answer); 8] = [
        ("the server answered 404", |_| response("404 No", "", b"no")),
        ("the file there has 5 bytes", |_| {
            response("200 OK", "", b"hello")
        }),
        ("did not send the bytes that were asked for", |_| {
            let headers = "Content-Range: bytes 1-5/*\r\n";
            response("206 Partial Content", headers, b"hello")
        }),
        ("compresses what it sends (br)", |_| {
            response("200 OK", "Content-Encoding: br\r\n", b"hello")
        }),
        ("compresses what it sends (gzip)", |_| {
            response(
                "200 OK",
                "Content-Encoding: gzip\r\n",
                b"hello, I am not gzip",
            )
        }),
        ("redirects too many times", |_| {
            response("302 Found", "Location: /pub/again\r\n", b"here")
        }),
        ("\"file:///…\", which is no HTTP URL", |_| {
            response("301 Moved", "Location: file:///etc/passwd\r\n", b"")
        }),
        ("\"\", which is no HTTP URL", |_| {
            response("307 Moved", "", b"")
        }),
    ];
    for (why, reply) in cases {
        let (url, _) = server(move |_, _, range| (reply(range), Then::Close));
        let mut scene = Scene::new(&torrent(), &url);
        scene.give(scene.everything());
        let told: Vec<PeerEvent> = (0..4).map(|_| scene.answer()).collect();
        let all = scene.everything();
        let [
            PeerEvent::Web(Web::Lacks {
                file: 0,
                why: first,
            }),
            PeerEvent::Released(spans, _),
            PeerEvent::Web(Web::Lacks { file: 2, .. }),
            PeerEvent::Released(rest, _),
        ] = &told[..]
        else {
            panic!("{why}: {told:?}");
        };
        assert!(first.contains(why), "{first:?} and not {why:?}");
        assert_eq!((&spans[..], &rest[..]), (&all[..2], &all[2..]));
        // The thread asks for other work, and gives back at once what main granted before it
        // knew.
        scene.give(vec![all[2]]);
        assert_eq!(
            scene.event(),
            PeerEvent::Released(vec![all[2]], GivenBack::Refused)
        );
        scene.hang_up();
    }
}

#[test]
fn answers_that_are_odd_but_good() {
    let torrent = torrent();
    type Answer = fn(&[u8], Bytes, usize) -> Vec<u8>;
    let cases: [(&str, Answer); 7] = [
        ("all of the file", |file, _, _| response("200 OK", "", file)),
        ("of no told length", |file, _, _| {
            [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", file].concat()
        }),
        ("in chunks", |file, (first, last), _| {
            let part = &file[first..=last];
            let head = format!(
                "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/*\r\n\
                 Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n",
                part.len()
            );
            [head.as_bytes(), part, b"\r\n0\r\n\r\n"].concat()
        }),
        ("longer than asked for", |file, (first, last), _| {
            let range = format!("Content-Range: bytes {first}-{last}/*\r\n");
            let more = [&file[first..=last], &[9; 100_000]].concat();
            response("206 Partial Content", &range, &more)
        }),
        ("cut short each time", |file, range, _| {
            let mut answer = part(file, range);
            let len = range.1 + 1 - range.0;
            answer.truncate(answer.len() - len + len.min(BLOCK as usize + 99));
            answer
        }),
        ("nothing at times", |file, range, n| match n % 2 {
            0 => part(file, (range.0, range.1.min(range.0 + BLOCK as usize - 1))),
            _ => Vec::new(),
        }),
        ("a redirect at first", |file, range, n| match n {
            0 => response("302 Found", "Location: ../t/0\r\n", b"look elsewhere"),
            // The second time, the redirect's target has nothing any more.
            2 => response("404 Not Found", "", b""),
            _ => part(file, (range.0, range.1.min(range.0 + BLOCK as usize))),
        }),
    ];
    for (name, reply) in cases {
        let data = files(&torrent);
        let (url, _) = server(move |n, path, range| {
            let file = &data[usize::from(path.ends_with("/2"))];
            (reply(file, range, n), Then::Close)
        });
        let mut scene = Scene::new(&torrent, &url);
        scene.give(scene.everything());
        assert_eq!(scene.told(6), [], "{name}");
        assert!(scene.is_whole(), "{name}");
        scene.hang_up();
    }
}

#[test]
fn where_a_file_is() {
    let seed = |url: &str, multi_file| {
        let storage = torrent().wanting_all(std::path::Path::new("/nowhere"));
        let seed = WebSeed {
            url: url.into(),
            name: "a%20b".into(),
            multi_file,
            storage,
            max_open: 1,
            door: Door::default(),
            nearest: Reach::Machine,
        };
        [0, 1].map(|file| seed.url_of(file * 2))
    };
    let folder = ["http://h/x/a%20b/0", "http://h/x/a%20b/2"];
    assert_eq!(seed("http://h/x/", true), folder);
    assert_eq!(seed("http://h/x", true), folder);
    assert_eq!(seed("http://h/ä b/", false)[0], "http://h/%C3%A4%20b/a%20b");
    assert_eq!(seed("http://h/x.iso?y#z", false)[0], "http://h/x.iso?y");
}
