//! The last answers of `/metrics`: however many clients ask at once, and however slowly they read, each reading is written
//! down once for each format.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::metrics::Format;
use crate::model::Reading;

/// Bodies of the last reading. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bodies(Arc<Mutex<Vec<Written>>>);

#[derive(Debug)]
struct Written {
    reading: Arc<Reading>,
    form: (Format, bool),
    body: Bytes,
}

impl Bodies {
    /// The body of this reading, if it was written in this format, compressed or not.
    pub(super) fn find(&self, reading: &Arc<Reading>, form: (Format, bool)) -> Option<Bytes> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written
            .iter()
            .find(|it| it.form == form && Arc::ptr_eq(&it.reading, reading))
            .map(|it| it.body.clone())
    }

    /// Keeps a body for others that ask for the same; those of earlier readings go.
    pub(super) fn keep(&self, reading: Arc<Reading>, form: (Format, bool), body: Bytes) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|it| it.form != form && Arc::ptr_eq(&it.reading, &reading));
        written.push(Written {
            reading,
            form,
            body,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::Bodies;
    use crate::agent::metrics::Format;
    use crate::model::Reading;

    #[test]
    fn one_body_a_format_of_the_last_reading() {
        let bodies = Bodies::default();
        let (old, new) = (Arc::new(Reading::default()), Arc::new(Reading::default()));
        let (text, packed) = ((Format::Text, false), (Format::Text, true));
        bodies.keep(Arc::clone(&old), text, Bytes::from_static(b"old"));
        assert_eq!(bodies.find(&old, text), Some(Bytes::from_static(b"old")));
        assert_eq!(bodies.find(&old, packed), None);
        assert_eq!(bodies.find(&new, text), None, "equal is not the same");
        bodies.keep(Arc::clone(&new), packed, Bytes::from_static(b"new"));
        assert_eq!(bodies.find(&old, text), None);
        assert_eq!(bodies.find(&new, packed), Some(Bytes::from_static(b"new")));
    }
}
