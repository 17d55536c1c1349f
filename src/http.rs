//! How a server is asked over HTTP(S): the agent, and what its headers say. Symbols and images are fetched with it.

use std::time::Duration;
use ureq::http::{HeaderMap, Uri, header};
use ureq::{Agent, Error, Timeout};

/// Time that one call may take in all: a server could otherwise send a byte now and then for ever.
const MAX_TIME: Duration = Duration::from_secs(3600);
/// Other addresses that an address may lead to, one after the other. Microsoft's server: 1.
const MAX_REDIRECTS: u32 = 5;

/// What asks the server at `url`, and waits so long for it where it is silent. Proxies are those of the environment.
pub fn agent(url: &str, silence: Duration) -> Agent {
    let silence = Some(silence);
    let uri = url.parse::<Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // What began encrypted is not led to where it is not.
        .https_only(uri.scheme_str() == Some("https"))
        .max_redirects(MAX_REDIRECTS)
        .max_redirects_will_error(true)
        .user_agent(concat!("ntmem/", env!("CARGO_PKG_VERSION")))
        .timeout_per_call(Some(MAX_TIME))
        .timeout_resolve(silence)
        .timeout_connect(silence)
        .timeout_recv_response(silence)
        .timeout_per_read(silence)
        .timeout_per_write(silence);
    // No proxy leads to this machine itself.
    let here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    if here { config.proxy(None) } else { config }.build().into()
}

/// What went wrong, in words, and whether asking again may help.
pub fn failure(error: &Error) -> (String, bool) {
    let text = match error {
        Error::Timeout(Timeout::PerRead | Timeout::RecvResponse) => "the server is silent".to_owned(),
        Error::RequireHttpsOnly(_) => "it leads from https:// to http://, which is not followed".to_owned(),
        Error::TooManyRedirects => format!("it leads to more than {MAX_REDIRECTS} other addresses"),
        other => other.to_string(),
    };
    let passing = match error {
        Error::Timeout(reason) => {
            matches!(reason, Timeout::PerRead | Timeout::PerWrite | Timeout::RecvResponse | Timeout::SendRequest)
        }
        Error::BodyStalled => true,
        Error::Io(error) => matches!(
            error.kind(),
            std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::TimedOut
        ),
        _ => false,
    };
    (text, passing)
}

/// A header's text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A name that is the same only for the same bytes: RFC 9110, 13.1.5. A weak `ETag` is none.
pub fn version(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, header::ETAG).filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned)
}

/// `Content-Range: bytes FROM-TO/TOTAL`: where the part starts, and how many bytes the whole has.
pub fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = text(headers, header::CONTENT_RANGE)?.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}
