//! What the agent answers over HTTP.
//!
//! - `server`: connections and their limits
//! - `answer`: answers that are one line of text
//! - `page`: `/`
//! - `scrape`: `/metrics`
//! - `bodies`: what it answered last
//! - `accept`: what a client can read
//! - `host`: by which names it may be called
//! - `profile`: `/debug/pprof/profile`, `/flamegraph` and `/doctor`

mod accept;
mod answer;
mod bodies;
mod host;
mod page;
mod profile;
mod scrape;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::watch;

use super::profiles::Profiler;
use super::self_figures::Counted;
use super::settings::Settings;
use super::web::{Verdict, Web};
use super::{Handle, metrics};
use crate::model::Reading;
use crate::model::text::printable;
use answer::line;
pub use bodies::Bodies;
use server::Peer;
pub use server::{bind, serve};

/// Longest time that a reading may take: beyond, something is wrong, and a scraper has given up.
const READING_LIMIT: Duration = Duration::from_secs(10);

/// What the pages have in common.
#[derive(Clone, Debug)]
pub struct App {
    /// Asks the core.
    pub handle: Handle,
    /// Whether everything is attached.
    pub ready: watch::Receiver<bool>,
    /// What the agent is to do, as of the last reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// TLS and passwords, as of the last reload.
    pub web: watch::Receiver<Web>,
    /// Recordings on demand.
    pub profiler: Profiler,
    /// What is counted here.
    pub counted: Counted,
    /// What `/metrics` answered last.
    pub bodies: Bodies,
}

impl App {
    /// The figures of now, or what to answer instead.
    async fn reading(&self) -> Result<Arc<Reading>, Box<Response>> {
        self.require_ready()?;
        let refuse = |text| Err(Box::new(line(StatusCode::SERVICE_UNAVAILABLE, text)));
        match tokio::time::timeout(READING_LIMIT, self.handle.reading()).await {
            Ok(Some(reading)) => Ok(reading),
            Ok(None) => refuse("the agent is ending"),
            Err(_) => refuse("the figures were not read within 10 s; the agent's log may say why"),
        }
    }

    fn require_ready(&self) -> Result<(), Box<Response>> {
        if *self.ready.borrow() {
            return Ok(());
        }
        let text = "not ready: BPF programs are not attached yet";
        Err(Box::new(line(StatusCode::SERVICE_UNAVAILABLE, text)))
    }
}

/// The pages, by path. Each is counted under its path.
const PAGES: [&str; 7] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/debug/pprof/profile",
    "/flamegraph",
    "/doctor",
];

/// Every page.
pub fn router(app: App) -> Router {
    Router::new()
        .route(PAGES[0], get(page::show))
        .route(PAGES[1], get(|| async { line(StatusCode::OK, "alive") }))
        .route(PAGES[2], get(ready))
        .route(PAGES[3], get(scrape::metrics))
        .route(PAGES[4], get(profile::pprof))
        .route(PAGES[5], get(profile::flamegraph))
        .route(PAGES[6], get(profile::doctor))
        .method_not_allowed_fallback(|| async {
            line(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
        })
        .fallback(|| async {
            let pages = PAGES.join(" ");
            line(
                StatusCode::NOT_FOUND,
                &format!("no such page; there are {pages}"),
            )
        })
        .layer(from_fn_with_state(app.clone(), admit))
        .layer(from_fn_with_state(app.counted.clone(), count))
        .with_state(app)
}

async fn ready(State(app): State<App>) -> Response {
    match app.require_ready() {
        Ok(()) => line(StatusCode::OK, "ready"),
        Err(response) => *response,
    }
}

/// Answers to any name of this host: probes, and what Prometheus reads by whatever name it knows.
const PROBES: [&str; 2] = [PAGES[1], PAGES[2]];
const METRICS: &str = PAGES[3];

/// Lets those in who call this host by one of its names and have the right password, where there are passwords. Probes
/// need neither: kubelet has no password, and they tell nothing.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if PROBES.contains(&path) {
        return next.run(request).await;
    }
    let settings = Arc::clone(&app.settings.borrow());
    if (path != METRICS || !settings.web_host.is_empty())
        && let Some(name) = host::foreign(request.uri(), request.headers(), &settings.web_host)
    {
        let name = printable(&name, 80);
        let text = format!(
            "this host is not called '{name}' here; use its address, or start the agent with --web-host NAME"
        );
        return line(StatusCode::FORBIDDEN, &text);
    }
    let Some(users) = app.web.borrow().users.clone() else {
        return next.run(request).await;
    };
    // A check runs on another thread, and none may begin before privileges are given up.
    if let Err(response) = app.require_ready() {
        return *response;
    }
    let header = request.headers().get(header::AUTHORIZATION);
    let verdict = match header {
        Some(header) => {
            let from = request.extensions().get::<Peer>();
            let from = from.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0);
            users.check(header.as_bytes(), from).await
        }
        None => Verdict::Wrong,
    };
    match verdict {
        Verdict::Right => return next.run(request).await,
        Verdict::Wrong => {}
        Verdict::Busy => {
            let text = "too many wrong passwords came from this address; try again in a second";
            let mut response = line(StatusCode::TOO_MANY_REQUESTS, text);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
    }
    let mut response = line(StatusCode::UNAUTHORIZED, "a name and a password are needed");
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"ctprof\""),
    );
    response
}

async fn count(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let page = PAGES
        .into_iter()
        .find(|page| *page == path)
        .unwrap_or("other");
    let response = next.run(request).await;
    let code = response.status().as_u16();
    counted.count(|own| *own.requests.entry((page, code)).or_default() += 1);
    response
}
