//! The folder of a recording: when it may be written, and what is left when it cannot be.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctprof::output;
use ctprof::store::RecordingDir;

use crate::synthetic;

/// The error of opening this folder, without its path.
fn refusal(path: &Path, force: bool) -> String {
    let error = RecordingDir::open(path, force).unwrap_err();
    format!("{error}").replace(&path.display().to_string(), "DIR")
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn only_new_empty_or_earlier_recordings_are_written_to() {
    let temp = tempfile::tempdir().unwrap();
    let window = synthetic::small();

    let path = temp.path().join("new");
    output::write_all(&RecordingDir::open(&path, false).unwrap(), &window).unwrap();
    assert_eq!(
        refusal(&path, false),
        "DIR holds an earlier recording; add --force to replace it or choose another --output"
    );

    // --force replaces what ctprof wrote, also what only an earlier version did, and nothing else.
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    std::fs::write(path.join("quota.folded"), "old").unwrap();
    std::fs::write(path.join("syscalls.folded"), "old").unwrap();
    std::fs::write(path.join("stacks.folded"), "old").unwrap();
    output::write_all(&RecordingDir::open(&path, true).unwrap(), &window).unwrap();
    assert_eq!(
        names(&path),
        [
            "flamegraph.svg",
            "isolation.svg",
            "notes.txt",
            "off-cpu.svg",
            "on-cpu.svg",
            "profile.pb.gz",
            "recording.ctprof",
            "run-queue.svg",
            "stacks.folded",
            "summary.json",
            "syscalls.svg",
            "throttled.svg",
        ]
    );
    assert_eq!(std::fs::read(path.join("notes.txt")).unwrap(), b"mine");
    assert_ne!(std::fs::read(path.join("stacks.folded")).unwrap(), b"old");

    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    drop(RecordingDir::open(&empty, false).unwrap());
    assert!(empty.is_dir(), "a folder that was there stays there");

    let other = temp.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("summary.json"), "{\"schema_version\": 1}").unwrap();
    for force in [false, true] {
        assert_eq!(
            refusal(&other, force),
            "DIR exists and is not a recording of ctprof; choose another --output"
        );
    }
    let file = temp.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        refusal(&file, true),
        "cannot write to DIR: it is not a folder; choose another --output"
    );
    assert_eq!(
        refusal(&temp.path().join("no/where"), false),
        "cannot create DIR: the folder above it does not exist; create it or choose another --output"
    );
}

#[test]
fn a_folder_made_for_nothing_goes_away() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("new");
    let dir = RecordingDir::open(&path, false).unwrap();
    assert_eq!(names(&path), [""; 0], "the check leaves nothing");
    drop(dir);
    assert!(!path.exists());
}

#[test]
fn default_names_do_not_collide() {
    let temp = tempfile::tempdir().unwrap();
    let kept: Vec<RecordingDir> = (0..3)
        .map(|_| RecordingDir::create_default(temp.path(), 1_767_225_599).unwrap())
        .collect();
    assert_eq!(
        names(temp.path()),
        [
            "ctprof-20251231-235959",
            "ctprof-20251231-235959-2",
            "ctprof-20251231-235959-3"
        ]
    );
    drop(kept);
}

#[test]
fn links_in_the_folder_are_replaced_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rec");
    let window = synthetic::small();
    output::write_all(&RecordingDir::open(&path, false).unwrap(), &window).unwrap();
    let outside = temp.path().join("outside");
    std::fs::write(&outside, "precious").unwrap();
    let graph = path.join("flamegraph.svg");
    std::fs::remove_file(&graph).unwrap();
    std::os::unix::fs::symlink(&outside, &graph).unwrap();
    output::write_all(&RecordingDir::open(&path, true).unwrap(), &window).unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"precious");
    assert!(graph.symlink_metadata().unwrap().is_file());
}

#[test]
fn a_folder_removed_meanwhile_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rec");
    let dir = RecordingDir::open(&path, false).unwrap();
    std::fs::remove_dir(&path).unwrap();
    let error = output::write_all(&dir, &synthetic::small()).unwrap_err();
    assert_eq!(
        format!("{error}"),
        format!(
            "cannot write {}: No such file or directory (os error 2)",
            path.join("summary.json").display()
        )
    );
}

/// A file system of its own, unmounted at the end.
struct Mount(PathBuf);

impl Mount {
    /// `None` without the right to mount.
    fn new(path: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "ctprof-test"])
            .arg(&path)
            .stderr(std::process::Stdio::null())
            .status()
            .ok()?;
        status.success().then_some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_whole_files_and_names_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    // Room for the summary and the graphs, not for the stacks.
    let Some(disk) = Mount::new(temp.path().join("disk"), "size=1m") else {
        eprintln!("skipped: no right to mount a file system of limited size");
        return;
    };
    let window = synthetic::large(20_000, 30);
    let path = disk.0.join("rec");
    let dir = RecordingDir::open(&path, false).unwrap();
    let error = format!("{}", output::write_all(&dir, &window).unwrap_err());
    let start = format!(
        "cannot write {}: No space left on device (os error 28), ",
        path.join("stacks.folded").display()
    );
    assert!(error.starts_with(&start), "{error}");
    assert!(
        error.contains(
            " free there; make room or choose another --output; complete are summary.json"
        ),
        "{error}"
    );
    assert!(!error.contains('\n'));
    let left = names(&path);
    assert!(left.contains(&"summary.json".to_owned()), "{left:?}");
    assert!(!left.contains(&"stacks.folded".to_owned()), "{left:?}");
    assert!(left.iter().all(|name| !name.ends_with(".part")), "{left:?}");
    for name in &left {
        assert!(
            error.contains(name.as_str()),
            "{name} is there and not in {error:?}"
        );
    }
    drop(dir);

    // Full from the start: said before anything is recorded.
    std::fs::write(disk.0.join("filler"), vec![1; 2 << 20]).unwrap_err();
    let second = disk.0.join("second");
    assert_eq!(
        refusal(&second, false),
        "cannot write DIR/summary.json: No space left on device (os error 28), 0 B free there; \
         make room or choose another --output"
    );
    assert!(!second.exists());
    // As for a recording that would replace another.
    assert!(refusal(&path, true).contains("No space left on device"));
    assert_eq!(names(&path), left);
}

#[test]
fn a_read_only_file_system_is_refused_before_recording() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::new(temp.path().join("disk"), "size=1m,ro") else {
        eprintln!("skipped: no right to mount a file system");
        return;
    };
    assert_eq!(
        refusal(&disk.0, false),
        "cannot write DIR/summary.json: Read-only file system (os error 30)"
    );
}
