//! A window as large as a busy host's.

use ctprof::model::{Frame, FrameId, FrameKind, Runtime, Window};

use super::{Maker, named};

/// `stacks` distinct stacks of about `depth` frames over some containers, as a busy host has them: a few hot
/// paths and a long tail.
pub(crate) fn large(stacks: usize, depth: usize) -> Window {
    let mut m = Maker::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let functions: Vec<FrameId> = (0..8000)
        .map(|i| {
            let name = format!("project::module_{}::Type{}::function_{i}", i % 97, i % 401);
            m.next_address += 0x40;
            m.window.frames.intern(Frame {
                function: name.into(),
                kind: FrameKind::User,
                module: Some(m.program),
                address: m.next_address,
                inlined: i % 9 == 0,
                file: None,
                line: 0,
            })
        })
        .collect();
    let kernel: Vec<FrameId> = (0..500)
        .map(|i| m.kernel(&format!("kernel_function_{i}")))
        .collect();
    let containers = 20;
    let mut path: Vec<FrameId> = Vec::new();
    for c in 0..containers {
        m.container(named(
            &format!("service-{c:02}"),
            Runtime::Docker,
            &format!("{c:064x}"),
        ));
        for i in 0..stacks / containers {
            // Neighbours share all but the last few frames, as siblings in a call tree do.
            let keep = if i % 50 == 0 { 0 } else { depth * 2 / 3 };
            path.truncate(keep);
            while path.len() < depth - (i % 5) {
                let pool = if path.len() > depth * 4 / 5 && i % 3 == 0 {
                    &kernel
                } else {
                    &functions
                };
                // Towards low numbers: some functions are on many stacks.
                let pick = (random.next() % pool.len() as u64) * (random.next() % 1000) / 1000;
                path.push(pool[pick as usize]);
            }
            let samples = if i % 100 == 0 {
                200
            } else {
                1 + random.next() % 3
            };
            m.stack(
                1000 + c as u32,
                &format!("worker-{}", i % 16),
                &path,
                samples,
            );
        }
    }
    m.window
}

/// The same numbers on every run and host.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}
