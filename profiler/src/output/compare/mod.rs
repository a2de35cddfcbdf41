//! A comparison as it is written.
//!
//! - `text`: for people
//! - `json`: for machines
//! - `words`: what figures and verdicts are called in both

pub mod json;
pub mod text;
mod words;
