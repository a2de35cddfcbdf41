//! A Prometheus of our own, and what it answers.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use serde::Deserialize;
use std::collections::BTreeMap;
use tempfile::TempDir;

use super::WINDOW;
use crate::harness::{Result, ensure, unpacked, wait_for};
use crate::load::free_port;
use crate::queries::{PROMETHEUS, RULES};

/// A Prometheus that scrapes an agent every five seconds and knows the rules.
pub(super) struct Prometheus {
    process: Child,
    url: String,
    folder: TempDir,
}

/// What it knows at one moment.
pub(super) struct Now<'a> {
    prometheus: &'a Prometheus,
    time: String,
}

/// One series of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Sample {
    /// Its labels.
    pub(super) metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Sample {
    pub(super) fn value(&self) -> Result<f64> {
        Ok(self.value.1.parse()?)
    }
}

/// Why there is none here.
pub(super) fn missing() -> Option<String> {
    unpacked::missing(&["prometheus", "promtool"])
}

/// Either of its programs.
fn program(name: &str) -> Result<Command> {
    let path = unpacked::find(name).ok_or_else(|| format!("{name} is gone"))?;
    Ok(Command::new(path))
}

impl Prometheus {
    pub(super) fn start(agent: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        std::fs::write(folder.path().join(RULES), quick_rules()?)?;
        let example = std::fs::read_to_string(Path::new(PROMETHEUS).join("prometheus.yml"))?;
        let config = example
            .replace("127.0.0.1:9464", agent)
            .replace("_interval: 15s", "_interval: 5s");
        ensure!(
            config.contains(agent) && config.matches(": 5s").count() == 2,
            "the example of a configuration is another one now:\n{config}"
        );
        let itself = format!(
            "  - job_name: itself\n    static_configs:\n      - targets: [\"{address}\"]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config + &itself)?;
        let log = File::create(folder.path().join("log"))?;
        let process = program("prometheus")?
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let prometheus = Self {
            process,
            url: format!("http://{address}"),
            folder,
        };
        wait_for("Prometheus to scrape the agent", || {
            let up = prometheus.value("up{job=\"ctprof\"}");
            Ok(up.ok().filter(|up| *up == 1.0))
        })?;
        Ok(prometheus)
    }

    /// The value of the only series of the answer.
    pub(super) fn value(&self, query: &str) -> Result<f64> {
        self.at(None).value(query)
    }

    /// What it knows now, whatever happens later. It has nothing to complain of.
    pub(super) fn freeze(&self) -> Result<Now<'_>> {
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        ensure!(log.is_empty(), "Prometheus warns: {log}");
        let time = SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64() - 5.0;
        Ok(self.at(Some(time)))
    }

    fn at(&self, time: Option<f64>) -> Now<'_> {
        Now {
            prometheus: self,
            time: time.map_or_else(String::new, |time| format!("--time={time:.3}")),
        }
    }
}

impl Now<'_> {
    /// All series of the answer.
    pub(super) fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let mut promtool = program("promtool")?;
        promtool.args(["query", "instant", "--format=json"]);
        if !self.time.is_empty() {
            promtool.arg(&self.time);
        }
        let output = promtool.args([&self.prometheus.url, query]).output()?;
        ensure!(
            output.status.success(),
            "{query}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The value of the only series of the answer.
    pub(super) fn value(&self, query: &str) -> Result<f64> {
        match self.query(query)?.as_slice() {
            [sample] => sample.value(),
            samples => Err(format!("{query}: {} series: {samples:?}", samples.len()).into()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The rules over a window that a trial can wait for; what they compare is the same.
fn quick_rules() -> Result<String> {
    let mut rules = std::fs::read_to_string(Path::new(PROMETHEUS).join(RULES))?;
    for window in ["[5m]", "[10m]", "[30m]"] {
        ensure!(rules.contains(window), "no rule looks at {window} any more");
        rules = rules.replace(window, &format!("[{WINDOW}]"));
    }
    // Two neighbours alone delay each other for a half; on a machine that others use, for less.
    ensure!(
        rules.contains("} > 0.2\n"),
        "the noisy neighbour has another limit"
    );
    Ok(rules
        .replace("for: 10m", "for: 3s")
        .replace("} > 0.2\n", "} > 0.1\n"))
}
