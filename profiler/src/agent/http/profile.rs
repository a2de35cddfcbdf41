//! `/debug/pprof/profile`, `/flamegraph` and `/doctor`: pages that take a recording to answer.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::App;
use super::answer::{error, line, with_kind};
use crate::agent::profiles::{FindingsForm, Form, Refusal, Wanted};
use crate::model::text::printable;
use crate::output::flamegraph::Graph;
use crate::target::TargetArgs;
use crate::target::nearest::hint;
use crate::{Error, Result};

/// What Go's tools expect when they do not ask for a time.
const DEFAULT_SECONDS: u64 = 30;
/// Longest text of a wrong value in an answer.
const SHOWN_CHARS: usize = 80;
/// Keys that all of these pages know.
const KEYS: [&str; 4] = ["seconds", "container", "pod", "cgroup"];
/// Keys that Go's tools add to theirs; they mean nothing here.
const GO_KEYS: [&str; 3] = ["debug", "gc", "rate"];

/// The query, as axum parses it.
type Keys = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) async fn pprof(State(app): State<App>, method: Method, keys: Keys) -> Response {
    let wanted = wanted(&app, keys, Form::Pprof);
    let mut response = answer(&app, &method, wanted, "application/octet-stream").await;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"profile.pb.gz\""),
        );
    }
    response
}

pub(super) async fn flamegraph(State(app): State<App>, method: Method, keys: Keys) -> Response {
    let wanted = wanted(&app, keys, Form::Graph(Graph::WallClock));
    let mut response = answer(&app, &method, wanted, "image/svg+xml").await;
    // The graph's own script and style, and nothing from elsewhere.
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
        ),
    );
    response
}

pub(super) async fn doctor(State(app): State<App>, method: Method, keys: Keys) -> Response {
    let wanted = wanted(&app, keys, Form::Findings(FindingsForm::Text));
    let kind = match wanted.as_ref().map(|it| it.form) {
        Ok(Form::Findings(FindingsForm::Json)) => "application/json",
        Ok(Form::Findings(FindingsForm::Markdown)) => "text/markdown; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    answer(&app, &method, wanted, kind).await
}

async fn answer(
    app: &App,
    method: &Method,
    wanted: Result<Wanted>,
    kind: &'static str,
) -> Response {
    if method != Method::GET {
        let text = "only GET is answered here: it takes a recording to answer";
        return line(StatusCode::METHOD_NOT_ALLOWED, text);
    }
    if let Err(response) = app.require_ready() {
        return *response;
    }
    if !app.settings.borrow().profiles {
        let text = "this agent records no profiles: it was started with --no-profiles";
        return line(StatusCode::FORBIDDEN, text);
    }
    let result = match wanted {
        Ok(wanted) => app.profiler.profile(wanted).await,
        Err(error) => Err(Refusal::Failed(error)),
    };
    match result {
        Ok(body) => with_kind(StatusCode::OK, kind, body),
        Err(Refusal::Failed(cause)) => error(&cause),
        Err(Refusal::Busy(most)) => {
            let text = format!(
                "{most} profiles are being recorded, which is the limit (--max-profiles); try again when one is done"
            );
            let mut response = line(StatusCode::TOO_MANY_REQUESTS, &text);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
            response
        }
    }
}

/// What the query asks for, in this `form` unless it says.
fn wanted(app: &App, keys: Keys, mut form: Form) -> Result<Wanted> {
    let Query(keys) = keys
        .map_err(|_| Error::Usage("the query is not of the form key=value&key=value".to_owned()))?;
    let most = app.settings.borrow().max_profile_time.as_secs().max(1);
    let mut target = TargetArgs::default();
    let mut seconds = DEFAULT_SECONDS.min(most);
    for (key, value) in keys {
        match key.as_str() {
            "seconds" => {
                seconds = value
                    .parse()
                    .ok()
                    .filter(|seconds| (1..=most).contains(seconds))
                    .ok_or_else(|| {
                        let value = printable(&value, SHOWN_CHARS);
                        Error::Usage(format!("seconds: '{value}' is no number from 1 to {most}"))
                    })?;
            }
            "container" => target.container.push(value),
            "pod" => target.pod.push(value),
            "cgroup" => target.cgroup.push(value),
            "state" if matches!(form, Form::Graph(_)) => form = Form::Graph(of_state(&value)?),
            "format" if matches!(form, Form::Findings(_)) => {
                form = Form::Findings(of_format(&value)?);
            }
            key if form == Form::Pprof && GO_KEYS.contains(&key) => {}
            key => {
                let own = match form {
                    Form::Pprof => None,
                    Form::Graph(_) => Some("state"),
                    Form::Findings(_) => Some("format"),
                };
                let near = hint(key, KEYS.into_iter().chain(own), "");
                let known = KEYS.into_iter().chain(own).collect::<Vec<_>>().join(", ");
                let key = printable(key, SHOWN_CHARS);
                return Err(Error::Usage(format!(
                    "no key '{key}' here{near}; there are {known}"
                )));
            }
        }
    }
    Ok(Wanted {
        target,
        time: Duration::from_secs(seconds),
        form,
    })
}

fn of_format(text: &str) -> Result<FindingsForm> {
    match text {
        "text" => Ok(FindingsForm::Text),
        "json" => Ok(FindingsForm::Json),
        "markdown" => Ok(FindingsForm::Markdown),
        _ => {
            let near = hint(text, ["text", "json", "markdown"], "");
            let text = printable(text, SHOWN_CHARS);
            Err(Error::Usage(format!(
                "format: '{text}' is none of text, json, markdown{near}"
            )))
        }
    }
}

fn of_state(text: &str) -> Result<Graph> {
    let name = |graph: Graph| match graph {
        Graph::WallClock => "all",
        graph => graph.id(),
    };
    Graph::ALL
        .into_iter()
        .find(|graph| name(*graph) == text)
        .ok_or_else(|| {
            let names = Graph::ALL.map(name);
            let near = hint(text, names, "");
            let text = printable(text, SHOWN_CHARS);
            Error::Usage(format!(
                "state: '{text}' is none of {}{near}",
                names.join(", ")
            ))
        })
}
