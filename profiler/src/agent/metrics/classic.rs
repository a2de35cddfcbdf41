//! From OpenMetrics to the classic text format 0.0.4, for whoever does not ask for the former.
//!
//! Series are spelled the same. What differs: a counter's type line names the series, `_total` included; an info metric
//! is a gauge; there are no units and no end marker.

/// `text`, which is what this crate exposes, in the classic format.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            // Its name depends on the type, which comes next.
            help = rest.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some(help) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn every_type_is_spelled_as_before() {
        let modern = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
            a_seconds_total{x=\"# TYPE b counter\"} 1.5\n\
            # HELP b Now.\n# TYPE b gauge\nb 2\n\
            # HELP c_seconds How long.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\n\
            c_seconds_sum 0.1\nc_seconds_count 1\nc_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP d What.\n# TYPE d info\nd_info{e=\"f\"} 1\n# EOF\n";
        let classic = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n\
            a_seconds_total{x=\"# TYPE b counter\"} 1.5\n\
            # HELP b Now.\n# TYPE b gauge\nb 2\n\
            # HELP c_seconds How long.\n# TYPE c_seconds histogram\n\
            c_seconds_sum 0.1\nc_seconds_count 1\nc_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP d_info What.\n# TYPE d_info gauge\nd_info{e=\"f\"} 1\n";
        assert_eq!(from_open_metrics(modern), classic);
    }
}
