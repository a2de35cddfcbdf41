//! What isolation costs: time on the CPU that only exists because a process is in a container, by the functions of the kernel
//! that were sampled.
//!
//! - `layers`: what there is to pay for; `table`: by which functions each is told
//! - `marks`: functions that say what those around them mean
//! - `pattern`: names of functions, and what fits them
//! - `classify`: a stack's layer
//! - `tax`: a row's time by layer

mod classify;
pub mod layers;
mod marks;
mod pattern;
mod table;
mod tax;
#[cfg(test)]
mod tests;

pub use classify::{Found, Function, classify};
pub use layers::{LAYERS, Layer, Payer};
pub use tax::{Calibrated, Functions, Isolation, LayerTime, layers_of_stacks};
