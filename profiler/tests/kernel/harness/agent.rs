//! Running the real `ctprof agent`, and reading what it tells Prometheus.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::ctprof::{Ctprof, Running};
use super::program::now_ns;
use super::{Result, ensure, wait_for};

/// An agent that runs.
pub(crate) struct Agent {
    running: Running,
    address: String,
}

/// One answer of `/metrics`, in the classic text format.
#[derive(Debug)]
pub(crate) struct Scrape {
    series: BTreeMap<String, f64>,
    /// When it was asked for.
    pub(crate) asked_ns: u64,
}

impl Agent {
    /// `ctprof agent ARGS…` on a port of its own, ready.
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        let mut running =
            Ctprof::new(&[&["agent", "--listen", "127.0.0.1:0"], args].concat()).start()?;
        let address = wait_for("the agent to be ready", || {
            running.expect_alive()?;
            let said = running.said();
            let ready = said.contains("ready: ");
            let address = said
                .lines()
                .find_map(|line| line.split("listening on ").nth(1));
            Ok(address.filter(|_| ready).map(|it| it.trim().to_owned()))
        })?;
        Ok(Self { running, address })
    }

    /// What `GET path` answers: status line, headers and body.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: agent\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The metrics of now.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        let asked_ns = now_ns();
        let answer = self.get("/metrics")?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "/metrics answers {}",
            answer.lines().next().unwrap_or_default()
        );
        let lines = answer
            .lines()
            .filter(|line| line.starts_with("ctprof_") || line.starts_with("process_"));
        let series = lines
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((series.to_owned(), value.parse().ok()?))
            })
            .collect();
        Ok(Scrape { series, asked_ns })
    }

    /// Ends it as systemd would.
    pub(crate) fn end(self) -> Result<String> {
        self.running.terminate()?;
        let finished = self.running.finish()?;
        finished.expect_code_only(0)?;
        Ok(finished.stderr)
    }
}

impl Scrape {
    /// The sum of all series of this name whose labels contain all of these (`key="value"`).
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.find(name, labels).map(|(_, value)| value).sum()
    }

    /// The same; fails where there is none.
    pub(crate) fn get(&self, name: &str, labels: &[&str]) -> Result<f64> {
        ensure!(
            self.find(name, labels).next().is_some(),
            "no {name} with {labels:?}"
        );
        Ok(self.sum(name, labels))
    }

    /// Series of this name with these labels.
    pub(crate) fn find(&self, name: &str, labels: &[&str]) -> impl Iterator<Item = (&str, f64)> {
        self.series
            .iter()
            .filter(move |(series, _)| {
                series.split('{').next() == Some(name)
                    && labels.iter().all(|label| series.contains(label))
            })
            .map(|(series, value)| (series.as_str(), *value))
    }

    /// Fails if a counter has shrunk since an earlier scrape.
    pub(crate) fn grew_from(&self, before: &Self) -> Result {
        for (series, then) in &before.series {
            let name = series.split('{').next().unwrap_or_default();
            let counts = ["_total", "_count", "_bucket", "_sum"];
            let is_counter = counts.iter().any(|end| name.ends_with(end));
            if let Some(now) = self.series.get(series).filter(|_| is_counter) {
                ensure!(now >= then, "{series} shrank from {then} to {now}");
            }
        }
        Ok(())
    }
}

/// The label of a plain cgroup.
pub(crate) fn container(path: &str) -> String {
    format!("container=\"{path}\"")
}
