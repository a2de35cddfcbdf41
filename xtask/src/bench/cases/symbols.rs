//! Addresses to names.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::peers::Peer;
use crate::bench::report::{Column, Row, Shape, Table, Unit};
use crate::bench::{Effort, usage};
use crate::{cmd, paths};

/// A program that does nothing but brings the whole runtime and some packages.
const GO: &str = "package main\n\nimport (\n\t\"net/http\"\n\t\"time\"\n)\n\nfunc main() {\n\thttp.NewServeMux()\n\ttime.Sleep(time.Hour)\n}\n";

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let mut build = cmd::cargo();
    build.args(["build", "--quiet", "--release", "--package", "ctprof"]);
    cmd::run(build.args(["--example", "symbolize"]))?;
    let columns = [
        ("addresses", Unit::Count),
        ("with a name", Unit::Count),
        ("an address, cold", Unit::Ns),
        ("an address, warm", Unit::Ns),
    ];
    let row = |name: &str| Row::new(name, columns.len());
    let mut rows = vec![
        row("Rust, line tables (ctprof itself)"),
        row("the same with addr2line -f -i"),
        row("large library, symbols only (the Rust compiler)"),
        row("Go, stripped"),
        row("compiled at run time, perf map"),
    ];
    rows[1].lacks = cmd::find("addr2line")
        .is_none()
        .then(|| "addr2line is not installed: `apt-get install binutils`".to_owned());
    rows[2].lacks = compiler().err().map(|error| format!("{error:#}"));
    rows[3].lacks = Peer::Go.lacks();
    for round in 0..effort.rounds {
        eprintln!(
            "round {} of {}: addresses to names",
            round + 1,
            effort.rounds
        );
        let ctprof = paths::target().join("release/ctprof");
        let mut agent = Command::new(&ctprof);
        agent.args(["agent", "--listen", "127.0.0.1:0"]);
        let agent = Sleeper::start(agent, &ctprof)?;
        rows[0].push(&agent.symbolize(&ctprof)?);
        drop(agent);
        if rows[1].lacks.is_none() {
            rows[1].push(&by_addr2line(&ctprof)?);
        }
        if rows[2].lacks.is_none() {
            let (rustc, driver) = compiler()?;
            // Waits for a program on its standard input.
            let mut command = Command::new(rustc);
            command.arg("-");
            rows[2].push(&Sleeper::start(command, &driver)?.symbolize(&driver)?);
        }
        if rows[3].lacks.is_none() {
            let program = go_program()?;
            rows[3].push(&Sleeper::start(Command::new(&program), &program)?.symbolize(&program)?);
        }
        rows[4].push(&symbolize(&["jit"])?);
    }
    Ok(vec![Table {
        id: "symbols".to_owned(),
        title: "Addresses to names".to_owned(),
        about: "Addresses spread evenly over all code of a file that a process maps, each asked for once: more than most \
                recordings have. Times are CPU time. Cold is with reading the file's tables, warm once more. addr2line reads the same line tables, \
                anew in each run, and is given the same number of addresses."
            .to_owned(),
        columns: columns.map(|(name, unit)| Column::new(name, unit)).into(),
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    }])
}

/// The compiler, and the library that holds nearly all of it.
fn compiler() -> Result<(PathBuf, PathBuf)> {
    let root = cmd::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let root = PathBuf::from(root);
    let is_driver = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("librustc_driver-")
    };
    let files = std::fs::read_dir(root.join("lib"))?;
    let mut files = files.filter_map(|it| Some(it.ok()?.path()));
    let driver = files
        .find(is_driver)
        .context("no librustc_driver in rustc's folder")?;
    Ok((root.join("bin/rustc"), driver))
}

fn go_program() -> Result<PathBuf> {
    let folder = paths::target().join("bench-go");
    let program = folder.join("program");
    if !program.is_file() {
        std::fs::create_dir_all(&folder)?;
        std::fs::File::create(folder.join("main.go"))?.write_all(GO.as_bytes())?;
        let go = Peer::Go.path().context("go is gone")?;
        let mut build = Command::new(go);
        build.args(["build", "-ldflags=-s -w", "-o", "program", "main.go"]);
        cmd::run(build.current_dir(&folder))?;
    }
    Ok(program)
}

/// A process that stays where it is until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    /// Starts it and waits until it maps `file`.
    fn start(mut command: Command, file: &Path) -> Result<Self> {
        let line = cmd::line(&command);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run `{line}`"))?;
        let this = Self(child);
        let file = file.display().to_string();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let maps = std::fs::read_to_string(format!("/proc/{}/maps", this.0.id()))?;
            if maps
                .lines()
                .any(|it| it.contains(" r-xp ") && it.ends_with(&file))
            {
                return Ok(this);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("`{line}` does not map {file}")
    }

    fn symbolize(&self, file: &Path) -> Result<[f64; 4]> {
        symbolize(&[&self.0.id().to_string(), &file.display().to_string()])
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn symbolize(arguments: &[&str]) -> Result<[f64; 4]> {
    let example = paths::target().join("release/examples/symbolize");
    let text = cmd::output(Command::new(example).args(arguments))?;
    let numbers: Vec<f64> = text.split(' ').filter_map(|it| it.parse().ok()).collect();
    let &[count, named, cold, warm] = numbers.as_slice() else {
        anyhow::bail!("symbolize printed `{text}`");
    };
    ensure!(count > 0.0, "no code to look up");
    Ok([count, named, cold / count, warm / count])
}

/// The peer on the same file: addresses of its own code, as the file has them.
fn by_addr2line(file: &Path) -> Result<[f64; 4]> {
    use object::{Object, ObjectSection};
    const ADDRESSES: usize = 20_000;
    let bytes = std::fs::read(file)?;
    let object = object::File::parse(&*bytes)?;
    let text = object.section_by_name(".text").context("no .text")?;
    let step = usize::try_from(text.size())? / ADDRESSES;
    let addresses = (text.address()..).step_by(step.max(1)).take(ADDRESSES);
    let input: String = addresses.map(|it| format!("{it:x}\n")).collect();
    let listed = paths::target().join("bench-addresses");
    std::fs::write(&listed, input)?;
    let mut command = Command::new("addr2line");
    command.args(["-a", "-f", "-i", "-e"]).arg(file);
    let mut child = command
        .stdin(std::fs::File::open(&listed)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut output)?;
    }
    let ns = usage::wait(&child, "addr2line")?.cpu_ns;
    // An address, then its innermost function.
    let text = String::from_utf8_lossy(&output);
    let lines = text.lines().zip(text.lines().skip(1));
    let named = lines.filter(|(address, name)| address.starts_with("0x") && *name != "??");
    let named = named.count();
    Ok([
        ADDRESSES as f64,
        named as f64,
        ns / ADDRESSES as f64,
        ns / ADDRESSES as f64,
    ])
}
