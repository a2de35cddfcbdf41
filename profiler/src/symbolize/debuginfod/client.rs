//! One file from whichever server has it: all are asked at once, and the first that has it sends it.
//!
//! A server may be as hostile as a container. Each wait has an end, a file has a size, redirections a number, and what came
//! is used only if it is debug information of the build that was asked for (`check`).

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::settings::Settings;
use super::store::Draft;
use super::{Missing, check};

/// Most redirections from one server.
const MOST_REDIRECTIONS: usize = 5;

/// What has to come within the timeout.
const AT_LEAST: u64 = 100_000;

/// An answer whose body is still to come, and the connection that it comes by.
struct Answer {
    response: Response<Incoming>,
    _connection: Connection,
}

/// Drives a connection, until it is dropped.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How the file of a build id is begun.
pub(super) type Begin<'a> = &'a (dyn Fn() -> Result<Draft, Errno> + Sync);

/// The debug information of a build, of at most `limit` bytes.
pub(super) async fn fetch(
    settings: &Settings,
    build_id: &str,
    limit: u64,
    begin: Begin<'_>,
) -> Result<Draft, Missing> {
    let most = settings.max_time;
    timeout(most, from_any(settings, build_id, limit, begin))
        .await
        .unwrap_or_else(|_| {
            tracing::debug!("debug information of {build_id} took longer than {most:?}");
            Err(Missing::Failed)
        })
}

async fn from_any(
    settings: &Settings,
    build_id: &str,
    limit: u64,
    begin: Begin<'_>,
) -> Result<Draft, Missing> {
    let time = settings.timeout;
    let mut asked = JoinSet::new();
    for server in &settings.servers {
        let (server, build_id) = (server.clone(), build_id.to_owned());
        asked.spawn(async move {
            let answer = timeout(time, ask(&server, &build_id, limit)).await;
            let answer = answer.unwrap_or_else(|_| Err(failed("it did not answer in time")));
            (server, answer)
        });
    }
    let mut missing = Missing::Absent;
    while let Some(answered) = asked.join_next().await {
        let Ok((server, answer)) = answered else {
            missing = missing.max(Missing::Failed);
            continue;
        };
        let taken = match answer {
            Ok(answer) => take(answer, limit, time, begin).await,
            Err(error) => Err(error),
        };
        let checked = taken.and_then(|draft| {
            if check::elf(&draft.file, build_id).is_some() {
                return Ok(draft);
            }
            let text = "it is not debug information of this build".to_owned();
            Err((Missing::Foreign, text))
        });
        match checked {
            Ok(draft) => return Ok(draft),
            Err((cause, text)) => {
                tracing::debug!("debug information of {build_id} from {server}: {text}");
                missing = missing.max(cause);
            }
        }
    }
    Err(missing)
}

/// Why a server does not do, and the same in words.
type Refusal = (Missing, String);

fn failed(text: impl std::fmt::Display) -> Refusal {
    (Missing::Failed, text.to_string())
}

/// Asks a server, and whoever it refers to.
async fn ask(server: &Uri, build_id: &str, limit: u64) -> Result<Answer, Refusal> {
    let base = server.path().trim_end_matches('/');
    let folder = if base.ends_with("/buildid") {
        ""
    } else {
        "/buildid"
    };
    let path = format!("{base}{folder}/{build_id}/debuginfo");
    let mut uri = with_path(server, &path)?;
    for _ in 0..=MOST_REDIRECTIONS {
        let answer = get(&uri, limit).await?;
        let headers = answer.response.headers();
        match answer.response.status() {
            StatusCode::OK => return Ok(answer),
            StatusCode::NOT_FOUND => return Err((Missing::Absent, "it has none".to_owned())),
            StatusCode::NOT_ACCEPTABLE => {
                return Err((Missing::TooLarge, "it is above the limit".to_owned()));
            }
            status if status.is_redirection() => uri = redirected(&uri, headers)?,
            status => return Err(failed(format_args!("status {status}"))),
        }
    }
    Err(failed("too many redirections"))
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(failed)?);
    Uri::from_parts(parts).map_err(failed)
}

