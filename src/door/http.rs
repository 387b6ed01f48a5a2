//! The HTTP client ([RFC 9110]) with which this program asks web servers: trackers, web
//! seeds, and a SOURCE that is a URL. It is `ureq`, and what that lacks.
//!
//! - Connections begin at the address of `--bind`, and go [through a proxy](super::tunnel) where
//!   one is named. [`wire`] makes them.
//! - A server on the internet can't make us ask what is on the user's machine or in his
//!   network: [`Rules`] judge each address that is dialled, and a [`Hop`] knows who named
//!   its URL.
//! - Redirects are followed here, one [`Hop`] after the other, so that each is judged by
//!   who sent it, and none takes along a password that is another server's.
//! - Names are looked up by [`resolve`], as `ureq` panics where the system has no thread
//!   left; answers that are [not quite well-formed](head) are [put right](mending).
//!
//! `ureq` takes its connections from anybody who implements its two traits: lowest is
//! the wire, then comes TLS, and on top what puts answers right.
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
use crate::proxy::{Proxy, ProxyKind};
use crate::reach::Reach;
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

/// What we call ourselves in a request.
pub const USER_AGENT: &str = concat!("storrent/", env!("CARGO_PKG_VERSION"));

/// The most redirects that are followed.
pub const MAX_REDIRECTS: usize = 10;

/// Why a server is not asked, or not believed, though it may be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Barred {
    /// The server is on this machine or in its network, and whoever named it is not, or may
    /// not be.
    #[error(
        "{0} is on this machine or in its network, and whoever named it is not, as far as is known"
    )]
    TooNear(String),
    /// The environment names a proxy that can't be used.
    #[error(transparent)]
    Environment(BadProxy),
    /// The proxy gives no connection, as this says.
    #[error("{0}")]
    Proxy(String),
    /// No authority that we trust vouches that the server is who it claims to be.
    #[error("the certificate of {host} is not trusted ({why})")]
    Certificate {
        /// The server.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Barred {
    /// Whether it stays so until the user does something about it.
    pub fn is_for_the_user(&self) -> bool {
        !matches!(self, Self::Proxy(..))
    }
}

impl From<Barred> for Error {
    fn from(barred: Barred) -> Self {
        Self::Other(Box::new(barred))
    }
}

/// The [`Barred`] in an error, if it is our own rules that are against the request.
///
/// # Errors
/// Any other error, as it was.
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
    /// One for each [`Reach`], the narrowest first: a connection that was made on the
    /// user's word serves nobody else.
    agents: [Agent; 3],
    door: Door,
}

impl Client {
    /// A client that behaves as `config` says, and goes through `door`. It follows no
    /// redirects by itself, and any status is an answer, not an error.
    pub fn new(config: ConfigBuilder<AgentScope>, door: &Door) -> Self {
        let tls = TlsConfig::builder().root_certs(roots::roots()).build();
        let config = config
            .user_agent(USER_AGENT)
            .proxy(None) // ours is beneath
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

    /// Asks for a URL. `with` adds headers or limits to the request.
    ///
    /// # Errors
    /// [`Error`]; [`barred`] tells what our own rules have to do with it.
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

    /// The proxy of a plain request, if it is the proxy, not the server, that answers and
    /// wants another password.
    fn proxy_that_answers(&self, hop: &Hop, answer: &Response<Body>) -> Option<Proxy> {
        let uri: Uri = hop.url.parse().ok()?;
        let is_plain = uri.scheme_str() == Some("http");
        let proxy = self.door.http_proxy(&uri).ok()??;
        let is_its = is_plain && answer.status() == 407 && proxy.kind == ProxyKind::Http;
        is_its.then_some(proxy)
    }

    /// Ends what is under way, of all clones. They are of no more use.
    pub fn shutdown(&self) {
        self.agents
            .iter()
            .for_each(|agent| agent.clone().shutdown());
    }
}

/// One URL to ask for, and what follows from who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Without name and password.
    url: String,
    /// These, as they are sent.
    login: Option<String>,
    /// The nearest address that may be dialled for it.
    nearest: Reach,
}

/// Where an answer sends us.
#[derive(Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Nowhere: it is the answer itself.
    None,
    /// There.
    To(Hop),
    /// To this, which is no HTTP URL.
    Elsewhere(String),
}

impl Hop {
    /// The first of a chain: a URL, and the nearest address that may be dialled for it.
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

    /// Where the answer to this one sends us. The next server may be no nearer than the one
    /// that answered; name and password go along to the same server only.
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

    /// An untrusted certificate is said with the host, which `rustls` does not.
    fn explained(&self, error: Error) -> Error {
        let text = match &error {
            Error::Io(error) => error.to_string(),
            Error::Rustls(error) => error.to_string(),
            // It would print the URL.
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

/// From how far an answer came, by the line that [`mending`] added.
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

    /// Linux has all of 127.0.0.0/8.
    const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 7));

    /// A server that takes one connection only: it answers each request for `/` with the
    /// address that it came from, and others not at all. Also tells of each request.
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

    /// A client that is bound to `ip`.
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

    /// Such a proxy does not say that it will hang up, so no second request may be under way
    /// to it when it does.
    #[test]
    fn a_proxy_that_answers_once_on_each_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            // Kept, so that nothing but the silence tells that they are of no more use.
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
