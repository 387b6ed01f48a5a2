//! The HTTP client ([RFC 9110]) of this program: for trackers, web seeds, and a SOURCE that is a
//! URL. It is `ureq`, plus what `ureq` lacks.
//!
//! - Connections are bound to the address of `--bind`, and go [through a proxy](super::tunnel) if
//!   there is one. [`wire`] makes them.
//! - A server on the internet can't make us send requests to the user's machine or network:
//!   [`Rules`] judge each address before we dial it, and each [`Hop`] remembers who named its URL.
//! - Redirects are followed here, one [`Hop`] at a time. No hop takes a password to another server.
//! - [`resolve`] looks names up, because `ureq` panics if the system has no thread left.
//! - Answers whose [heads](head) are not quite well-formed are [repaired](mending).
//!
//! `ureq` accepts any connection type that implements its two traits. Ours is a chain: the wire at
//! the bottom, then TLS, then the repair of answers.
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110

pub mod head;
pub mod mending;
pub mod resolve;
pub mod roots;
pub mod rules;
pub mod wire;

use super::Door;
use super::ask::{Refusal, basic};
use super::environment::BadProxy;
use crate::address::Reach;
use crate::proxy::{Proxy, ProxyKind};
use crate::url;
use mending::Mending;
use resolve::Lookup;
use rules::Rules;
use std::sync::Arc;
use ureq::config::ConfigBuilder;
use ureq::http::header::{AUTHORIZATION, LOCATION};
use ureq::http::{Response, Uri};
use ureq::tls::TlsConfig;
use ureq::typestate::{AgentScope, WithoutBody};
use ureq::unversioned::transport::{Connector, RustlsConnector};
use ureq::{Agent, Body, Error, RequestBuilder};
use wire::Dial;

/// The `User-Agent` of our requests.
pub const USER_AGENT: &str = concat!("storrent/", env!("CARGO_PKG_VERSION"));

/// How many redirects are followed.
pub const MAX_REDIRECTS: usize = 10;

/// Why we don't ask a server, or don't believe it, although it may be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Barred {
    /// The server is on this machine or in its network. The author of its URL is not, or may not be.
    #[error(
        "{0} is on this machine or in its network, and whoever named it is not, as far as is known"
    )]
    TooNear(String),
    /// The environment names a proxy that can't be used.
    #[error(transparent)]
    Environment(BadProxy),
    /// The proxy does not connect us. Contains the reason.
    #[error("{0}")]
    Proxy(String),
    /// No authority that we trust vouches for the server's identity.
    #[error("the certificate of {host} is not trusted ({why})")]
    Certificate {
        /// The server.
        host: String,
        /// What is wrong with the certificate.
        why: String,
    },
}

impl Barred {
    /// Whether the obstacle stays until the user acts.
    pub fn is_for_the_user(&self) -> bool {
        !matches!(self, Self::Proxy(..))
    }
}

impl From<Barred> for Error {
    fn from(barred: Barred) -> Self {
        Self::Other(Box::new(barred))
    }
}

/// Extracts the [`Barred`] from an error that our own rules caused.
///
/// # Errors
/// Any other error, unchanged.
pub fn barred(error: Error) -> Result<Barred, Error> {
    match error {
        Error::Other(other) => match other.downcast() {
            Ok(barred) => Ok(*barred),
            Err(other) => Err(Error::Other(other)),
        },
        error => Err(error),
    }
}

/// An HTTP client. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// One agent for each [`Reach`], narrowest first: a connection made on the user's word is never
    /// reused for a URL that somebody else named.
    agents: [Agent; 3],
    door: Door,
}

