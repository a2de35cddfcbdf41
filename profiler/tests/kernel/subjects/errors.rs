//! Bad input: one clear line and the right exit code.

use libtest_mimic::Trial;

use super::output;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{anywhere, privileged};
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        anywhere("errors::frequency_out_of_range", frequency),
        anywhere("errors::duration_zero", duration),
        privileged("errors::no_such_cgroup_offers_the_nearest", no_such_cgroup),
        privileged("errors::no_such_pid", no_such_pid),
        privileged("errors::output_folder_exists", output_exists),
    ]
}

fn frequency() -> Result {
    for value in ["0", "1000000", "-1", "many"] {
        let (_folder, dir) = output()?;
        let finished = Ctprof::record(&dir, &[&format!("--frequency={value}")]).run()?;
        ensure!(
            finished.code == Some(2) && finished.stderr.contains("frequency"),
            "--frequency {value}: exit code {:?}: {}",
            finished.code,
            finished.stderr
        );
        ensure!(!dir.exists(), "--frequency {value} left an output folder");
    }
    Ok(())
}

fn duration() -> Result {
    for value in ["0", "0s", "-1s", "soon"] {
        let (_folder, dir) = output()?;
        let finished = Ctprof::record(&dir, &[&format!("--duration={value}")]).run()?;
        ensure!(
            finished.code == Some(2) && finished.stderr.contains("duration"),
            "--duration {value}: exit code {:?}: {}",
            finished.code,
            finished.stderr
        );
        ensure!(!dir.exists(), "--duration {value} left an output folder");
    }
    Ok(())
}

fn no_such_cgroup() -> Result {
    let cgroup = Cgroup::new("webserver")?;
    let (_folder, dir) = output()?;
    let wrong = cgroup.path().replace("webserver", "webservre");
    let finished = Ctprof::record(&dir, &["--cgroup", &wrong]).run()?;
    finished.expect_code(3)?;
    let nearest = &cgroup.path()[1..];
    ensure!(
        finished.stderr.contains(nearest),
        "{nearest} is not offered: {}",
        finished.stderr
    );
    ensure!(!dir.exists(), "it left an output folder");
    Ok(())
}

fn no_such_pid() -> Result {
    let (_folder, dir) = output()?;
    // Above the largest pid that Linux can give (2^22).
    Ctprof::record(&dir, &["--pid", "4194305"])
        .run()?
        .expect_code(3)
}

fn output_exists() -> Result {
    let (_folder, dir) = output()?;
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("precious"), "data")?;
    let finished = Ctprof::record(&dir, &["--duration", "1s"]).run()?;
    ensure!(
        matches!(finished.code, Some(1 | 2)),
        "exit code {:?}: {}",
        finished.code,
        finished.stderr
    );
    ensure!(
        std::fs::read_to_string(dir.join("precious"))? == "data",
        "it touched the folder"
    );
    Ok(())
}
