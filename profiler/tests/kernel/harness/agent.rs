//! Running the real `ctprof agent`, and reading what it tells Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use super::ctprof::{Ctprof, Finished, Running};
use super::program::now_ns;
use super::{Result, ensure, patience, wait_for};

/// An agent that runs.
pub(crate) struct Agent {
    /// `None` where somebody else has started it.
    running: Option<Running>,
    address: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) code: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    /// As it came.
    pub(crate) body: Vec<u8>,
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
        Self::start_in(&[], args)
    }

    /// The same, with these environment variables.
    pub(crate) fn start_in(environment: &[(&str, &str)], args: &[&str]) -> Result<Self> {
        let own: &[&str] = if args.contains(&"--listen") {
            &["agent"]
        } else {
            &["agent", "--listen", "127.0.0.1:0"]
        };
        let mut ctprof = Ctprof::new(&[own, args].concat());
        for (name, value) in environment {
            ctprof = ctprof.env(name, value);
        }
        let mut running = ctprof.start()?;
        let address = wait_for("the agent to be ready", || {
            running.expect_alive()?;
            let said = running.said();
            let ready = said.contains("ready: ");
            let address = said
                .lines()
                .find_map(|line| line.split("listening on ").nth(1));
            Ok(address.filter(|_| ready).map(|it| it.trim().to_owned()))
        })?;
        Ok(Self {
            running: Some(running),
            address,
        })
    }

    /// One that somebody else has started.
    pub(crate) fn at(address: &str) -> Self {
        Self {
            running: None,
            address: address.to_owned(),
        }
    }

    fn running(&self) -> Result<&Running> {
        Ok(self.running.as_ref().ok_or("this agent is not ours")?)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        Ok(self.running()?.pid())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// BPF programs, maps and links that it holds, as the kernel numbers them.
    pub(crate) fn holds(&self) -> Result<BTreeSet<String>> {
        self.running()?.holds()
    }

    /// What it has logged so far.
    pub(crate) fn said(&self) -> String {
        self.running.as_ref().map(Running::said).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result {
        self.running()?.signal(signal)
    }

    /// Waits for its end, whatever ends it: its exit code and log.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.running.ok_or("this agent is not ours")?.finish()
    }

    /// Sends bytes as they are; everything that comes back until the connection ends.
    pub(crate) fn send(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(patience()))?;
        // It may answer, and close, before it has all.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Ok(answer)
    }

    /// What `GET path` answers, with these headers (`Name: value\r\n`).
    pub(crate) fn ask(&self, path: &str, headers: &str) -> Result<Answer> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        Answer::parse(&self.send(request.as_bytes())?)
    }

    /// What `GET path` answers: status line, headers and body.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n"
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
        self.running()?.terminate()?;
        let finished = self.finish()?;
        finished.expect_code_only(0)?;
        Ok(finished.stderr)
    }
}

impl Answer {
    /// An answer with a length, as it came.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| format!("no answer: {:?}", String::from_utf8_lossy(bytes)))?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let code = head.split(' ').nth(1).unwrap_or_default().parse()?;
        Ok(Self {
            code,
            head,
            body: bytes[end + 4..].to_vec(),
        })
    }

    /// The body, if it is text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless the code is this, and the body one line that has this in it.
    pub(crate) fn refuses(&self, code: u16, text: &str) -> Result {
        let body = self.text();
        ensure!(
            self.code == code && body.contains(text) && body.lines().count() == 1,
            "{} {body:?} instead of {code} and a line with {text:?}",
            self.code
        );
        Ok(())
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
