//! Command line: what was typed, what it means, one file per subcommand.

pub mod inventory;
pub mod nearest;
pub mod ps;
pub mod table;
pub mod target;
pub mod target_args;
