//! The one place that decides what an error means to the caller.

use std::process::ExitCode;

/// Why a command failed. The message is one line: what failed, on what, what to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something impossible: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The target does not exist or is ambiguous: exit code 3.
    #[error("{0}")]
    NotFound(String),
    /// A privilege or a kernel feature is missing: exit code 4.
    #[error("{0}")]
    Unsupported(String),
    /// The command to run does not exist: exit code 127, as shells, `env` and `timeout` have it.
    #[error("{0}")]
    CommandNotFound(String),
    /// The command to run cannot be executed: exit code 126, as they have it.
    #[error("{0}")]
    CommandNotExecutable(String),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Whoever read our output is gone (`ctprof ps | head -1`): no message, exit code 0.
    #[error("output closed")]
    OutputClosed,
}

/// Result of everything that a command calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The process' exit code for this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unsupported(_) => 4,
            Self::CommandNotExecutable(_) => 126,
            Self::CommandNotFound(_) => 127,
        })
    }

    /// A failed file operation, with the path; a closed pipe stays what it is.
    #[must_use]
    pub fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Failed(format!("cannot {action} {}: {error}", path.display()))
    }
}
