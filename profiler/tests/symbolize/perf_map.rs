//! Perf maps of processes in a PID and mount namespace of their own, as in a container.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ctprof::model::ProcessKey;
use ctprof::symbolize::{Problem, Symbolizer};

use crate::support::{Program, compile, has, is_root, names, needs, skip, symbolizer};

/// A program that is process 1 of its PID namespace and has a `/tmp` of its own.
struct Contained {
    program: Program,
    key: ProcessKey,
    _dir: tempfile::TempDir,
}

impl Contained {
    fn start() -> Result<Self, &'static str> {
        if !is_root() {
            return Err("not root");
        }
        if !has("cc") || !has("unshare") {
            return Err("no C compiler or no unshare");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        compile("cc", "program.c", &path, &["-O1"]);
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        ]);
        command.args([
            "sh",
            "-c",
            // The new /tmp may hide the program, so it is opened before.
            "exec 3< \"$0\"; mount -t tmpfs tmpfs /tmp; mount -t proc proc /proc; exec /proc/self/fd/3",
        ]);
        let program = Program::spawn(command.arg(&path));
        if program.value("pid") != 1 {
            return Err("unshare did not make a PID namespace");
        }
        let children = format!("/proc/{0}/task/{0}/children", program.pid());
        let pid = std::fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        Ok(Self {
            program,
            key: ProcessKey { pid, exec_id: 1 },
            _dir: dir,
        })
    }

    /// Writes the perf map, from inside, with `$code` as the address of executable memory.
    fn shell(&mut self, script: &str) {
        let script = script.replace("$code", &format!("{:x}", self.program.value("code")));
        self.program.tell(&format!("shell {script}"));
        assert!(!self.program.values.contains_key("failed"), "{script}");
    }

    fn name(&self, symbolizer: &mut Symbolizer) -> String {
        names(symbolizer, self.key, self.program.value("code") + 0x10).join(" ")
    }
}

macro_rules! contained {
    () => {
        match Contained::start() {
            Ok(contained) => contained,
            Err(reason) => skip!("{reason}"),
        }
    };
}

#[test]
fn names_of_jit_compiled_code_inside_a_container() {
    let mut contained = contained!();
    contained.shell("printf '$code 100 JS:*hot /app/server.js:7\\ngarbage\\n' > /tmp/perf-1.map");
    let mut symbolizer = symbolizer();
    assert_eq!(contained.name(&mut symbolizer), "JS:*hot /app/server.js:7");
    // Compiled again, at the same place.
    contained.shell("printf '$code 80 JS:*hotter\\n' >> /tmp/perf-1.map");
    symbolizer.observe(contained.key);
    assert_eq!(contained.name(&mut symbolizer), "JS:*hotter");
    assert!(symbolizer.problems().is_empty());
}

/// The program's own file lies below the container's `/tmp`, where no path leads to it any more.
#[test]
fn names_of_a_program_that_no_path_leads_to() {
    let contained = contained!();
    let mut symbolizer = symbolizer();
    let alpha = contained.program.value("alpha");
    assert_eq!(names(&mut symbolizer, contained.key, alpha), ["alpha"]);
    assert!(symbolizer.problems().is_empty());
}

#[test]
fn a_perf_map_outlives_its_process() {
    let mut contained = contained!();
    contained.shell("printf '$code 100 hot\\n' > /tmp/perf-1.map");
    let mut symbolizer = symbolizer();
    symbolizer.observe(contained.key);
    contained.program.stop();
    let gone = Path::new("/proc").join(contained.key.pid.to_string());
    let start = Instant::now();
    while gone.exists() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(contained.name(&mut symbolizer), "hot");
}

#[test]
fn without_a_perf_map_code_is_anonymous() {
    let contained = contained!();
    let address = contained.program.value("code") + 0x10;
    let mut symbolizer = symbolizer();
    assert_eq!(
        contained.name(&mut symbolizer),
        format!("[anon+{address:#x}]")
    );
    assert!(symbolizer.problems().is_empty());
}

/// A perf map that cannot be trusted costs nothing but its names: no hang, no growth, nothing followed.
fn rejected(script: &str, problem: Problem) {
    let mut contained = contained!();
    contained.shell(script);
    let mut symbolizer = symbolizer();
    let start = Instant::now();
    let address = contained.program.value("code") + 0x10;
    let name = contained.name(&mut symbolizer);
    symbolizer.observe(contained.key);
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(
        name == format!("[anon+{address:#x}]") || name == format!("[jit+{address:#x}]"),
        "{name}"
    );
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(problem, 1)]
    );
}

#[test]
fn a_fifo_is_rejected() {
    rejected("mkfifo /tmp/perf-1.map", Problem::PerfMapNotRegular);
}

