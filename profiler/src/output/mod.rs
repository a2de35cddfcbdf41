//! One file per format; each takes a [`crate::model::Profile`].
