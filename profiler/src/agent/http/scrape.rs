//! `/metrics`.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer::{line, with_kind};
use super::metrics::{self, Options};
use super::{App, accept};

pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let start = Instant::now();
    let reading = match app.reading().await {
        Ok(reading) => reading,
        Err(response) => return *response,
    };
    let (format, gzip) = (accept::format(&headers), accept::gzip(&headers));
    let options = Options::from(&**app.settings.borrow());
    let own = app.counted.now();
    let body = match app.bodies.find(&reading, (format, gzip)) {
        Some(body) => body,
        None => {
            // The core runs on this thread: a large answer must not stop it.
            let written = tokio::task::spawn_blocking({
                let reading = Arc::clone(&reading);
                move || {
                    let text = metrics::encode(&reading, &own, format, &options);
                    if gzip {
                        compress(&text)
                    } else {
                        Ok(text.into_bytes())
                    }
                }
            });
            let Ok(Ok(body)) = written.await else {
                let text = "the metrics could not be written; the agent's log may say why";
                return line(StatusCode::INTERNAL_SERVER_ERROR, text);
            };
            let body = Bytes::from(body);
            app.bodies.keep(reading, (format, gzip), body.clone());
            body
        }
    };
    let mut response = with_kind(StatusCode::OK, format.content_type(), body);
    let headers = response.headers_mut();
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Accept, Accept-Encoding"),
    );
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    app.counted.count(|own| own.scraped(start.elapsed()));
    response
}

fn compress(text: &str) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    out.write_all(text.as_bytes())?;
    out.finish()
}
