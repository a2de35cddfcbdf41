//! `/`: where the time of each container goes, for people.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::answer::with_kind;

pub(super) async fn show(State(app): State<App>) -> Response {
    let _ = app;
    with_kind(StatusCode::OK, "text/html; charset=utf-8", b"todo".to_vec())
}
