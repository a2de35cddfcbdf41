//! Seccomp profiles, against a program of a few instructions whose calls are all known: it has no C library.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::ctprof::{Ctprof, Finished};
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::{Result, ensure, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        skipping(
            "seccomp::a_profile_is_what_was_called",
            recorded,
            no_program,
        ),
        skipping(
            "seccomp::a_check_finds_what_is_missing",
            checked,
            no_program,
        ),
        privileged("seccomp::a_check_names_who_calls", callers),
        privileged("seccomp::a_check_tells_of_denials_as_they_happen", denials),
        privileged("seccomp::a_check_counts_callers_it_missed", too_many),
        skipping("seccomp::a_profile_is_not_replaced", kept, no_program),
        skipping("seccomp::broken_profiles_in_one_line", broken, no_program),
    ]
}

fn no_program() -> Option<String> {
    let is_x86 = cfg!(target_arch = "x86_64");
    missing_privilege().or_else(|| (!is_x86).then(|| "needs an x86-64 machine".to_owned()))
}

const GETPGRP: u32 = 111;
const UNAME: u32 = 63;
const EXIT_GROUP: u32 = 231;
/// The kernel has no such call.
const UNKNOWN: u32 = 999;

/// A static program that makes these calls, with no arguments, and nothing else.
fn program(folder: &Path, calls: &[u32]) -> Result<PathBuf> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut code = Vec::new();
    for number in calls {
        // mov eax, number; xor edi, edi; syscall
        code.push(0xb8);
        code.extend(number.to_le_bytes());
        code.extend([0x31, 0xff, 0x0f, 0x05]);
    }
    let length = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for x86-64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Its entry, where program headers are, where section headers are.
    for field in [BASE + HEADERS, 64, 0] {
        file.extend(field.to_le_bytes());
    }
    // Flags; sizes of headers; one program header; no sections.
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Load it all, to read and execute.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, BASE, BASE, length, length, 0x1000] {
        file.extend(field.to_le_bytes());
    }
    file.extend(code);
    let path = folder.join("program");
    fs::write(&path, file)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// `ctprof seccomp ARGS… PROFILE -- PROGRAM`.
fn run(args: &[&str], profile: &Path, program: &Path) -> Result<Finished> {
    Ctprof::new(&[&["seccomp"], args].concat())
        .arg(profile)
        .arg("--")
        .arg(program)
        .run()
}

