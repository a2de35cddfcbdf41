//! Containers that mean harm: what they write must cost nothing but their own names.

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::daemon::Container;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::skipping;
use crate::harness::{Result, ensure};
use crate::image;
use crate::programs::{needs, path};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_busybox("hostile::perf_map_is_a_fifo", || {
            perf_map("mkfifo /tmp/perf-1.map")
        }),
        with_busybox("hostile::perf_map_of_ten_gigabytes", || {
            perf_map("dd if=/dev/zero of=/tmp/perf-1.map bs=1 count=1 seek=10G 2>/dev/null")
        }),
        with_busybox("hostile::perf_map_leads_to_the_host", || {
            perf_map("ln -s /proc/1/root/etc/shadow /tmp/perf-1.map")
        }),
        with_busybox("hostile::perf_map_is_garbage", || {
            perf_map("dd if=/dev/urandom of=/tmp/perf-1.map bs=64k count=4 2>/dev/null")
        }),
        with_busybox("hostile::thread_name_with_escape_codes", thread_name),
    ]
}

fn with_busybox(name: &str, test: fn() -> Result) -> Trial {
    skipping(name, test, || needs(&["busybox"]))
}

/// Runs `prepare` and then burns CPU, as process 1 of a container; records it for a second.
fn record(prepare: &str) -> Result<(String, String)> {
    let busybox = path("busybox")?;
    image::make("ctprof-test/busybox:1", &[(&busybox, "/bin/busybox")])?;
    let links = "/bin/busybox --install -s /bin";
    let script = format!("{links}; {prepare}; while :; do :; done");
    let args = [
        "--network=none",
        "ctprof-test/busybox:1",
        "/bin/busybox",
        "sh",
        "-c",
        &script,
    ];
    let _container = Container::run("hostile", &args)?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    // What holds it up fails the trial when patience is over.
    let finished = Ctprof::record(&dir, &["--duration", "1s", "--container", "hostile"]).run()?;
    let recording = finished.recording(&dir)?;
    let samples = recording.samples_of("hostile")?;
    ensure!(samples > 0, "no samples of a busy container in 1 s");
    let folded = std::fs::read_to_string(dir.join("stacks.folded"))?;
    Ok((finished.stdout, folded))
}

fn perf_map(prepare: &str) -> Result {
    let (report, folded) = record(prepare)?;
    ensure!(
        !folded.contains("root:"),
        "a file of the host was read: {folded}"
    );
    let clean = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    ensure!(
        clean(&report) && clean(&folded),
        "control characters got through"
    );
    Ok(())
}

fn thread_name() -> Result {
    let (report, folded) = record(r#"printf 'a\033[2J;<b>\n' > /proc/self/comm"#)?;
    for text in [&report, &folded] {
        ensure!(
            !text.contains('\u{1b}'),
            "an escape code got through: {text:?}"
        );
    }
    ensure!(
        folded.contains("a?[2J:<b>"),
        "the name is not as it should be: {folded}"
    );
    Ok(())
}
