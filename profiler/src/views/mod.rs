//! The views: each is one thing that is measured of rows, and has one folder here, in which is all that the user half
//! knows of it. The table below is the only other place that names it; recordings, the summary, the report, the metrics
//! and files on disk go through the table.
//!
//! - `view`: what a view has to say for itself
//! - `table`: the views as a table, for those who do not know their types
//! - `recorder`: all views while a recording goes on
//!
//! The folders are declared by the table, where `cargo fmt` does not look for them:
//! `rustfmt --edition 2024 profiler/src/views/*/mod.rs` formats them.

mod recorder;
mod table;

mod view;

pub use recorder::{Prepared, Recorder, Running, Scope};
pub use table::{Entry, decode, encode, lines, read};
pub use view::{Clean, RowView};

/// Declares the folder of each view, and puts it into the table.
macro_rules! views {
    ($($(#[$only:meta])* $folder:ident :: $figures:ident,)*) => {
        $($(#[$only])* pub mod $folder;)*

        /// Every view, in the order in which they are shown.
        pub const ALL: &[Entry] = &[$($(#[$only])* Entry::of::<$folder::$figures>(),)*];

        /// Writes the figures of a row into a map, a key for each view.
        ///
        /// # Errors
        /// What the serializer fails with.
        pub fn serialize<S: serde::Serializer>(
            measured: &crate::model::Measured,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap as _;
            let mut map = serializer.serialize_map(None)?;
            $($(#[$only])* if let Some(figures) = measured.get::<$folder::$figures>() {
                map.serialize_entry(&view::id::<$folder::$figures>(), figures)?;
            })*
            map.end()
        }
    };
}

views! {
    psi::Psi,
    counters::Counters,
    #[cfg(test)] toy::Toy,
}