#[test]
fn a_folder_is_rejected() {
    rejected("mkdir /tmp/perf-1.map", Problem::PerfMapNotRegular);
}

#[test]
fn a_device_is_rejected() {
    rejected("mknod /tmp/perf-1.map c 1 5", Problem::PerfMapNotRegular);
}

#[test]
fn a_symbolic_link_is_rejected() {
    rejected(
        "printf '$code 100 secret\\n' > /tmp/map; ln -s /tmp/map /tmp/perf-1.map",
        Problem::PerfMapOutside,
    );
}

#[test]
fn a_link_to_the_host_is_rejected() {
    rejected(
        "ln -s /proc/1/root/etc/passwd /tmp/perf-1.map",
        Problem::PerfMapOutside,
    );
}

#[test]
fn a_sparse_file_of_ten_gigabytes_is_rejected() {
    rejected(
        "printf '$code 100 hot\\n' > /tmp/perf-1.map; truncate -s 10G /tmp/perf-1.map",
        Problem::PerfMapTooLarge,
    );
}

/// The newest names are at the end, and right: only those of code that was compiled early on are missing.
#[test]
fn of_a_perf_map_that_is_too_large_the_end_counts() {
    let mut contained = contained!();
    contained.shell(
        "printf '$code 100 old\\n' > /tmp/perf-1.map; truncate -s 10G /tmp/perf-1.map; \
         printf '\\n$code 100 new\\n' >> /tmp/perf-1.map",
    );
    let mut symbolizer = symbolizer();
    assert_eq!(contained.name(&mut symbolizer), "new");
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(Problem::PerfMapTooLarge, 1)]
    );
}

#[test]
fn names_with_signs_in_them_are_whole() {
    let mut contained = contained!();
    let name = "LazyCompile:*hot /srv/node_modules/@acme/hot/index.js:7:13";
    contained.shell(&format!("echo '$code 100 {name}' > /tmp/perf-1.map"));
    assert_eq!(contained.name(&mut symbolizer()), name);
}

/// Many images have `/tmp` as a link to `/var/tmp`, or to a volume.
#[test]
fn a_link_in_the_place_of_tmp_is_followed_within_the_container() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    compile(
        "cc",
        "program.c",
        &root.join("program"),
        &["-O1", "-static"],
    );
    std::fs::create_dir_all(root.join("var/tmp")).unwrap();
    std::os::unix::fs::symlink("/var/tmp", root.join("tmp")).unwrap();
    let mut command = Command::new("chroot");
    let program = Program::spawn(command.arg(root).arg("/program"));
    let code = program.value("code");
    let map = root.join(format!("var/tmp/perf-{}.map", program.pid()));
    std::fs::write(map, format!("{code:x} 100 inside\n")).unwrap();
    let mut symbolizer = symbolizer();
    assert_eq!(names(&mut symbolizer, program.key(), code), ["inside"]);
    assert!(symbolizer.problems().is_empty());
}

/// `node --perf-prof`: the file is for `perf inject`. It is said why there are no names, and what to do.
#[test]
fn a_jitdump_file_is_the_reason_for_missing_names() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let mut program = Program::start(&path);
    let dump = dir.path().join(format!("jit-{}.dump", program.pid()));
    std::fs::write(&dump, b"DTiJ").unwrap();
    program.tell(&format!("map {}", dump.display()));
    let mut symbolizer = symbolizer();
    let code = program.value("code");
    assert_eq!(
        names(&mut symbolizer, program.key(), program.value("alpha")),
        ["alpha"]
    );
    assert!(symbolizer.problems().is_empty());
    assert_eq!(
        names(&mut symbolizer, program.key(), code),
        [format!("[anon+{code:#x}]")]
    );
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(Problem::JitDump, 1)]
    );
}

#[test]
fn another_users_file_is_rejected() {
    rejected(
        "printf '$code 100 forged\\n' > /tmp/perf-1.map; chown 4242 /tmp/perf-1.map",
        Problem::PerfMapForeignOwner,
    );
}

#[test]
fn garbage_gives_no_names_and_control_characters_do_not_pass() {
    let mut contained = contained!();
    contained.shell("head -c 1000000 /dev/urandom > /tmp/perf-1.map");
    let address = contained.program.value("code") + 0x10;
    let mut symbolizer = symbolizer();
    assert_eq!(
        contained.name(&mut symbolizer),
        format!("[jit+{address:#x}]")
    );
    contained.shell("printf '\\n$code 100 \\033[31mred;<script>\\r\\n' >> /tmp/perf-1.map");
    assert_eq!(contained.name(&mut symbolizer), "?[31mred;<script>");
    assert!(symbolizer.problems().is_empty());
}
