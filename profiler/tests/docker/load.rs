//! Requests to a server in a container, from outside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Result, wait_for};

/// Sends GET requests over one connection to a port of this machine until dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Waits for the server, then begins.
    pub(crate) fn on(port: u16) -> Result<Self> {
        let stream = wait_for("the server to listen", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) && request(&stream).is_some() {}
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request; the answers are short, so that one read has all of it or enough.
fn request(mut stream: &TcpStream) -> Option<()> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .ok()?;
    let mut answer = [0; 16 * 1024];
    (stream.read(&mut answer).ok()? > 0).then_some(())
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