/// Where a redirection leads: to another path, or another server, by the same scheme or a safer one.
fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, Refusal> {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.ok_or_else(|| failed("a redirection to nowhere"))?;
    if to.starts_with('/') && !to.starts_with("//") {
        return with_path(from, to);
    }
    let uri: Uri = to.parse().map_err(failed)?;
    let is_fine = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => from.scheme_str() == Some("http"),
        _ => false,
    };
    if is_fine {
        Ok(uri)
    } else {
        Err(failed("a redirection to another scheme"))
    }
}

async fn get(uri: &Uri, limit: u64) -> Result<Answer, Refusal> {
    let authority = uri.authority().ok_or_else(|| failed("no host"))?;
    let is_tls = uri.scheme_str() == Some("https");
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority
        .port_u16()
        .unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    let path = uri
        .path_and_query()
        .map_or("/", |path_and_query| path_and_query.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("ctprof/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT_ENCODING, "identity")
        .header("x-debuginfod-maxsize", limit)
        .body(Empty::<Bytes>::new())
        .map_err(failed)?;
    if is_tls {
        let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
        let connector = TlsConnector::from(tls().map_err(failed)?);
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        send(stream, request).await
    } else {
        send(stream, request).await
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Refusal> {
    let connected = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(failed)?;
    let driver = tokio::spawn(async move {
        // What goes wrong is seen by whoever reads the body.
        let _ = connection.await;
    });
    let connection = Connection(driver.abort_handle());
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(Answer {
        response,
        _connection: connection,
    })
}

/// The certificates that this host trusts, read once.
fn tls() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err("this host has no certificates of authorities to trust".to_owned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    };
    CONFIG.get_or_init(read).clone()
}

/// Takes the body of an answer.
async fn take(
    mut answer: Answer,
    limit: u64,
    time: Duration,
    begin: Begin<'_>,
) -> Result<Draft, Refusal> {
    let too_large = || (Missing::TooLarge, format!("it is above {limit} bytes"));
    let headers = answer.response.headers();
    let announced = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let expected = announced("x-debuginfod-size");
    if expected.or_else(|| announced(CONTENT_LENGTH.as_str())) > Some(limit) {
        return Err(too_large());
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(failed("it is packed, which was not asked for"));
    }
    let mut draft = begin().map_err(failed)?;
    let body = answer.response.body_mut();
    let (mut taken, mut lately) = (0, 0);
    let mut until = Instant::now() + time;
    loop {
        let frame = timeout_at(until, body.frame()).await;
        let Some(frame) = frame.map_err(|_| failed("it stopped, or is too slow"))? else {
            break;
        };
        let Ok(bytes) = frame.map_err(failed)?.into_data() else {
            continue;
        };
        taken += bytes.len() as u64;
        lately += bytes.len() as u64;
        if taken > limit {
            return Err(too_large());
        }
        draft.file.write_all(&bytes).map_err(failed)?;
        if lately >= AT_LEAST {
            (lately, until) = (0, Instant::now() + time);
        }
    }
    if expected.is_some_and(|expected| expected != taken) {
        return Err(failed("it ended early"));
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_keep_to_the_web() {
        let to = |from: &'static str, to: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, to.parse().unwrap());
            let uri = redirected(&Uri::from_static(from), &headers);
            uri.ok().map(|uri| uri.to_string())
        };
        let (plain, safe) = ("http://a:80/b/c", "https://a/b");
        assert_eq!(to(plain, "/d?e"), Some("http://a:80/d?e".to_owned()));
        assert_eq!(to(plain, "https://x/y"), Some("https://x/y".to_owned()));
        assert_eq!(to(plain, "http://x/y"), Some("http://x/y".to_owned()));
        assert_eq!(to(safe, "https://x/y"), Some("https://x/y".to_owned()));
        for (from, bad) in [
            (safe, "http://a/b"),
            (plain, "file:///etc/passwd"),
            (plain, "ftp://a/b"),
            (plain, "//x/y"),
            (plain, "c"),
        ] {
            assert_eq!(to(from, bad), None, "{bad}");
        }
        assert!(redirected(&Uri::from_static(plain), &HeaderMap::new()).is_err());
    }
}
