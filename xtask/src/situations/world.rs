//! The containers of a situation, as it is or with what the advice changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;

use super::ahead::Ahead;
use super::docker::{Docker, NETWORK};
use super::interrupt::Interrupt;
use super::model::{Change, Container, From, Situation};
use super::programs::{IMAGE, Programs};

/// How long containers may take until there is some work.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long they run before they are watched: runtimes compile, caches and pools fill.
const WARM_UP: Duration = Duration::from_secs(4);

/// What situations are run with.
pub(super) struct Host<'a> {
    pub(super) docker: &'a Docker,
    pub(super) programs: &'a Programs,
    pub(super) interrupt: &'a Interrupt,
    pub(super) ctprof: &'a Path,
    pub(super) ahead: Option<&'a Ahead>,
}

/// Running containers; removed when dropped.
pub(super) struct World<'a> {
    host: &'a Host<'a>,
    started: Vec<Started>,
    /// Where they count their work.
    out: PathBuf,
    /// What the change came to, as a user would type it.
    pub(super) applied: Vec<String>,
}

struct Started {
    name: &'static str,
    id: String,
    judged: bool,
}

impl<'a> World<'a> {
    /// Starts them and, but for what is watched from its birth on, waits until they have been at work for a while. With what
    /// ctprof advised, it is the situation with its changes.
    pub(super) fn start(
        host: &'a Host<'a>,
        situation: &Situation,
        advice: Option<&[String]>,
    ) -> Result<Self> {
        // In memory: counting is to have nothing to do with a disk.
        let out = PathBuf::from(format!("/dev/shm/ctprof-situations-{}", std::process::id()));
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let mut world = Self {
            host,
            started: Vec::new(),
            out,
            applied: Vec::new(),
        };
        for container in situation.containers {
            host.interrupt.check()?;
            let mut changes = situation.changes.iter();
            let change = changes.find(|it| it.container == container.name);
            world.start_one(container, change.zip(advice))?;
        }
        if situation.from == From::Work {
            world.wait_for_work()?;
            host.interrupt.wait_until(Instant::now() + WARM_UP)?;
        }
        Ok(world)
    }

    fn start_one(
        &mut self,
        container: &Container,
        changed: Option<(&Change, &[String])>,
    ) -> Result<()> {
        let mut options: Vec<String> = container.options.iter().map(|&it| it.to_owned()).collect();
        let mut command = container.command;
        if let Some((change, advice)) = changed {
            if change.gone {
                self.applied.push(format!("without {}", container.name));
                return Ok(());
            }
            for option in change.options {
                let option = with_number(option, advice)?;
                options.retain(|it| key(it) != key(&option));
                self.applied.push(option.clone());
                options.push(option);
            }
            if let Some(other) = change.command {
                command = other;
                self.applied.push(other.join(" "));
            }
        }
        let programs = self.host.programs;
        options.retain(|it| !it.ends_with('='));
        for option in &mut options {
            *option = option.replace("=/app/", &format!("={}/", programs.app.display()));
        }
        let mut docker = self.host.docker.command();
        docker.args(["run", "--detach", "--name", container.name]);
        if !options.iter().any(|it| key(it) == "--network") {
            docker.arg(format!("--network={NETWORK}"));
        }
        docker.args(options).args(programs.options(command));
        docker.arg(format!("--volume={}:/out", self.out.display()));
        docker.arg(IMAGE);
        docker.args(command.iter().map(|&word| programs.word(word)));
        let id = crate::cmd::output(&mut docker)?;
        self.started.push(Started {
            name: container.name,
            id,
            judged: container.judged,
        });
        Ok(())
    }

