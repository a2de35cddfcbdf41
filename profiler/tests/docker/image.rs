//! Images made of programs of this machine, or unpacked on it: nothing is pulled.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::daemon::{self, Client};
use crate::harness::{Result, ensure, unpacked};

/// Images that exist already: trials share them.
static MADE: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Makes the image `name` out of these files, the libraries that they need and a few folders that programs
/// expect; `(from, to)` puts a file elsewhere.
pub(crate) fn make(name: &str, files: &[(&Path, &str)]) -> Result {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.get_or_insert_default().insert(name.to_owned()) {
        return Ok(());
    }
    make_for(&daemon::client()?, name, files)
}

/// The same for this daemon, each time.
pub(crate) fn make_for(client: &Client, name: &str, files: &[(&Path, &str)]) -> Result {
    let root = TempDir::new()?;
    for folder in ["tmp", "etc", "run", "dev", "proc", "sys"] {
        std::fs::create_dir_all(root.path().join(folder))?;
    }
    let users = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    std::fs::write(root.path().join("etc/passwd"), users)?;
    std::fs::write(
        root.path().join("etc/group"),
        "root:x:0:\nnogroup:x:65534:\n",
    )?;
    for (from, to) in files {
        copy(from, &root.path().join(to.trim_start_matches('/')))?;
        for library in libraries(from)? {
            let to = root
                .path()
                .join(unpacked::installed(&library).strip_prefix("/")?);
            copy(&library, &to)?;
        }
    }
    let tar = Command::new("tar")
        .arg("--create")
        .arg("--directory")
        .arg(root.path())
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()?;
    let input = tar.stdout.ok_or("tar has no output")?;
    let output = client
        .command()
        .args(["import", "-", name])
        .stdin(input)
        .output()?;
    ensure!(
        output.status.success(),
        "docker import failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A folder is copied whole, a link as what it points to.
fn copy(from: &Path, to: &Path) -> Result {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let status = Command::new("cp").arg("-rL").arg(from).arg(to).status()?;
    ensure!(
        status.success(),
        "cannot copy {} into an image",
        from.display()
    );
    Ok(())
}

/// What `ldd` lists; nothing for a static program or a folder.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    if !program.is_file() {
        return Ok(Vec::new());
    }
    let output = Command::new("ldd")
        .env("LD_LIBRARY_PATH", unpacked::library_path())
        .arg(program)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        !text.contains("not found"),
        "{} lacks libraries: {text}",
        program.display()
    );
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect())
}
