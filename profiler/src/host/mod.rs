//! Facts about this host, no policy.

pub mod text;
