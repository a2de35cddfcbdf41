//! `/`: where the time of each container goes, for people.

mod rows;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::App;
use super::answer::with_kind;
use crate::host::kernel;
use crate::model::Reading;
use crate::model::text::{markup, printable};
use crate::model::units::{count, counted};
use crate::output::flamegraph::colour_of;
use rows::PARTS;

/// Rows that are shown; the metrics have all.
const SHOWN: usize = 200;

pub(super) async fn show(State(app): State<App>) -> Response {
    let profiles = app.settings.borrow().profiles;
    let html = match app.reading().await {
        Ok(reading) => page(&table(&reading, profiles), profiles),
        Err(_) => page(
            "<p>Not ready: BPF programs are not attached yet.</p>",
            profiles,
        ),
    };
    let mut response = with_kind(
        StatusCode::OK,
        "text/html; charset=utf-8",
        html.into_bytes(),
    );
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}

/// The whole page around what it shows.
fn page(content: &str, profiles: bool) -> String {
    let mut colours = String::new();
    for (number, part) in PARTS.iter().enumerate() {
        let (r, g, b) = colour_of(part.states[0]);
        let _ = write!(colours, ".s{number}{{background:rgb({r},{g},{b})}}");
    }
    let on_demand = if profiles {
        "<a href=\"/flamegraph?seconds=10\">flame graph of everything, 10 s</a>"
    } else {
        ""
    };
    let (version, kernel) = (env!("CARGO_PKG_VERSION"), escape(&kernel::release()));
    let host = escape(&rustix::system::uname().nodename().to_string_lossy());
    format!(
        "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>ctprof on {host}</title><style>{STYLE}{colours}</style>\n\
         <header><h1>ctprof <small>on {host}</small></h1><nav><a href=/metrics>metrics</a>\
         <a href=/healthz>health</a><a href=/readyz>readiness</a>{on_demand}</nav></header>\n\
         <main>{content}</main>\n<footer>ctprof {version}, Linux {kernel}</footer>\n"
    )
}

/// What is known of each row.
fn table(reading: &Reading, profiles: bool) -> String {
    let rows = rows::of(reading);
    let mut out = String::new();
    let uptime =
        humantime::format_duration(std::time::Duration::from_secs(reading.uptime.as_secs()));
    let _ = write!(
        out,
        "<p>Where the time of their threads went since the agent began, {uptime} ago. <b>Stalled</b>: they had work, and \
         no CPU, no quota, no disk. Most of that first.</p><p class=legend>"
    );
    for (number, part) in PARTS.iter().enumerate() {
        let _ = write!(out, "<span><i class=s{number}></i>{}</span>", part.title);
    }
    out.push_str(
        "</p><table><thead><tr><th>container<th>threads<th>on CPU<th>run queue<th>throttled<th>stalled\
         <th class=wide>of its threads' time<th>delayed by<th></thead><tbody>\n",
    );
    for row in rows.iter().take(SHOWN) {
        row.write(profiles, &mut out);
    }
    out.push_str("</tbody></table>");
    if rows.len() > SHOWN {
        let more = count((rows.len() - SHOWN) as u64);
        let _ = write!(out, "<p>{more} more: see <a href=/metrics>metrics</a>.</p>");
    }
    let ended = counted(reading.groups_ended, "container");
    let _ = write!(out, "<p class=dim>{ended} ended since the agent began.");
    let lost: Vec<String> = reading
        .lost
        .iter()
        .filter(|(_, lost)| **lost > 0)
        .map(|(cause, lost)| format!("{} {}", cause.name(), count(*lost)))
        .collect();
    if !lost.is_empty() {
        let _ = write!(out, " Lost events: {}.", lost.join(", "));
    }
    out.push_str("</p>");
    for missing in &reading.unavailable {
        let cause = escape(&missing.cause);
        let _ = write!(out, "<p class=dim>Not available: {cause}.</p>");
    }
    out
}

/// Text as it may stand between tags and in quoted attributes, cut where nobody reads on.
fn escape(text: &str) -> String {
    markup(&printable(text, 1000))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8883;--dim:#777}\
body{font:14px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1180px;padding:1.2rem}\
header{display:flex;flex-wrap:wrap;gap:.3rem 2rem;align-items:baseline;border-bottom:1px solid var(--line)}\
h1{font-size:1.5rem;margin:0 0 .4rem}small,.dim,footer,thead{color:var(--dim);font-weight:400}\
nav a{margin-right:1.2rem}a{color:#2563c9;text-decoration:none}a:hover{text-decoration:underline}\
@media(prefers-color-scheme:dark){a{color:#8ab4f8}}\
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap;\
border-bottom:1px solid var(--line)}th{font-weight:400}th:first-child,td:first-child{text-align:left;\
max-width:22rem;overflow:hidden;text-overflow:ellipsis}\
td{font-variant-numeric:tabular-nums}.wide{width:24%;min-width:9rem}\
td small{display:block;overflow:hidden;text-overflow:ellipsis}\
.bar{display:flex;height:1rem;border-radius:3px;overflow:hidden;background:var(--line)}\
.bar i{display:block}.gone td{opacity:.55}\
.legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.8rem;height:.8rem;\
border-radius:2px;margin-right:.35rem;vertical-align:-1px}\
td:nth-last-child(2){text-align:left;max-width:12rem;overflow:hidden;text-overflow:ellipsis}\
th:nth-last-child(2),th.wide{text-align:left}\
footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.4rem}\
main{overflow-x:auto}";