impl Client {
    /// Makes a client with the settings of `config` that connects through `door`. It follows no
    /// redirects by itself, and an answer of any status is no error.
    pub fn new(config: ConfigBuilder<AgentScope>, door: &Door) -> Self {
        let tls = TlsConfig::builder().root_certs(roots::roots()).build();
        let config = config
            .user_agent(USER_AGENT)
            .proxy(None) // the wire does this
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let agent = |nearest| {
            let door = door.clone();
            let rules = Arc::new(Rules { door, nearest });
            let chain = Dial(rules.clone())
                .chain(RustlsConnector::default())
                .chain(Mending);
            Agent::with_parts(config.clone(), chain, Lookup(rules))
        };
        Self {
            agents: [Reach::Machine, Reach::LocalNetwork, Reach::World].map(agent),
            door: door.clone(),
        }
    }

    /// Sends a GET request. `with` adds headers or limits to it.
    ///
    /// # Errors
    /// [`Error`]; [`barred`] extracts those that our own rules caused.
    pub fn ask(
        &self,
        hop: &Hop,
        with: impl FnOnce(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
    ) -> Result<Response<Body>, Error> {
        let [machine, network, world] = &self.agents;
        let agent = match hop.nearest {
            Reach::Machine => machine,
            Reach::LocalNetwork => network,
            Reach::World => world,
        };
        let mut request = agent.get(&hop.url);
        if let Some(login) = &hop.login {
            request = request.header(AUTHORIZATION, login);
        }
        let answer = with(request).call().map_err(|error| hop.explained(error))?;
        match self.proxy_that_answers(hop, &answer) {
            Some(proxy) => {
                let refusal = match proxy.login {
                    None => Refusal::NoLogin,
                    Some(_) => Refusal::Login,
                };
                Err(Barred::Proxy(format!("the proxy {proxy} {refusal}")).into())
            }
            None => Ok(answer),
        }
    }

    /// Returns the proxy of a plain `http://` request if the proxy itself, not the server, demanded
    /// another password (status 407).
    fn proxy_that_answers(&self, hop: &Hop, answer: &Response<Body>) -> Option<Proxy> {
        let uri: Uri = hop.url.parse().ok()?;
        let is_plain = uri.scheme_str() == Some("http");
        let proxy = self.door.http_proxy(&uri).ok()??;
        let is_its = is_plain && answer.status() == 407 && proxy.kind == ProxyKind::Http;
        is_its.then_some(proxy)
    }

    /// Ends all requests in progress, of all clones. None of the clones can be used again.
    pub fn shutdown(&self) {
        self.agents
            .iter()
            .for_each(|agent| agent.clone().shutdown());
    }
}

/// One URL to request, and the limits that follow from who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Without name and password.
    url: String,
    /// Name and password, as the value of an `Authorization` header.
    login: Option<String>,
    /// The nearest address that may be dialled for it.
    nearest: Reach,
}

/// Where an answer redirects us.
#[derive(Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Nowhere: this is the answer itself.
    None,
    /// To this URL.
    To(Hop),
    /// To this target, which is no HTTP URL.
    Elsewhere(String),
}

impl Hop {
    /// The first hop of a chain: a URL, and the nearest address that may be dialled for it.
    pub fn new(url: &str, nearest: Reach) -> Self {
        let (url, login) = url::without_login(&url::requestable(url));
        let login = login.map(|(user, password)| basic(&user, &password));
        Self {
            url,
            login,
            nearest,
        }
    }

    /// The URL, without name and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads where this answer redirects us. The next server may be no nearer than the one that
    /// answered. Name and password are kept only if the server stays the same.
    pub fn redirect(&self, answer: &Response<Body>) -> Redirect {
        if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Redirect::None;
        }
        let to = answer.headers().get_all(LOCATION).iter().next_back();
        let to = to.map_or(&b""[..], |to| to.as_bytes());
        let to = String::from_utf8_lossy(to);
        let Some(url) = url::redirected(&self.url, &to) else {
            return Redirect::Elsewhere(to.into_owned());
        };
        let mut next = Self::new(&url, sender(answer));
        if next.login.is_none() && url::is_same_server(&self.url, &next.url) {
            next.login.clone_from(&self.login);
        }
        Redirect::To(next)
    }

    /// Adds the host to the error for an untrusted certificate: `rustls` does not name it.
    fn explained(&self, error: Error) -> Error {
        let text = match &error {
            Error::Io(error) => error.to_string(),
            Error::Rustls(error) => error.to_string(),
            // The original would print the whole URL, perhaps with a passkey.
            Error::BadUri(_) => return Error::BadUri(url::shown(&self.url)),
            _ => return error,
        };
        match text.strip_prefix("invalid peer certificate: ") {
            Some(why) => Barred::Certificate {
                host: url::shown(&self.url),
                why: why.to_owned(),
            }
            .into(),
            None => error,
        }
    }
}

