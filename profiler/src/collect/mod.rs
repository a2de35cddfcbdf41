//! Drains maps into raw snapshots.
