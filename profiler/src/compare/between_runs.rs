//! By what part equal programs differ from one run to the next, for reasons that no second of one run shows: where they lie in
//! memory, which CPU they are on, who else is there. Standard deviations of the logarithm.

pub(super) use crate::model::comparable::{OWN_TIME, WAITING};

/// All of its time, which has that of a hypervisor or of the other half of a core in it.
const ALL_TIME: f64 = 0.007;
/// The kernel's for it, which depends on who else is there.
pub(super) const KERNEL_TIME: f64 = 0.1;
/// Waits for a CPU: by the half, if somebody else happens to be on it.
pub(super) const SCHEDULING: f64 = 0.5;

/// What figures that are no view's differ by between runs, by what they begin with. From comparisons of equal programs on a machine that others
/// use, too.
pub(super) const fn of(id: &str) -> f64 {
    const BY_START: [(&str, f64); 9] = [
        ("cpu.kernel", KERNEL_TIME),
        ("cpu", ALL_TIME),
        ("isolation", KERNEL_TIME),
        ("threads", ALL_TIME),
        ("run_queue", SCHEDULING),
        ("switches.involuntary", 2.0 * SCHEDULING),
        ("switches.voluntary", WAITING),
        ("migrations", 2.0 * SCHEDULING),
        ("throttled", WAITING),
    ];
    let mut at = 0;
    while at < BY_START.len() {
        let (start, part) = BY_START[at];
        if starts_with(id.as_bytes(), start.as_bytes()) {
            return part;
        }
        at += 1;
    }
    WAITING
}

const fn starts_with(text: &[u8], start: &[u8]) -> bool {
    let mut at = 0;
    while at < start.len() {
        if at >= text.len() || text[at] != start[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{ALL_TIME, KERNEL_TIME, SCHEDULING, WAITING, of};

    #[test]
    fn the_first_start_that_fits_counts() {
        for (id, part) in [
            ("cpu", ALL_TIME),
            ("cpu.kernel", KERNEL_TIME),
            ("run_queue.p99", SCHEDULING),
            ("migrations", 2.0 * SCHEDULING),
            ("blocked_lock", WAITING),
        ] {
            assert!((of(id) - part).abs() < 1e-9, "{id}");
        }
    }
}
