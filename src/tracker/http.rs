//! Announces over HTTP and HTTPS ([BEP 3]): one GET request each, and redirects.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::{Family, TrackerSettings, trouble_of};
use crate::announce::{AnnounceReply, AnnounceRequest, Trouble};
use crate::door::http::{Client, Hop, MAX_REDIRECTS, Redirect, barred};
use std::time::{Duration, Instant};
use ureq::config::IpFamily;
use ureq::http::Response;
use ureq::{Agent, Body, Error};

/// The longest answer, in bytes, unpacked.
const MAX_BODY: u64 = 2 << 20;

pub(super) struct HttpTracker {
    url: String,
    settings: TrackerSettings,
    client: Client,
}

impl HttpTracker {
    pub(super) fn new(url: &str, settings: TrackerSettings) -> Self {
        let config = Agent::config_builder()
            // Announces are half an hour apart, and a connection kept from one over IPv4 would
            // serve the one that must go over IPv6.
            .max_idle_connections(0)
            .timeout_connect(Some(settings.connect_timeout));
        Self {
            url: url.to_owned(),
            client: Client::new(config, &settings.door),
            settings,
        }
    }

    /// Performs one announce, within the time limit of the settings.
    pub(super) fn announce(
        &mut self,
        request: &AnnounceRequest,
        family: Family,
        hurry: bool,
    ) -> Result<AnnounceReply, Trouble> {
        let timeout = match hurry {
            true => self.settings.short_timeout,
            false => self.settings.http_timeout,
        };
        let trouble = |error| self.trouble(error, timeout);
        let mut response = self.ask(request, family, timeout)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY)
            .read_to_vec()
            .map_err(trouble)?;
        let reply = AnnounceReply::from_http_body(&body);
        match response.status() {
            status if status.is_success() => reply,
            // Many trackers refuse with status 400 and the reason in the body.
            status => match reply {
                Err(failure @ Trouble::Failure(_)) => Err(failure),
                _ => Err(Trouble::Status(status.as_u16())),
            },
        }
    }

    /// Sends the request and follows redirects, all within `timeout`.
    fn ask(
        &self,
        request: &AnnounceRequest,
        family: Family,
        timeout: Duration,
    ) -> Result<Response<Body>, Trouble> {
        let deadline = Instant::now() + timeout;
        let family = match family {
            Family::V4 => IpFamily::Ipv4Only,
            Family::V6 => IpFamily::Ipv6Only,
        };
        let mut hop = Hop::new(&request.http_url(&self.url), self.settings.nearest);
        for _ in 0..=MAX_REDIRECTS {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.client.ask(&hop, |request| {
                let config = request.config().timeout_global(Some(left));
                config.ip_family(family).build()
            });
            let answer = answer.map_err(|error| self.trouble(error, timeout))?;
            hop = match hop.redirect(&answer) {
                Redirect::None => return Ok(answer),
                Redirect::To(next) => next,
                Redirect::Elsewhere(_) => {
                    return Err(Trouble::Garbage(
                        "it redirects to what is no http or https address".into(),
                    ));
                }
            };
        }
        Err(Trouble::Garbage("it redirects too many times".into()))
    }

    fn trouble(&self, error: Error, timeout: Duration) -> Trouble {
        let error = match barred(error) {
            Ok(barred) if barred.is_for_the_user() => return super::barred(&barred),
            Ok(barred) => return Trouble::Unreachable(std::io::Error::other(barred)),
            Err(error) => error,
        };
        match error {
            Error::Timeout(ureq::Timeout::Connect) => {
                Trouble::TimedOut(self.settings.connect_timeout.min(timeout))
            }
            Error::Timeout(_) => Trouble::TimedOut(timeout),
            Error::HostNotFound => Trouble::UnknownHost,
            Error::BadUri(_) | Error::Http(_) => Trouble::BadUrl,
            Error::BodyExceedsLimit(_) => {
                Trouble::Garbage(format!("it is longer than {MAX_BODY} bytes"))
            }
            Error::Decompress(_, _) | Error::Protocol(_) => Trouble::Garbage(error.to_string()),
            other => trouble_of(other.into_io(), timeout),
        }
    }
}
