//! The only folder that imports aya: load, attach, read maps.
