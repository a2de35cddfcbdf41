//! The agent's life: settings, reload, its end.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::agent::Agent;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{anywhere, privileged};
use crate::harness::program::Program;
use crate::harness::{Result, ensure, wait_for};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        anywhere("service::bad_settings_are_one_line", bad_settings),
        privileged("service::a_port_in_use", port_in_use),
        privileged("service::others_can_reach_it", beyond_loopback),
        privileged("service::reload_keeps_counters", reload),
        privileged("service::its_end_answers_what_is_asked", end),
        privileged("service::killed_it_leaves_nothing", killed),
        privileged("service::it_gives_up_system_calls", confined),
    ]
}

fn bad_settings() -> Result {
    let folder = TempDir::new()?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let key = file("key", "max_profiles = 2\nlisten_on = 'x'\n")?;
    let value = file("value", "linger = '1 parsec'\n")?;
    let web = file(
        "web.yml",
        "tls_server_config:\n  cert_file: /nonexistent\n  key_file: k\n",
    )?;
    let auth = file("auth.yml", "\nbasic_auth_users:\n  me: secret\n")?;
    let typo = file("typo.yml", "basic_auth_user:\n  me: x\n")?;
    let none = file("none.yml", "tls_server_config:\n  cert_file: c\n")?;
    let broken = file("broken.yml", "a: [1\n")?;
    for (args, said) in [
        (["--max-profiles", "0"], "--max-profiles: '0' is no number from 1 to 4; see ctprof agent --help".to_owned()),
        (["--listen", "web"], "--listen: 'web' is no address with a port; use a form such as 127.0.0.1:9464; see ctprof agent --help".to_owned()),
        (["--config", &key], format!("{key}:2: no setting 'listen_on'; did you mean listen?")),
        (["--config", &value], format!("{value}:1: linger: '1 parsec' is no time from 0s to 1day; use a form such as 90s or 5m")),
        (["--config", "/nonexistent"], "cannot read /nonexistent: No such file or directory (os error 2)".to_owned()),
        (["--web-config", &web], format!("{web}:2: cert_file: cannot use /nonexistent: ")),
        (["--web-config", &auth], format!("{auth}:3: basic_auth_users.me: expected a bcrypt hash, as `htpasswd -nBC 10 NAME` prints after the colon")),
        (["--web-config", &typo], format!("{typo}:1: 'basic_auth_user' is not supported; did you mean basic_auth_users?")),
        (["--web-config", &none], format!("{none}:1: tls_server_config: needs both cert_file and key_file")),
        (["--web-config", &broken], format!("{broken}:")),
        (["--lisen", "x"], "unexpected argument '--lisen' found; tip: a similar argument exists: '--listen'".to_owned()),
    ] {
        let finished = Ctprof::new(&[&["agent"], &args[..]].concat()).run()?;
        finished.expect_code(2)?;
        finished.expect_said(&format!("ctprof: {said}"))?;
    }
    let finished = Ctprof::new(&["agent"]).env("CTPROF_LINGER", "soon").run()?;
    finished.expect_code(2)?;
    finished.expect_said(
        "ctprof: CTPROF_LINGER: 'soon' is no time from 0s to 1day; use a form such as 90s or 5m",
    )
}

fn port_in_use() -> Result {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let finished = Ctprof::new(&["agent", "--listen", &address]).run()?;
    finished.expect_code(1)?;
    finished.expect_said(&format!(
        "ctprof: cannot listen on {address}: Address already in use (os error 98); another program listens there; choose another with --listen"
    ))
}

fn beyond_loopback() -> Result {
    let warning = "can be reached from other hosts without TLS and passwords";
    let open = Agent::start(&["--listen", "0.0.0.0:0"])?.end()?;
    ensure!(open.contains(warning), "no warning: {open}");
    let closed = Agent::start(&[])?.end()?;
    ensure!(!closed.contains("WARN"), "a warning: {closed}");
    Ok(())
}

fn reload() -> Result {
    let folder = TempDir::new()?;
    let path = folder.path().join("ctprof.toml");
    std::fs::write(&path, "max_profiles = 1\n")?;
    let config = path.display().to_string();
    let agent = Agent::start(&["--config", &config])?;
    let before = agent.scrape()?;
    for (text, said) in [
        (
            "max_profiles = 2\nlinger = '3m'\n",
            "reloaded; changed: linger, max-profiles\n".to_owned(),
        ),
        (
            "max_profiles = 2\nlinger = 3m\n",
            format!("reload failed, the old settings stay: {config}:2: "),
        ),
        (
            "max_profiles = 2\nsyscalls = true\nlisten = '0.0.0.0:1'\n",
            "reloaded; changed: linger; needs a restart: syscalls\n".to_owned(),
        ),
    ] {
        std::fs::write(&path, text)?;
        agent.signal(Signal::HUP)?;
        wait_for(&said, || Ok(agent.said().contains(&said).then_some(())))?;
    }
    let after = agent.scrape()?;
    after.grew_from(&before)?;
    let began = "process_start_time_seconds";
    let (then, now) = (before.get(began, &[])?, after.get(began, &[])?);
    ensure!((then - now).abs() < 0.01, "it began anew: {then}, {now}");
    let ran = "ctprof_on_cpu_seconds_total";
    ensure!(
        after.sum(ran, &[]) > before.sum(ran, &[]),
        "nothing ran meanwhile"
    );
    for (outcome, expected) in [("done", 2.0), ("failed", 1.0)] {
        let label = format!("outcome=\"{outcome}\"");
        let counted = after.get("ctprof_reloads_total", &[&label])?;
        ensure!(
            (counted - expected).abs() < 0.5,
            "{counted} reloads {outcome}"
        );
    }
    agent.end()?;
    Ok(())
}

