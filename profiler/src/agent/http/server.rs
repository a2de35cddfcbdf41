//! Connections and their limits: none of them, slow, idle or many, may harm the agent or keep others out.
//!
//! A connection that waits for a request has no right to stay: when there are too many, the one that has waited
//! longest is closed. So any number of idle connections, or of clients that send a byte at a time, keeps nobody out.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use super::{App, router};
use crate::agent::web::Web;
use crate::{Error, Result};

/// Connections at once.
const MAX_CONNECTIONS: usize = 256;
/// A request has to be there this long after the connection is made, or after the last answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// What was sent has to be received, or an idle peer be heard of, within this time.
const PEER_LIMIT: Duration = Duration::from_secs(30);
/// A TLS handshake takes milliseconds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Longest request, and most headers in it.
const MAX_REQUEST_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// How long connections may take to end when the agent does.
const CLOSING_LIMIT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the address.
///
/// # Errors
/// It is in use, not of this host, or needs a privilege.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "another program listens there; choose another with --listen",
            ErrorKind::AddrNotAvailable => {
                "no interface of this host has it; choose another with --listen"
            }
            ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --listen"
            }
            _ => "choose another with --listen",
        };
        Error::Failed(format!("cannot listen on {address}: {error}; {advice}"))
    })
}

/// Who is at the other end of a connection; in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What each connection needs.
#[derive(Clone)]
struct Common {
    router: Router,
    web: watch::Receiver<Web>,
    stopping: watch::Receiver<bool>,
}

/// Serves until `stopping` says so, then until every request is answered.
pub async fn serve(listener: TcpListener, app: App, mut stopping: watch::Receiver<bool>) {
    let counted = app.counted.clone();
    let common = Common {
        web: app.web.clone(),
        router: router(app),
        stopping: stopping.clone(),
    };
    let connections = Connections::default();
    let mut tasks = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stopped(&mut stopping) => break,
            Some(_) = tasks.join_next() => {
                counted.count(|own| own.connections = tasks.len() as u64);
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A peer that gave up is its own business; without files there is nothing but to wait.
                    tracing::debug!("accept: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        if tasks.len() >= MAX_CONNECTIONS {
            counted.count(|own| own.connections_evicted += 1);
            if !connections.close_longest_idle() {
                // Everybody is being served: this one has to come again.
                continue;
            }
        }
        guard(&stream);
        let place = connections.add();
        let peer = Peer(peer.ip());
        tasks.spawn(accept(stream, peer, place, common.clone()));
        counted.count(|own| own.connections = tasks.len() as u64);
    }
    // Nobody new: the port is free for a successor.
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING_LIMIT, all).await.is_err() {
        tracing::warn!("some clients did not take their answers within {CLOSING_LIMIT:?}");
    }
}

/// Has the kernel end connections whose peer takes nothing or is not there any more.
fn guard(stream: &TcpStream) {
    use rustix::net::sockopt;
    let fd = stream.as_fd();
    // Where the kernel refuses, the limits above still hold.
    let millis = u32::try_from(PEER_LIMIT.as_millis()).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(fd, millis);
    let _ = sockopt::set_tcp_keepidle(fd, PEER_LIMIT / 2);
    let _ = sockopt::set_tcp_keepintvl(fd, PEER_LIMIT / 6);
    let _ = sockopt::set_socket_keepalive(fd, true);
    let _ = sockopt::set_tcp_nodelay(fd, true);
}

/// One connection from start to end.
async fn accept(stream: TcpStream, peer: Peer, place: Place, common: Common) {
    let Some(tls) = common.web.borrow().tls.clone() else {
        return connection(stream, peer, place, common).await;
    };
    tokio::select! {
        () = place.closed() => {}
        secured = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)) => match secured {
            Ok(Ok(stream)) => connection(stream, peer, place.clone(), common).await,
            Ok(Err(error)) => tracing::debug!("TLS handshake: {error}"),
            Err(_) => tracing::debug!("TLS handshake: not done within {HANDSHAKE_LIMIT:?}"),
        },
    }
}

/// One connection, from its first request to its end.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    place: Place,
    common: Common,
) {
    let mut stopping = common.stopping;
    let requests = Requests {
        router: common.router.into_service(),
        place: place.clone(),
        peer,
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .max_buf_size(MAX_REQUEST_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(requests));
    tokio::pin!(connection);
    tokio::select! {
        biased;
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            ended(connection.await);
        }
        () = place.closed() => {}
        result = &mut connection => ended(result),
    }
}

/// Resolves when the agent ends.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!("connection: {error}");
    }
}

/// The router, which notes when a connection is at work.
#[derive(Clone)]
struct Requests<S> {
    router: S,
    place: Place,
    peer: Peer,
}

impl<B, S> Service<hyper::Request<B>> for Requests<S>
where
    S: Service<hyper::Request<B>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, mut request: hyper::Request<B>) -> Self::Future {
        let place = self.place.clone();
        request.extensions_mut().insert(self.peer);
        place.busy(true);
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // Sending it is the client's time, not ours.
            place.busy(false);
            answer
        })
    }
}

/// Connections that are open.
#[derive(Clone, Default)]
struct Connections(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Connection>,
}

struct Connection {
    /// `None` while it is at work.
    idle_since: Option<Instant>,
    close: Arc<Notify>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> Place {
        let close = Arc::new(Notify::new());
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        let connection = Connection {
            idle_since: Some(Instant::now()),
            close: Arc::clone(&close),
        };
        open.by_number.insert(number, connection);
        drop(open);
        let entry = Arc::new(Entry {
            number,
            connections: self.clone(),
        });
        Place { entry, close }
    }

    /// False if none is idle.
    fn close_longest_idle(&self) -> bool {
        let mut open = self.lock();
        let longest = open
            .by_number
            .iter()
            .filter_map(|(number, connection)| Some((connection.idle_since?, *number)))
            .min();
        let Some(closed) = longest.and_then(|(_, number)| open.by_number.remove(&number)) else {
            return false;
        };
        closed.close.notify_one();
        true
    }
}

/// A connection's place among the open ones, which it leaves with its last clone.
#[derive(Clone)]
struct Place {
    entry: Arc<Entry>,
    close: Arc<Notify>,
}

struct Entry {
    number: u64,
    connections: Connections,
}

impl Place {
    fn busy(&self, is_busy: bool) {
        let mut open = self.entry.connections.lock();
        if let Some(connection) = open.by_number.get_mut(&self.entry.number) {
            connection.idle_since = (!is_busy).then(Instant::now);
        }
    }

    /// Resolves when it is to make room.
    async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
    }
}
