//! Command line: what was typed, what it means, one file per subcommand.

pub mod report;