    fn wait_for_work(&self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        while self.work() == 0 {
            self.host.interrupt.check()?;
            if Instant::now() > end {
                bail!("no work after {} s: {}", START_LIMIT.as_secs(), self.logs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What containers wrote last.
    fn logs(&self) -> String {
        let lines = self.started.iter().map(|it| {
            let mut logs = self.host.docker.command();
            logs.args(["logs", "--tail", "3", &it.id]);
            let output = logs.output().map(|it| [it.stdout, it.stderr].concat());
            let text = output.unwrap_or_default();
            format!("{}: {}", it.name, String::from_utf8_lossy(&text).trim_end())
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    /// Pieces of work until now.
    pub(super) fn work(&self) -> u64 {
        self.bytes("work").unwrap_or(0)
    }

    /// Seconds that these pieces took, added up, where the workload counts them.
    pub(super) fn spent_seconds(&self) -> Option<f64> {
        self.bytes("time").map(|tenths| tenths as f64 / 1e4)
    }

    fn bytes(&self, name: &str) -> Option<u64> {
        fs::metadata(self.out.join(name)).ok().map(|it| it.len())
    }

    /// The id of the container that ctprof is asked about.
    pub(super) fn judged(&self) -> Result<&str> {
        let found = self.started.iter().find(|it| it.judged);
        Ok(&found.context("no container is judged")?.id)
    }

    /// Fails where a container has ended, with what it wrote last. One that is started over again has not.
    pub(super) fn check(&self) -> Result<()> {
        for started in &self.started {
            let running = self.inspect(Some(started.name), "{{.State.Running}}")?;
            ensure!(
                running == "true",
                "{} has ended: {}",
                started.name,
                self.logs()
            );
        }
        Ok(())
    }

    /// `docker inspect` of the container with this name, or of the judged one.
    pub(super) fn inspect(&self, name: Option<&str>, format: &str) -> Result<String> {
        let id = match name {
            None => self.judged()?,
            Some(name) => {
                let found = self.started.iter().find(|it| it.name == name);
                &found
                    .with_context(|| format!("no container is called {name}"))?
                    .id
            }
        };
        let text = self.host.docker.run(&["inspect", "--format", format, id])?;
        Ok(text)
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        for started in self.started.iter().rev() {
            let args = ["rm", "--force", "--volumes", &started.id];
            if let Err(error) = self.host.docker.run(&args) {
                eprintln!("cannot remove {}: {error:#}", started.name);
            }
        }
        let _ = fs::remove_dir_all(&self.out);
    }
}

/// What an option sets: its name, for a variable with that of the variable.
fn key(option: &str) -> &str {
    let end = match option.strip_prefix("--env=") {
        Some(variable) => variable.find('=').map(|at| at + "--env=".len()),
        None => option.find('='),
    };
    end.map_or(option, |end| &option[..end])
}

/// `--cpus=?1` with the number that the advice names behind `--cpus`, or with 1.
fn with_number(option: &str, advice: &[String]) -> Result<String> {
    let Some((before, default)) = option.split_once("=?") else {
        return Ok(option.to_owned());
    };
    let name = before.strip_prefix("--env=").unwrap_or(before);
    let named = Regex::new(&format!(
        r"{}[= ]+([0-9][0-9.]*[A-Za-z]*)",
        regex::escape(name)
    ))?;
    let found = advice.iter().find_map(|line| named.captures(line));
    let number = found
        .as_ref()
        .and_then(|it| it.get(1))
        .map_or(default, |it| it.as_str().trim_end_matches('.'));
    Ok(format!("{before}={number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_the_advice() -> Result<()> {
        let advice = [
            "raise the quota: `docker update --cpus 1.25 api`".to_owned(),
            "or set GOMAXPROCS=1.".to_owned(),
        ];
        for (option, expected) in [
            ("--cpus=?2", "--cpus=1.25"),
            ("--env=GOMAXPROCS=?4", "--env=GOMAXPROCS=1"),
            ("--memory=?256m", "--memory=256m"),
            ("--cpus=2", "--cpus=2"),
        ] {
            assert_eq!(with_number(option, &advice)?, expected);
        }
        Ok(())
    }

    #[test]
    fn an_option_replaces_its_namesake() {
        assert_eq!(key("--cpus=2"), "--cpus");
        assert_eq!(key("--env=GOGC=50"), "--env=GOGC");
        assert_eq!(key("--privileged"), "--privileged");
    }
}
