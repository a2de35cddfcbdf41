//! Answers that are one line of text.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Error;

/// One line.
pub(super) fn line(status: StatusCode, text: &str) -> Response {
    let mut text = text.replace(['\n', '\r'], " ");
    text.push('\n');
    let kind = "text/plain; charset=utf-8";
    with_kind(status, kind, text.into_bytes())
}

/// A body and what it is. Browsers are told not to guess.
pub(super) fn with_kind(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error of a command, as HTTP has it.
pub(super) fn error(error: &Error) -> Response {
    let status = match error {
        Error::Usage(_) => StatusCode::BAD_REQUEST,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        Error::Failed(_)
        | Error::CommandNotFound(_)
        | Error::CommandNotExecutable(_)
        | Error::OutputClosed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    line(status, &error.to_string())
}