fn names(rule: &Value) -> Vec<&str> {
    let names = rule["names"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// Two programs whose calls differ by two: so do their profiles, and by nothing else.
fn recorded() -> Result {
    let folder = TempDir::new()?;
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    let quiet = program(folder.path(), &[EXIT_GROUP])?;
    run(&["record", "--output"], &small, &quiet)?.expect_said("2 seen")?;
    let calls = [GETPGRP, GETPGRP, UNAME, GETPGRP, UNKNOWN, EXIT_GROUP];
    let busy = program(folder.path(), &calls)?;
    let finished = run(&["record", "--output"], &large, &busy)?;
    // With execve, which starts it.
    for line in [
        "5 system calls called 7 times from its first instruction",
        "4 seen",
        "left out: syscall_999, called 1 time",
    ] {
        finished.expect_said(line)?;
    }
    let small: Value = serde_json::from_str(&fs::read_to_string(small)?)?;
    let large: Value = serde_json::from_str(&fs::read_to_string(large)?)?;
    let (few, many) = (names(&small["syscalls"][0]), names(&large["syscalls"][0]));
    let more: Vec<_> = many.iter().filter(|name| !few.contains(name)).collect();
    ensure!(more == [&"getpgrp", &"uname"], "{more:?} are more");
    ensure!(
        few.iter().all(|name| many.contains(name)) && few.contains(&"execve"),
        "{few:?} and {many:?}"
    );
    ensure!(
        many.is_sorted() && large["defaultAction"] == "SCMP_ACT_ERRNO",
        "not as it should be: {large}"
    );
    ensure!(
        large["architectures"] == serde_json::json!(["SCMP_ARCH_X86_64"]),
        "architectures: {}",
        large["architectures"]
    );
    Ok(())
}

fn checked() -> Result {
    let folder = TempDir::new()?;
    let profile = folder.path().join("profile.json");
    let known = program(folder.path(), &[GETPGRP, EXIT_GROUP])?;
    run(&["record", "-o"], &profile, &known)?.expect_code_only(0)?;
    let check = ["check", "--format", "json", "--profile"];
    let finished = run(&check, &profile, &known)?;
    finished.expect_code_only(0)?;
    let found: Value = serde_json::from_str(&finished.stdout)?;
    ensure!(found["would_deny"] == false, "its own profile: {found}");
    ensure!(
        found["never_seen"] == serde_json::json!([]),
        "never seen: {}",
        found["never_seen"]
    );

    let other = program(folder.path(), &[UNAME, GETPGRP, UNAME, UNKNOWN, EXIT_GROUP])?;
    let finished = run(&check, &profile, &other)?;
    finished.expect_code_only(1)?;
    let found: Value = serde_json::from_str(&finished.stdout)?;
    let denied = found["containers"][0]["denied"].as_array();
    let denied: Vec<_> = denied
        .into_iter()
        .flatten()
        .map(|call| (call["name"].as_str(), call["count"].as_u64()))
        .collect();
    ensure!(
        denied == [(Some("syscall_999"), Some(1)), (Some("uname"), Some(2))],
        "denied: {denied:?}"
    );
    Ok(())
}

/// A profile that denies one call alone: `getppid`, with EACCES.
const NO_GETPPID: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
    [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#;

/// What a check with that profile finds about a workload, and what it says meanwhile.
fn check_workload(args: &[&str]) -> Result<(Value, Finished)> {
    let folder = TempDir::new()?;
    let profile = folder.path().join("profile.json");
    fs::write(&profile, NO_GETPPID)?;
    let check = ["seccomp", "check", "--format", "json", "--profile"];
    let check = Ctprof::new(&check)
        .arg(&profile)
        .arg("--")
        .arg(this_program()?);
    let check = args.iter().fold(check.arg("workload"), Ctprof::arg);
    let finished = check.run()?;
    finished.expect_code_only(1)?;
    // The workload writes to the same standard output.
    let from = finished.stdout.find('{').ok_or("it found nothing")?;
    let found = serde_json::from_str(&finished.stdout[from..])?;
    Ok((found, finished))
}

/// Counts of the callers of a call that have this function on their stack.
fn counts_with(call: &Value, function: &str) -> Vec<u64> {
    let callers = call["callers"].as_array().into_iter().flatten();
    callers
        .filter(|caller| {
            let mut stack = caller["stack"].as_array().into_iter().flatten();
            stack.any(|name| name.as_str().is_some_and(|name| name.ends_with(function)))
        })
        .filter_map(|caller| caller["count"].as_u64())
        .collect()
}

fn callers() -> Result {
    // It stays a while: names of a program that ends at once may come too late.
    let (found, _) = check_workload(&[
        "calls",
        "--getppid",
        "150",
        "--threads",
        "2",
        "--sleeps",
        "1",
        "--sleep-ms",
        "500",
    ])?;
    let denied = &found["containers"][0]["denied"];
    ensure!(
        denied.as_array().map(Vec::len) == Some(1) && denied[0]["count"] == 300,
        "denied: {denied}"
    );
    let counts = counts_with(&denied[0], "calls::make");
    ensure!(
        counts.iter().sum::<u64>() == 300 && !counts.is_empty(),
        "300 calls by {}",
        denied[0]["callers"]
    );
    Ok(())
}

fn denials() -> Result {
    let (found, said) = check_workload(&["refused", "--getppid", "300", "--stay-ms", "500"])?;
    let live = &found["containers"][0]["denied_live"];
    let call = &live[0];
    ensure!(
        live.as_array().map(Vec::len) == Some(1)
            && (&call["name"], &call["count"], &call["error"])
                == (&"getppid".into(), &300.into(), &"EPERM".into()),
        "denied: {live}"
    );
    ensure!(
        counts_with(call, "ask_in_vain") == [300] && call["callers"][0]["thread"] == "asker",
        "who: {}",
        call["callers"]
    );
    // Once, however often.
    let told: Vec<&str> = said
        .stderr
        .lines()
        .filter(|it| it.contains("denied:"))
        .collect();
    ensure!(
        told.len() == 1 && told[0].contains(" asker[") && told[0].ends_with("getppid() = EPERM"),
        "told: {told:?}"
    );
    Ok(())
}

fn too_many() -> Result {
    let (found, said) = check_workload(&["calls", "--getppid", "20000"])?;
    let call = &found["containers"][0]["denied"][0];
    let seen: u64 = counts_with(call, "calls::make").iter().sum();
    let missed = found["callers_lost"].as_u64().unwrap_or_default();
    ensure!(
        call["count"] == 20_000 && seen >= 500 && seen + missed == 20_000,
        "{seen} seen, {missed} missed, of {}",
        call["count"]
    );
    said.expect_said("slow_call_dropped")
}

fn kept() -> Result {
    let folder = TempDir::new()?;
    let profile = folder.path().join("profile.json");
    fs::write(&profile, "mine")?;
    let quiet = program(folder.path(), &[EXIT_GROUP])?;
    run(&["record", "-o"], &profile, &quiet)?.expect_code(2)?;
    ensure!(fs::read_to_string(&profile)? == "mine", "it was replaced");
    run(&["record", "--force", "-o"], &profile, &quiet)?.expect_code_only(0)?;
    ensure!(fs::read_to_string(&profile)? != "mine", "it was kept");
    let left = fs::read_dir(folder.path())?.count();
    ensure!(
        left == 2,
        "{left} files instead of the program and its profile"
    );
    Ok(())
}

fn broken() -> Result {
    let folder = TempDir::new()?;
    let profile = folder.path().join("profile.json");
    for (text, said) in [
        ("{\n  oops", "line 2, column 3"),
        ("{\"syscalls\": []}", "missing field `defaultAction`"),
        (
            "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"archMap\": [{}]}",
            "Docker's own form",
        ),
        (
            "[{\"names\": [\"read\"], \"action\": \"SCMP_ACT_ALLOW\"}]",
            "expected a seccomp profile, which is a JSON object",
        ),
    ] {
        fs::write(&profile, text)?;
        let finished = run(&["check", "--profile"], &profile, Path::new("/bin/true"))?;
        finished.expect_code(2)?;
        finished.expect_said(said)?;
    }
    // One that nobody writes to.
    let fifo = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR)?;
    let finished = run(&["check", "--profile"], &fifo, Path::new("/bin/true"))?;
    finished.expect_code(2)?;
    finished.expect_said("not a regular file")
}
