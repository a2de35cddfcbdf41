//! Names of a stripped program whose debug information only a server has, which listens on loopback here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::TempDir;

use super::output;
use crate::harness::agent::Agent;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, missing_program, skipping};
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    let missing = || {
        let programs = ["cc", "strip", "objcopy"].iter();
        missing_privilege().or_else(|| programs.filter_map(|name| missing_program(name)).next())
    };
    vec![
        skipping("debuginfod::names_a_recording", recording, missing),
        skipping("debuginfod::names_a_profile_of_the_agent", agent, missing),
        skipping("debuginfod::without_is_as_before", off, missing),
    ]
}

/// Burns for some seconds in functions that nobody exports, one inlined into the other.
const SOURCE: &str = r"
#include <time.h>
static inline __attribute__((always_inline)) unsigned inlined_spin(unsigned x) {
    for (int i = 0; i < 100000; i++) __asm__ volatile('' : '+r'(x));
    return x + 1;
}
static __attribute__((noinline)) unsigned hidden_spin(unsigned x) {
    return inlined_spin(x) * 3;
}
int main(int argc, char **argv) {
    unsigned x = argc;
    for (time_t end = time(0) + (argc > 1 ? 600 : 5); time(0) < end;) x = hidden_spin(x);
    return x == 42;
}
";

/// How long the server takes. The program of a recording runs for longer.
const DELAY: Duration = Duration::from_secs(1);

/// A stripped program and a server of its debug information, which is nowhere else.
struct Served {
    dir: TempDir,
    program: PathBuf,
    url: String,
    /// When each request came, and for what.
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Served {
    fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        let at = |name: &str| dir.path().join(name);
        let (source, program, debug) = (at("spin.c"), at("spin"), at("debug"));
        std::fs::write(
            &source,
            SOURCE.replace("''", "\"\"").replace("'+r'", "\"+r\""),
        )?;
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-g", "-Wl,--build-id=0xabcdef0123456789", "-o"]);
        run(compile.arg(&program).arg(&source))?;
        let mut keep = Command::new("objcopy");
        run(keep.arg("--only-keep-debug").arg(&program).arg(&debug))?;
        run(Command::new("strip").arg("-s").arg(&program))?;
        let bytes = std::fs::read(&debug)?;
        std::fs::remove_file(&debug)?;
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let url = serve(bytes, Arc::clone(&asked))?;
        Ok(Self {
            dir,
            program,
            url,
            asked,
        })
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn kept(&self) -> PathBuf {
        self.cache().join("abcdef0123456789/debuginfo")
    }

    /// When it was asked for the debug information of the program.
    fn when(&self) -> Vec<Instant> {
        let asked = self.asked.lock();
        let asked = asked.unwrap_or_else(std::sync::PoisonError::into_inner);
        let ours = asked
            .iter()
            .filter(|(_, path)| path == "/buildid/abcdef0123456789/debuginfo");
        ours.map(|(at, _)| *at).collect()
    }
}

fn run(command: &mut Command) -> Result {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

/// Answers each request in a thread of its own.
fn serve(bytes: Vec<u8>, asked: Arc<Mutex<Vec<(Instant, String)>>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let bytes = Arc::new(bytes);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (bytes, asked) = (Arc::clone(&bytes), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone()?).lines();
                let first = lines.next().transpose()?.unwrap_or_default();
                while lines.next().transpose()?.is_some_and(|it| !it.is_empty()) {}
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                let is_ours = path.contains("abcdef0123456789");
                if let Ok(mut asked) = asked.lock() {
                    asked.push((Instant::now(), path));
                }
                if is_ours {
                    std::thread::sleep(DELAY);
                    let length = bytes.len();
                    write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                    )?;
                    stream.write_all(&bytes)
                } else {
                    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                }
            });
        }
    });
    Ok(url)
}

/// Records the program from its start to its end.
fn record(served: &Served, output: &Path, urls: &str) -> Result<String> {
    let cache = served.cache().display().to_string();
    let finished = Ctprof::record(output, &["--frequency", "199", "--"])
        .arg(&served.program)
        .env("DEBUGINFOD_URLS", urls)
        .env("DEBUGINFOD_CACHE_PATH", &cache)
        .run()?;
    finished.expect_code_only(0)?;
    let recording = finished.recording(output)?;
    let unnamed = recording.summary["unnamed"].to_string();
    // A file that a server does not have is a system library's.
    ensure!(!unnamed.contains("debuginfod_late"), "{unnamed}");
    ensure!(!unnamed.contains("debuginfod_failed"), "{unnamed}");
    Ok(std::fs::read_to_string(output.join("stacks.folded"))?)
}

/// It is asked for while the program runs, and kept for the next time.
fn recording() -> Result {
    let served = Served::new()?;
    for is_first in [true, false] {
        let (_folder, dir) = output()?;
        let folded = record(&served, &dir, &served.url)?;
        let end = Instant::now();
        ensure!(
            folded.contains("hidden_spin;inlined_spin"),
            "the server's names are not in {folded}"
        );
        let asked = served.when();
        ensure!(asked.len() == 1, "asked {} times", asked.len());
        let before_end = end.saturating_duration_since(asked[0]);
        ensure!(
            !is_first || before_end > DELAY * 2,
            "asked {before_end:?} before the end"
        );
        let lines = std::fs::read(dir.join("profile.pb.gz"))?.len();
        ensure!(lines > 0, "no profile");
    }
    ensure!(served.kept().exists(), "nothing is kept");
    Ok(())
}

/// Without a server nothing is asked, and nothing is different.
fn off() -> Result {
    let served = Served::new()?;
    let (_folder, dir) = output()?;
    let folded = record(&served, &dir, "")?;
    ensure!(!folded.contains("hidden_spin"), "{folded}");
    ensure!(folded.contains("[spin+0x"), "{folded}");
    ensure!(served.when().is_empty(), "it was asked");
    ensure!(!served.cache().exists(), "there is a cache");
    Ok(())
}

/// A program that runs until the end of a trial.
struct Spinning(Child);

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent writes no files: what came is in its memory, for the next profile as well.
fn agent() -> Result {
    let served = Served::new()?;
    let cgroup = Cgroup::new("debuginfod")?;
    let mut command = Command::new(&served.program);
    let joined = cgroup.enclose(command.arg("on"))?;
    let spinning = Spinning(command.spawn()?);
    drop(joined);
    let cache = served.cache().display().to_string();
    // By its name, which is looked up with the filter on.
    let url = served.url.replace("127.0.0.1", "localhost");
    let environment = [
        ("DEBUGINFOD_URLS", url.as_str()),
        ("DEBUGINFOD_CACHE_PATH", cache.as_str()),
    ];
    let agent = Agent::start_in(&environment, &[])?;
    let page = format!("/flamegraph?seconds=4&cgroup={}", cgroup.path());
    for _ in 0..2 {
        let answer = agent.ask(&page, "")?;
        ensure!(answer.code == 200, "{}", answer.head);
        let graph = answer.text();
        ensure!(
            graph.contains("hidden_spin") && graph.contains("inlined_spin"),
            "the server's names are not in the graph"
        );
        let asked = served.when().len();
        ensure!(asked == 1, "asked {asked} times");
    }
    ensure!(!served.cache().exists(), "the agent wrote to disk");
    drop(spinning);
    let log = agent.end()?;
    ensure!(log.contains("a seccomp filter is on"), "{log}");
    ensure!(!log.contains("panicked") && !log.contains("WARN"), "{log}");
    Ok(())
}
