//! Profiles that an agent records on demand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ctprof::output::pprof::proto::Profile;
use libtest_mimic::Trial;
use prost::Message as _;

use crate::harness::agent::{Agent, container};
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, ensure, wait_for};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("on_demand::profiles_side_by_side", profiles),
        privileged("on_demand::profiles_add_up_to_the_time_of_threads", add_up),
        privileged("on_demand::a_client_that_goes_away", client_gone),
        privileged("on_demand::looks_at_what_is_wrong", looks),
    ]
}

/// Two at a time, each with its own container, its own length and its own form; a third has to come again.
fn profiles() -> Result {
    let cgroup = Cgroup::new("profiled")?;
    let program = Program::start(Some(&cgroup), &["burn", "--ms", "20000"])?;
    let agent = Agent::start(&[])?;
    let path = |page: &str, rest: &str| format!("{page}?cgroup={}&seconds=2{rest}", cgroup.path());
    let graph = path("/flamegraph", "&state=on-cpu");
    let pprof = path("/debug/pprof/profile", "");
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            agent
                .ask(&graph, "")
                .map_err(|it| it.message().unwrap_or("").to_owned())
        });
        let second = scope.spawn(|| {
            agent
                .ask(&pprof, "")
                .map_err(|it| it.message().unwrap_or("").to_owned())
        });
        wait_for("both to run", || {
            let running = agent.scrape()?.get("ctprof_profiles_running", &[])?;
            Ok((running > 1.5).then_some(()))
        })?;
        agent.ask(&pprof, "")?.refuses(
            429,
            "2 profiles are being recorded, which is the limit (--max-profiles)",
        )?;
        let panicked = |_| "a client panicked";
        Ok::<_, libtest_mimic::Failed>((
            first.join().map_err(panicked)??,
            second.join().map_err(panicked)??,
        ))
    })?;
    program.kill()?;
    ensure!(
        first.code == 200 && first.head.contains("content-type: image/svg+xml"),
        "{}",
        first.head
    );
    // The workload's own functions, which take turns.
    ensure!(first.text().contains("alpha"), "no alpha in the graph");
    ensure!(
        second.code == 200 && second.body.starts_with(&[0x1f, 0x8b]),
        "{}",
        second.head
    );
    let scrape = agent.scrape()?;
    for (outcome, expected) in [("done", 2.0), ("refused", 1.0)] {
        let label = format!("outcome=\"{outcome}\"");
        let counted = scrape.get("ctprof_profiles_total", &[&label])?;
        ensure!(
            (counted - expected).abs() < 0.5,
            "{counted} profiles {outcome}"
        );
    }
    agent.end()?;
    Ok(())
}

/// What is wrong with a container stands in its metrics once it was looked at, and is gone when nothing is any more. Asked for
/// on demand, it comes with what the kernel counted of the cgroup meanwhile.
fn looks() -> Result {
    const LOOK: Duration = Duration::from_secs(10);
    const EVERY: Duration = Duration::from_secs(30);
    let cgroup = Cgroup::new("looked-at")?;
    cgroup.limit(0.2)?;
    let program = Program::start(Some(&cgroup), &["burn", "--ms", "120000"])?;
    let agent = Agent::start(&["--doctor-every", "30s"])?;
    let label = container(cgroup.path());
    let quota = [label.as_str(), "id=\"quota\"", "severity=\"critical\""];
    let found = || -> Result<f64> { Ok(agent.scrape()?.sum("ctprof_finding", &quota)) };
    ensure!(found()? < 0.5, "found before anybody looked");
    let page = format!("/doctor?cgroup={}&seconds=3&format=json", cgroup.path());
    let answer: serde_json::Value = serde_json::from_str(&agent.ask(&page, "")?.text())?;
    let first = &answer["containers"][0]["findings"][0];
    let said = first.to_string();
    ensure!(
        first["id"] == "quota" && first["severity"] == "critical",
        "{answer}"
    );
    for wanted in ["Its quota of 0.2 CPU", "periods (cpu.stat)"] {
        ensure!(said.contains(wanted), "no {wanted} in {said}");
    }
    std::thread::sleep(LOOK);
    wait_for("a look", || Ok((found()? > 0.5).then_some(())))?;
    program.kill()?;
    std::thread::sleep(EVERY);
    wait_for("another look", || Ok((found()? < 0.5).then_some(())))?;
    let looked = agent
        .scrape()?
        .get("ctprof_last_look_timestamp_seconds", &[])?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!((0.0..60.0).contains(&(now - looked)), "{looked} at {now}");
    agent.end()?;
    Ok(())
}

