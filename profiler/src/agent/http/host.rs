//! By which names this host may be called.
//!
//! A page from elsewhere can have its own name point at this host (DNS rebinding): a browser then takes the agent for a
//! part of that page, and lets it read and record. Such requests carry the page's name in `Host`, which no page can change.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// The name that a request calls this host by, if any of its names is not one of these: addresses, `localhost`, this
/// host's own name, and `names`.
pub(super) fn foreign(uri: &Uri, headers: &HeaderMap, names: &[String]) -> Option<String> {
    let own = rustix::system::uname();
    let own = own.nodename().to_string_lossy().to_ascii_lowercase();
    let asked = headers
        .get_all(header::HOST)
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .chain(uri.authority().map(|it| it.as_str().to_owned()));
    // Without any it is no browser.
    asked
        .map(|host| (is_own(&host, &own, names), host))
        .find_map(|(is_own, host)| (!is_own).then_some(host))
}

fn is_own(host: &str, own: &str, names: &[String]) -> bool {
    let host = host.trim();
    // An address of IPv6 stands in brackets, with or without a port behind.
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port)
        });
    }
    let (name, port) = host.find(':').map_or((host, ""), |at| host.split_at(at));
    if !is_port(port) {
        return false;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name == own && !own.is_empty()
        || names.contains(&name)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header};

    use super::{foreign, is_own};

    #[test]
    fn names_of_this_host_and_others() {
        let names = ["ctprof.example.com".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("10.1.2.3", true),
            ("[::1]:9464", true),
            ("[fe80::1]", true),
            ("localhost:9464", true),
            ("LocalHost.", true),
            ("node1:9464", true),
            ("NODE1", true),
            ("ctprof.example.com:443", true),
            ("evil.example", false),
            ("evil.example:9464", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("node1.evil.example", false),
            ("[evil]", false),
            ("[::1", false),
            ("[::1].evil.example", false),
            ("127.0.0.1:9464.evil.example", false),
            ("localhost@evil.example", false),
            ("evil.example:80@localhost", false),
            ("", false),
            ("\u{fffd}", false),
        ] {
            assert_eq!(is_own(host, "node1", &names), expected, "{host:?}");
        }
    }

    #[test]
    fn every_name_of_a_request_counts() {
        let mut headers = HeaderMap::new();
        let none: &[String] = &[];
        let path = Uri::from_static("/flamegraph");
        assert_eq!(foreign(&path, &headers, none), None);
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(foreign(&path, &headers, none), None);
        let whole = Uri::from_static("http://evil.example/flamegraph");
        assert_eq!(foreign(&whole, &headers, none).unwrap(), "evil.example");
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(foreign(&path, &headers, none).unwrap(), "evil.example");
    }
}
