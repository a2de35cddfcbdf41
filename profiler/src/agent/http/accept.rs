//! What a client can read: the headers `Accept` and `Accept-Encoding`.

use axum::http::{HeaderMap, HeaderName, header};

use super::metrics::Format;

/// The format of metrics that the client likes best; the classic one if it does not say.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut best = (0.0, Format::Text);
    for item in items(headers, header::ACCEPT) {
        let format = match item.name.as_str() {
            "application/openmetrics-text" if item.is_version(&["1.0.0", "0.0.1"]) => {
                Format::OpenMetrics
            }
            "text/plain" if item.is_version(&["0.0.4"]) => Format::Text,
            "text/*" | "*/*" => Format::Text,
            _ => continue,
        };
        // Of two that it likes alike, the first.
        if item.quality > best.0 {
            best = (item.quality, format);
        }
    }
    best.1
}

/// Whether the client reads gzip.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for item in items(headers, header::ACCEPT_ENCODING) {
        match item.name.as_str() {
            "gzip" | "x-gzip" => return item.quality > 0.0,
            "*" => any = item.quality > 0.0,
            _ => {}
        }
    }
    any
}

/// One of the things that a header lists.
struct Item {
    name: String,
    quality: f32,
    version: Option<String>,
}

impl Item {
    /// It asks for no version, or for one of these.
    fn is_version(&self, known: &[&str]) -> bool {
        self.version
            .as_deref()
            .is_none_or(|version| known.contains(&version))
    }
}

fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Item> + '_ {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|text| {
            let mut parts = text.split(';').map(str::trim);
            let mut item = Item {
                name: parts.next().unwrap_or_default().to_ascii_lowercase(),
                quality: 1.0,
                version: None,
            };
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim().to_ascii_lowercase().as_str() {
                    "q" => item.quality = value.trim().parse().unwrap_or(0.0),
                    "version" => item.version = Some(value.trim().trim_matches('"').to_owned()),
                    _ => {}
                }
            }
            item
        })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Format, format, gzip};

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn formats() {
        for (accept, expected) in [
            // What Prometheus 3 sends.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            // Browsers.
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            (
                "application/openmetrics-text; version=\"1.0.0\"",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=2.0.0, text/plain;q=0.1",
                Format::Text,
            ),
            (
                "application/openmetrics-text;q=0.2,text/plain;q=0.3",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(
                format(&headers(header::ACCEPT, accept)),
                expected,
                "{accept}"
            );
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn encodings() {
        for (accept, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("br", false),
        ] {
            assert_eq!(
                gzip(&headers(header::ACCEPT_ENCODING, accept)),
                expected,
                "{accept}"
            );
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