/// How far away the sender of an answer is, by the line that [`mending`] added.
pub fn sender(answer: &Response<Body>) -> Reach {
    let line = answer.headers().get(head::SENDER);
    head::sender(line.map(|line| line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};
    use std::io::{BufRead, BufReader, Write};
    use std::net::{IpAddr, TcpListener};
    use std::thread;
    use std::time::Duration;

    /// On Linux, all of 127.0.0.0/8 is this machine.
    const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 7));

    /// A server that accepts one connection only. It answers each request for `/` with the
    /// client's address, and leaves all others unanswered. The channel reports each request.
    fn server() -> (String, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = unbounded();
        thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            let body = peer.ip().to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if line.starts_with("GET / ") {
                    let _ = write!(&stream, "{head}\r\n\r\n{body}");
                }
                if line.is_empty() {
                    let _ = seen.send(());
                }
            }
        });
        (url, requests)
    }

    /// A client bound to `ip`.
    fn client(config: ConfigBuilder<AgentScope>, ip: IpAddr) -> Client {
        let door = Door {
            bind: Some(ip),
            ..Door::default()
        };
        Client::new(config, &door)
    }

    fn get(client: &Client, url: &str) -> Result<Response<Body>, Error> {
        client.ask(&Hop::new(url, Reach::Machine), |request| request)
    }

    #[test]
    fn from_that_address_and_kept() {
        let (url, _) = server();
        let client = client(Agent::config_builder(), OURS);
        for _ in 0..2 {
            let mut answer = get(&client, &url).unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            assert_eq!(text, OURS.to_string());
        }
    }

    /// Such a proxy hangs up unannounced after its answer, so the connection must not be used
    /// for a second request.
    #[test]
    fn a_proxy_that_answers_once_on_each_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            // Keeps the connections open, so that only the proxy's silence shows that they are
            // useless.
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                lines.find(String::is_empty);
                let _ = write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
                kept.push(stream);
            }
        });
        let door = Door {
            proxy: Some(proxy.parse().unwrap()),
            ..Door::default()
        };
        let limit = Some(Duration::from_secs(20));
        let client = Client::new(Agent::config_builder().timeout_per_read(limit), &door);
        for _ in 0..2 {
            let mut answer = get(&client, "http://server.example/").unwrap();
            assert_eq!(answer.body_mut().read_to_string().unwrap(), "x");
        }
    }

    #[test]
    fn silence_ends() {
        let (url, _) = server();
        let limit = Some(Duration::from_millis(50));
        let client = client(Agent::config_builder().timeout_per_read(limit), OURS);
        let error = get(&client, &format!("{url}/silence")).unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }

    #[test]
    fn a_request_can_be_ended_from_outside() {
        let (url, requests) = server();
        let client = client(Agent::config_builder(), OURS);
        let asking = client.clone();
        let request = thread::spawn(move || get(&asking, &format!("{url}/silence")));
        requests.recv().unwrap();
        client.shutdown();
        assert!(request.join().unwrap().is_err());
    }

    #[test]
    fn an_address_of_the_other_kind_is_none() {
        let client = client(Agent::config_builder(), "::1".parse().unwrap());
        let error = get(&client, "http://127.0.0.1:9/").unwrap_err();
        assert!(matches!(error, Error::HostNotFound), "{error}");
    }
}
