//! A comparison as it is written.
//!
//! - `text`: for people
//! - `stacks`, `files`: graphs, folded stacks and pprof
//! - `json`: for machines
//! - `junit`: for CI systems
//! - `markdown`: for pull requests
//! - `words`: what figures and verdicts are called in both

pub mod files;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod stacks;
pub mod text;
mod words;
