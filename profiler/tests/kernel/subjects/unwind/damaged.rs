//! Programs whose frame descriptions are garbage: they cost themselves their stacks, and nobody else.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::output;
use super::chains::{UNWINDER, check, compile, end, library, run, start};
use super::not_cut;
use crate::harness::cgroup::Cgroup;
use crate::harness::{Result, ensure};

/// A program with descriptions of garbage beside sound ones.
pub(super) fn damaged() -> Result {
    let parent = Cgroup::new("damaged")?;
    let (sound_in, damaged_in) = (parent.child("sound")?, parent.child("damaged")?);
    let (folder, dir) = output()?;
    let library = library(folder.path())?;
    let sound = compile(folder.path(), "g++", &["-O2"], None)?.ok_or("g++ makes nothing")?;
    let mut all = Vec::new();
    for (number, damage) in [zeros as fn(&mut [u8]), ones, noise, lengths]
        .into_iter()
        .enumerate()
    {
        all.push((damage_descriptions(&sound, number, damage)?, "qsort"));
    }
    let mut ctprof = start(&[&sound_in, &damaged_in], &dir)?;
    ctprof.wait_until_attached()?;
    let mut running = run(&damaged_in, &all, &library)?;
    running.extend(run(
        &sound_in,
        &[(sound.clone(), "qsort"), (sound, "throw")],
        &library,
    )?);
    end(running)?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row(damaged_in.path())?;
    let samples = row.number("samples")?;
    ensure!(samples > 100, "{samples} samples of damaged programs");
    check(&recording, &sound_in)?;
    not_cut(&recording, sound_in.path(), UNWINDER)
}

/// A copy of a program whose `.eh_frame` is another one.
fn damage_descriptions(program: &Path, number: usize, damage: fn(&mut [u8])) -> Result<PathBuf> {
    let copy = program.with_file_name(format!("damaged{number}"));
    let section = program.with_file_name("section");
    let objcopy = |what: &str, from: &Path, to: &Path| -> Result {
        let argument = format!(".eh_frame={}", section.display());
        let status = Command::new("objcopy")
            .args([what, &argument])
            .args([from, to])
            .status()?;
        ensure!(status.success(), "objcopy: {status}");
        Ok(())
    };
    std::fs::copy(program, &copy)?;
    objcopy("--dump-section", program, &program.with_file_name("unused"))?;
    let mut bytes = std::fs::read(&section)?;
    damage(&mut bytes);
    std::fs::write(&section, bytes)?;
    objcopy("--update-section", program, &copy)?;
    Ok(copy)
}

fn zeros(bytes: &mut [u8]) {
    bytes.fill(0);
}

fn ones(bytes: &mut [u8]) {
    bytes.fill(0xff);
}

/// Every seventh byte is another.
fn noise(bytes: &mut [u8]) {
    let mut random = 1_u32;
    for byte in bytes.iter_mut().step_by(7) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte ^= (random >> 24) as u8;
    }
}

/// Entries that are their own common parts, and such that end behind the section.
fn lengths(bytes: &mut [u8]) {
    for (number, word) in bytes.chunks_exact_mut(4).enumerate() {
        let value = if number % 2 == 0 {
            4_u32
        } else {
            4 * number as u32
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
}
