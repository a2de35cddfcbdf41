//! A server on loopback.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server that answers each request for a path with what a function writes.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) requests: Arc<AtomicUsize>,
    pub(super) heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default());
        let server = Self {
            url,
            requests: Arc::clone(&requests),
            heads: Arc::clone(&heads),
        };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                let heads = Arc::clone(&heads);
                std::thread::spawn(move || {
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let head: Vec<String> = lines
                        .map_while(Result::ok)
                        .take_while(|line| !line.is_empty())
                        .collect();
                    requests.fetch_add(1, Ordering::Relaxed);
                    heads.lock().unwrap().push(head.join("\n"));
                    let path = head[0].split(' ').nth(1).unwrap_or_default();
                    answer(path, &mut stream);
                });
            }
        });
        server
    }

    /// One that has a file, under the path that a build id has.
    pub(super) fn with(build_id: &str, body: Vec<u8>) -> Self {
        let wanted = format!("/buildid/{build_id}/debuginfo");
        Self::new(move |path, stream| {
            if path == wanted {
                send(stream, "200 OK", &body);
            } else {
                send(stream, "404 Not Found", b"");
            }
        })
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// An answer. Whoever asked may have gone.
pub(super) fn send(stream: &mut impl Write, status: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}
