//! Who may connect, and how: TLS and passwords, from a file in the form that Prometheus' own exporters use.
//!
//! - `file`: the file, with its line numbers
//! - `users`: names and passwords
//! - `guesses`: how often an address may be wrong

mod file;
mod guesses;
mod users;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use crate::Result;
pub use users::{Users, Verdict};

/// TLS and passwords; without a file there are none.
#[derive(Clone, Default)]
pub struct Web {
    /// Encrypts; `None` for plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Who may ask; `None` for everybody.
    pub users: Option<Arc<Users>>,
}

impl Web {
    /// Reads the file, and the certificate and key that it names.
    ///
    /// # Errors
    /// One line: the file, the line, the key, and what is wrong with it.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        path.map_or_else(|| Ok(Self::default()), file::read)
    }

    /// Takes over what was learnt of clients before a reload.
    pub fn inherit(&self, before: &Self) {
        if let (Some(users), Some(before)) = (&self.users, &before.users) {
            users.inherit(before);
        }
    }

    /// Anyone who reaches the port may read it, or may read what somebody else reads.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.tls.is_none() || self.users.is_none()
    }

    /// What is missing for a port that others can reach.
    #[must_use]
    pub const fn lacks(&self) -> &'static str {
        match (self.tls.is_some(), self.users.is_some()) {
            (false, false) => "TLS and passwords",
            (false, true) => "TLS",
            (true, false) => "passwords",
            (true, true) => "nothing",
        }
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web")
            .field("tls", &self.tls.is_some())
            .field("users", &self.users)
            .finish()
    }
}
