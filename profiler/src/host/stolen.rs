//! CPU time that nobody on this host had: taken by the hypervisor, or by interrupts.

use super::Host;
use crate::model::Stolen;

/// `USER_HZ`: the unit of `/proc/stat` on every architecture that ctprof runs on (`proc_stat(5)`).
const TICK_NS: u64 = 10_000_000;

/// What was taken since boot, over all CPUs; `None` where the kernel does not say.
#[must_use]
pub fn stolen(host: &Host) -> Option<Stolen> {
    parse(&host.read("/proc/stat").ok()??)
}

/// What was taken between two readings; 0 where a counter went backwards.
#[must_use]
pub const fn stolen_between(start: Stolen, end: Stolen) -> Stolen {
    Stolen {
        hypervisor_ns: end.hypervisor_ns.saturating_sub(start.hypervisor_ns),
        interrupts_ns: end.interrupts_ns.saturating_sub(start.interrupts_ns),
    }
}

/// The line `cpu user nice system idle iowait irq softirq steal …`.
fn parse(stat: &str) -> Option<Stolen> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let of = |field: usize| Some(ticks.get(field)?.saturating_mul(TICK_NS));
    Some(Stolen {
        hypervisor_ns: of(7)?,
        interrupts_ns: of(5)?.saturating_add(of(6)?),
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, stolen_between};
    use crate::model::Stolen;

    #[test]
    fn the_fields_of_proc_stat() {
        let stat = "cpu  10 20 30 40 50 1 2 3 0 0\ncpu0 5 10 15 20 25 0 1 1 0 0\n";
        let expected = Stolen {
            hypervisor_ns: 30_000_000,
            interrupts_ns: 30_000_000,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("cpu  10 20 30\n"), None);
        assert_eq!(parse("intr 1\n"), None);
        assert_eq!(
            stolen_between(expected, Stolen::default()),
            Stolen::default()
        );
    }
}
