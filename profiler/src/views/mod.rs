//! The views: each is one thing that is measured of rows, and has one folder here, in which is all that becomes of its
//! figures. The table below is the only other place that names it; recordings, the summary, the report, the metrics and
//! files on disk go through the table.
//!
//! - `view`: what a view has to say for itself
//! - `table`: the views as a table, for those who do not know their types
//! - `shown`: what they measured of a row, as it is shown
//! - `recorder`: all views while a recording goes on
//! - `named`: what they count one by one, by name
//! - `switch`: the flags that ask for them
//! - `standing`: what an agent measures unless it is told not to
//! - `kept`: what the kernel half counted, for rows that outlive its slots
//!
//! The folders are declared by the table, where `cargo fmt` does not look for them:
//! `rustfmt --edition 2024 profiler/src/views/*/mod.rs` formats them.

use crate::collect::Hooks;

mod kept;
mod named;
mod recorder;
mod shown;
mod standing;
mod switch;
mod table;
mod view;

pub use kept::{Kept, RowOf};
pub use named::{Amount, Named, item, item_name, item_record};
pub use recorder::{Prepared, Recorder, Running, Scope};
pub use shown::Shown;
pub use standing::{Asked, Standing, standing};
pub use switch::{Switch, asked, switches};
pub use table::{Entry, decode, encode, find, loss, of_all, read};
pub use view::{About, Clean, RowView, Section};

/// Declares the folder of each view, and puts it into the table.
macro_rules! views {
    ($($(#[$only:meta])* $folder:ident :: $figures:ident,)*) => {
        $($(#[$only])* pub mod $folder;)*

        /// Every view, in the order in which they are shown.
        pub const ALL: &[Entry] = &[$($(#[$only])* Entry::of::<$folder::$figures>(),)*];

        fn serialize<S: serde::Serializer>(row: &Shown, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap as _;
            let mut map = serializer.serialize_map(None)?;
            $($(#[$only])* if let Some(figures) = row.measured.get::<$folder::$figures>() {
                let summary = RowView::summary(figures, row.thread_time_ns);
                map.serialize_entry(&view::id::<$folder::$figures>(), &summary)?;
            })*
            map.end()
        }
    };
}

/// What those views whose figures the kernel half counts can ask of it: every program, and maps as small as they can be.
pub fn hooks() -> impl Iterator<Item = &'static dyn Hooks> {
    ALL.iter().filter_map(|view| view.hooks)
}

/// What the kernel half counts for views, to be kept by row; nothing yet.
pub fn kept() -> impl Iterator<Item = Box<dyn Kept>> {
    ALL.iter().filter_map(|view| (view.kept)())
}

views! {
    syscalls::Syscalls,
    psi::Psi,
    counters::Counters,
    isolation::Sampled,
    moments::Moments,
    limits::Limits,
    workload::Workload,
    #[cfg(test)] toy::Toy,
}
