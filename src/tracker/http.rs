//! Announces over HTTP and HTTPS ([BEP 3]): one GET each.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::{Family, TrackerSettings, trouble_of};
use crate::announce::{AnnounceReply, AnnounceRequest, Trouble};
use crate::door::http::{self, USER_AGENT};
use ureq::Agent;
use ureq::config::IpFamily;

/// The most bytes of an answer, unpacked.
const MAX_BODY: u64 = 2 << 20;

/// An HTTP tracker.
pub struct HttpTracker {
    url: String,
    settings: TrackerSettings,
    agent: Agent,
}

impl HttpTracker {
    pub fn new(url: &str, settings: TrackerSettings) -> Self {
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            // Many trackers say why they refuse us with status 400.
            .http_status_as_error(false)
            .max_redirects(10)
            // A tracker gives out the address that we come from: never a proxy's.
            .proxy(None)
            // Announces are half an hour apart; and a connection kept from an announce
            // over IPv4 would serve the one that has to go over IPv6.
            .max_idle_connections(0)
            .timeout_connect(Some(settings.connect_timeout));
        let agent = http::agent(config, settings.door.bind);
        Self {
            url: url.to_owned(),
            settings,
            agent,
        }
    }

    /// Performs one announce; takes at most the time of the settings.
    pub fn announce(
        &mut self,
        request: &AnnounceRequest,
        family: Family,
        hurry: bool,
    ) -> Result<AnnounceReply, Trouble> {
        let timeout = match hurry {
            true => self.settings.short_timeout,
            false => self.settings.http_timeout,
        };
        let trouble = |error| match error {
            ureq::Error::Timeout(ureq::Timeout::Connect) => {
                Trouble::TimedOut(self.settings.connect_timeout.min(timeout))
            }
            ureq::Error::Timeout(_) => Trouble::TimedOut(timeout),
            ureq::Error::HostNotFound => Trouble::UnknownHost,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Trouble::BadUrl,
            ureq::Error::BodyExceedsLimit(_) => {
                Trouble::Garbage(format!("it is longer than {MAX_BODY} bytes"))
            }
            ureq::Error::Decompress(_, _) | ureq::Error::Protocol(_) => {
                Trouble::Garbage(error.to_string())
            }
            other => trouble_of(other.into_io(), timeout),
        };
        let mut response = self
            .agent
            .get(request.http_url(&self.url))
            .config()
            .timeout_global(Some(timeout))
            .ip_family(match family {
                Family::V4 => IpFamily::Ipv4Only,
                Family::V6 => IpFamily::Ipv6Only,
            })
            .build()
            .call()
            .map_err(trouble)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY)
            .read_to_vec()
            .map_err(trouble)?;
        let reply = AnnounceReply::from_http_body(&body);
        match response.status() {
            status if status.is_success() => reply,
            status => match reply {
                Err(failure @ Trouble::Failure(_)) => Err(failure),
                _ => Err(Trouble::Status(status.as_u16())),
            },
        }
    }
}
