//! Raw counts + containers + symbols -> [`crate::model::Profile`]. Pure functions.