/// Two profiles of the same container at once, one within the other: each has all of the time of its threads, and no program
/// is loaded for them.
fn add_up() -> Result {
    let cgroup = Cgroup::new("added")?;
    let busy = Program::start(Some(&cgroup), &["burn", "--ms", "60000"])?;
    // All of its sleep began before.
    let asleep = Program::start(Some(&cgroup), &["sleep", "--ms", "60000"])?;
    let agent = Agent::start(&[])?;
    let mut threads = 0;
    for pid in [busy.pid(), asleep.pid()] {
        threads += i64::try_from(std::fs::read_dir(format!("/proc/{pid}/task"))?.count())?;
    }
    let programs = || -> Result<usize> {
        let held = agent.holds()?;
        Ok(held.iter().filter(|it| it.starts_with("prog_id")).count())
    };
    let before = programs()?;
    let ask = |seconds: u32| {
        let page = format!(
            "/debug/pprof/profile?seconds={seconds}&cgroup={}",
            cgroup.path()
        );
        let asked = agent.ask(&page, "");
        asked.map_err(|it| it.message().unwrap_or("").to_owned())
    };
    let (long, short) = std::thread::scope(|scope| {
        let long = scope.spawn(|| ask(4));
        wait_for("the first to run", || {
            Ok(agent.said().contains("recording /ctprof").then_some(()))
        })?;
        std::thread::sleep(Duration::from_secs(1));
        let during = programs()?;
        ensure!(during == before, "{during} programs, {before} before");
        let short = ask(1)?;
        let long = long.join().map_err(|_| "the client panicked")??;
        Ok::<_, libtest_mimic::Failed>((long, short))
    })?;
    for answer in [long, short] {
        ensure!(answer.code == 200, "{}", answer.head);
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut bytes)?;
        let profile = Profile::decode(&bytes[..])?;
        let values = profile.sample.iter().flat_map(|sample| &sample.value[1..]);
        let sum_ns = values.sum::<i64>();
        let expected_ns = profile.duration_nanos * threads;
        let off = (sum_ns - expected_ns).abs() * 100 / expected_ns;
        ensure!(
            off < 3,
            "{sum_ns} ns in the stacks of {threads} threads in {} ns",
            profile.duration_nanos
        );
    }
    busy.kill()?;
    asleep.kill()?;
    agent.end()?;
    Ok(())
}

/// Its recording ends, and the kernel frees what belonged to it.
fn client_gone() -> Result {
    let agent = Agent::start(&[])?;
    let before = agent.holds()?;
    let mut stream = TcpStream::connect(agent.address())?;
    stream.write_all(b"GET /flamegraph?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let running = |expected: f64| {
        wait_for("the recording", || {
            let running = agent.scrape()?.get("ctprof_profiles_running", &[])?;
            Ok(((running - expected).abs() < 0.5).then_some(()))
        })
    };
    running(1.0)?;
    wait_for("it to attach", || {
        Ok(agent.said().contains("recording everything").then_some(()))
    })?;
    ensure!(agent.holds()?.len() > before.len(), "it has loaded nothing");
    let gone = Instant::now();
    drop(stream);
    running(0.0)?;
    let took = gone.elapsed();
    ensure!(took < Duration::from_secs(5), "it ended after {took:?}");
    // A visit to the threads holds a link for a moment.
    wait_for("it to let go", || {
        Ok(agent
            .holds()?
            .difference(&before)
            .next()
            .is_none()
            .then_some(()))
    })?;
    let cancelled = agent
        .scrape()?
        .get("ctprof_profiles_total", &["outcome=\"cancelled\""])?;
    ensure!((cancelled - 1.0).abs() < 0.5, "{cancelled} were cancelled");
    agent.end()?;
    Ok(())
}