/// A profile that is being recorded ends early and is answered; idle connections keep nobody waiting.
fn end() -> Result {
    // Not of everything: naming all that a host runs takes an unoptimised build longer than the agent waits.
    let cgroup = Cgroup::new("ending")?;
    let program = Program::start(Some(&cgroup), &["burn", "--ms", "600000"])?;
    let page = format!("/debug/pprof/profile?seconds=120&cgroup={}", cgroup.path());
    let agent = Agent::start(&[])?;
    let _idle = TcpStream::connect(agent.address())?;
    let address = agent.address().to_owned();
    let answer = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            agent
                .ask(&page, "")
                .map_err(|error| error.message().unwrap_or("").to_owned())
        });
        wait_for("the recording", || {
            Ok(agent.said().contains("recording /ctprof").then_some(()))
        })?;
        std::thread::sleep(Duration::from_secs(1));
        agent.signal(Signal::TERM)?;
        Ok::<_, libtest_mimic::Failed>(client.join().map_err(|_| "the client panicked")??)
    })?;
    program.kill()?;
    ensure!(
        answer.code == 200 && answer.body.starts_with(&[0x1f, 0x8b]),
        "{}",
        answer.head
    );
    let asked = Instant::now();
    let finished = agent.finish()?;
    finished.expect_code_only(0)?;
    ensure!(
        asked.elapsed() < Duration::from_secs(5),
        "it ended after {:?}",
        asked.elapsed()
    );
    ensure!(
        TcpStream::connect(&address).is_err(),
        "somebody still listens"
    );
    Ok(())
}

/// Nothing is pinned, so nothing outlives the process; a successor begins as if nothing had been.
fn killed() -> Result {
    let agent = Agent::start(&[])?;
    agent.scrape()?;
    let held = agent.holds()?;
    let is_there = |key: &str| held.iter().any(|id| id.starts_with(key));
    ensure!(
        is_there("prog_id") && is_there("map_id") && is_there("link_id"),
        "{held:?}"
    );
    let all = in_kernel()?;
    ensure!(all.is_superset(&held), "{held:?} are not all in the kernel");
    agent.signal(Signal::KILL)?;
    let finished = agent.finish()?;
    ensure!(finished.code.is_none(), "exit code {:?}", finished.code);
    wait_for("the kernel to free what it loaded", || {
        Ok(in_kernel()?.is_disjoint(&held).then_some(()))
    })?;
    let successor = Agent::start(&[])?;
    successor.scrape()?.get("process_start_time_seconds", &[])?;
    successor.end()?;
    Ok(())
}

/// Every BPF program, map and link there is, named as in `/proc/PID/fdinfo`.
fn in_kernel() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for program in aya::programs::loaded_programs().flatten() {
        found.insert(format!("prog_id {}", program.id()));
    }
    for map in aya::maps::loaded_maps().flatten() {
        found.insert(format!("map_id {}", map.id()));
    }
    for link in aya::programs::loaded_links().flatten() {
        found.insert(format!("link_id {}", link.id()));
    }
    Ok(found)
}

/// Every thread has the filter, those of a recording, too, and it records all the same.
fn confined() -> Result {
    let filters = |agent: &Agent| -> Result<Vec<String>> {
        let mut found = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", agent.pid()?))?.flatten() {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("Seccomp:"));
            found.extend(line.map(|line| line.trim_start_matches("Seccomp:").trim().to_owned()));
        }
        Ok(found)
    };
    let agent = Agent::start(&["--no-seccomp"])?;
    // Whoever runs the tests may have a filter himself.
    let own = filters(&agent)?;
    let log = agent.end()?;
    ensure!(!log.contains("seccomp filter is on"), "{log}");
    let cgroup = Cgroup::new("confined")?;
    let program = Program::start(Some(&cgroup), &["burn", "--ms", "600000"])?;
    let page = format!("/flamegraph?seconds=3&cgroup={}", cgroup.path());
    let agent = Agent::start(&[])?;
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            agent
                .ask(&page, "")
                .map_err(|it| it.message().unwrap_or("").to_owned())
        });
        wait_for("the recording", || {
            Ok(agent.said().contains("recording /ctprof").then_some(()))
        })?;
        let all = filters(&agent)?;
        ensure!(
            !all.is_empty() && all.iter().all(|it| it == "2"),
            "{all:?}, and {own:?} without"
        );
        let answer = client.join().map_err(|_| "the client panicked")??;
        ensure!(answer.code == 200, "{}", answer.head);
        // Its functions have names: their files could be read.
        ensure!(answer.text().contains("alpha"), "no alpha in the graph");
        Ok::<_, libtest_mimic::Failed>(())
    })?;
    program.kill()?;
    let log = agent.end()?;
    ensure!(log.contains("a seccomp filter is on"), "{log}");
    ensure!(!log.contains("panicked") && !log.contains("WARN"), "{log}");
    Ok(())
}
