//! What runs in the containers: workloads built from `xtask/situations`, and programs of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::docker::Docker;
use super::model::Situation;
use crate::{cmd, paths, setup};

pub(super) const IMAGE: &str = "ctprof-situations:1";

/// Directories of the host that programs need and the image lacks, mounted read-only where they exist: what is a link on
/// the host is one in the image.
const OF_THE_HOST: [&str; 7] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/alternatives",
    "/etc/java-17-openjdk",
];

/// Programs, and where containers find them.
pub(super) struct Programs {
    /// What is built, mounted as `/app`.
    pub(super) app: PathBuf,
    /// Paths of the `@NAME`s, as containers see them.
    found: BTreeMap<&'static str, PathBuf>,
    /// Why some are missing.
    missing: BTreeMap<&'static str, String>,
}

impl Programs {
    /// Builds and finds what `situations` run, and makes the image.
    ///
    /// # Errors
    /// The image cannot be made. What cannot be built or found is an error of the situations that need it.
    pub(super) fn prepare(docker: &Docker, situations: &[&Situation]) -> Result<Self> {
        let mut programs = Self {
            app: paths::target().join("situations/app"),
            found: BTreeMap::new(),
            missing: BTreeMap::new(),
        };
        let _ = fs::remove_dir_all(&programs.app);
        fs::create_dir_all(&programs.app)?;
        for word in situations.iter().flat_map(|it| words(it)) {
            if let Some(name) = word.strip_prefix("/app/") {
                if let Err(error) = build(name, &programs.app) {
                    programs.missing.insert(word, format!("{error:#}"));
                }
            } else if let Some(name) = word.strip_prefix('@') {
                match find(name) {
                    Ok(path) => _ = programs.found.insert(word, path),
                    Err(error) => _ = programs.missing.insert(word, format!("{error:#}")),
                }
            }
        }
        make_image(docker)?;
        Ok(programs)
    }

    /// Why a situation cannot be run here.
    pub(super) fn lacks(&self, situation: &Situation) -> Option<String> {
        words(situation).find_map(|word| self.missing.get(word).cloned())
    }

    /// A word of a command as the container has it.
    pub(super) fn word(&self, word: &'static str) -> String {
        let found = self.found.get(word);
        found.map_or_else(|| word.to_owned(), |path| path.display().to_string())
    }

    /// Options of `docker run` that bring them into a container that runs `command`.
    pub(super) fn options(&self, command: &[&'static str]) -> Vec<String> {
        let of_the_host = OF_THE_HOST
            .iter()
            .filter(|path| !Path::new(path).is_symlink() && Path::new(path).exists());
        let mut options: Vec<String> = of_the_host
            .map(|path| format!("--volume={path}:{path}:ro"))
            .collect();
        options.push(format!("--volume={}:/app:ro", self.app.display()));
        let unpacked = setup::unpacked();
        let program = command.first().and_then(|word| self.found.get(word));
        if program.is_some_and(|path| path.starts_with(&unpacked)) {
            let libraries = unpacked.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
            options.push(format!("--volume={0}:{0}:ro", unpacked.display()));
            options.push(format!("--env=LD_LIBRARY_PATH={}", libraries.display()));
        }
        options
    }
}

/// Every word of what a situation may run, and the files that it mounts.
fn words(situation: &Situation) -> impl Iterator<Item = &'static str> {
    let of_change = |it: &super::model::Change| it.command.unwrap_or_default();
    let commands = situation.containers.iter().map(|it| it.command);
    let changed = situation.changes.iter().map(of_change);
    let words = commands.chain(changed).flatten().copied();
    let options = situation.containers.iter().map(|it| it.options);
    let options = options.chain(situation.changes.iter().map(|it| it.options));
    let mounted = options.flatten().filter_map(|option| {
        let mount = option.strip_prefix("--volume=")?;
        mount.split(':').next()
    });
    words.chain(mounted)
}

/// A program of this machine, by the path that containers see. Links are followed, because where they lead may be mounted
/// while they are not; but for those among unpacked programs, which are mounted as they are: some look at their own name.
fn find(name: &str) -> Result<PathBuf> {
    let program = setup::find(name)
        .with_context(|| format!("{name} is not installed; see `cargo xtask setup`"))?;
    if program.starts_with(setup::unpacked()) {
        return Ok(program);
    }
    Ok(program.canonicalize()?)
}

/// Builds `name`, or copies it where it needs no building.
fn build(name: &str, app: &Path) -> Result<()> {
    let sources = paths::root().join("xtask/situations");
    let built = app.join(name);
    if built.exists() {
        return Ok(());
    }
    let copied = sources.join(name);
    if copied.is_file() {
        fs::copy(&copied, &built)?;
        return Ok(());
    }
    let stem = name.strip_suffix(".jar").unwrap_or(name);
    let source = |extension: &str| {
        let path = sources.join(format!("{stem}.{extension}"));
        path.is_file().then_some(path)
    };
    let output = |command: &mut Command| cmd::output(command).map(drop);
    if let Some(source) = source("cc") {
        let mut compiler = Command::new("c++");
        compiler.args(["-std=c++17", "-O2", "-pthread", "-o"]);
        output(compiler.arg(&built).arg(source))
    } else if let Some(source) = source("go") {
        let mut go = Command::new("go");
        go.env("CGO_ENABLED", "0").env("GO111MODULE", "off");
        output(go.args(["build", "-o"]).arg(&built).arg(source))
    } else if let Some(source) = source("rs") {
        let mut rustc = Command::new("rustc");
        cmd::clean(&mut rustc);
        rustc.args(["--edition=2024", "-O", "-Cforce-frame-pointers=no", "-o"]);
        output(rustc.arg(&built).arg(source))
    } else if let Some(source) = source("java") {
        let classes = app.join(format!("{stem}-classes"));
        output(Command::new("javac").arg("-d").arg(&classes).arg(source))?;
        let mut jar = Command::new("jar");
        jar.args(["--create", "--main-class", "Main", "--file"]);
        output(jar.arg(&built).arg("-C").arg(&classes).arg("."))
    } else {
        bail!("xtask/situations has no source of {name}")
    }
}

/// An image with nothing in it but directories, the links that the host has among its own, and a few users.
fn make_image(docker: &Docker) -> Result<()> {
    let root = paths::target().join("situations/image");
    let _ = fs::remove_dir_all(&root);
    for folder in [
        "app", "data", "dev", "etc", "out", "proc", "root", "run", "sys", "tmp", "usr", "var/tmp",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    // For everyone, as on every system.
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for path in OF_THE_HOST.map(Path::new) {
        if path.is_symlink() {
            let inside = root.join(path.strip_prefix("/")?);
            std::os::unix::fs::symlink(fs::read_link(path)?, inside)?;
        }
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users)?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    docker.import(&root, IMAGE)
}
