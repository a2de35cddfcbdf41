//! Facts about this host, no policy.

pub mod btf;
pub mod text;
