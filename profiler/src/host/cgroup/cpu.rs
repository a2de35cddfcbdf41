//! A cgroup's CPU quota and its own CPU figures (kernel: `Documentation/admin-guide/cgroup-v2.rst`,
//! `Documentation/scheduler/sched-bwc.rst`).

use std::path::Path;

use super::{Hierarchy, Version, ancestors};
use crate::host::proc::read_optional;
use crate::model::CfsFigures;

impl Hierarchy {
    /// CPUs' worth of time that this cgroup's own limit allows; `None` without a limit.
    #[must_use]
    pub fn own_quota_cores(&self, path: &str) -> Option<f64> {
        let dir = self.dir(path)?;
        match self.version() {
            Version::V2 => parse_cpu_max(&read(&dir, "cpu.max")?),
            Version::V1 => {
                // -1 is no limit: most have none.
                let quota = read(&dir, "cpu.cfs_quota_us")?.trim().parse().ok()?;
                cores(quota, read(&dir, "cpu.cfs_period_us")?.trim().parse().ok()?)
            }
        }
    }

    /// CPUs' worth of time that this cgroup may use: the least of its own limit and those above it.
    #[must_use]
    pub fn quota_cores(&self, path: &str) -> Option<f64> {
        ancestors(path)
            .filter_map(|path| self.own_quota_cores(path))
            .min_by(f64::total_cmp)
    }

    /// The cgroup's figures since it was created, all below it included; `None` when it is gone.
    ///
    /// On v1 the usage comes from `cpuacct.usage`, or from the v2 hierarchy beside it; it is absent where the
    /// cgroup is in neither (made by hand in the cpu hierarchy alone).
    #[must_use]
    pub fn cpu_figures(&self, path: &str) -> Option<CfsFigures> {
        let stat = read(&self.dir(path)?, "cpu.stat")?;
        let mut figures = parse_cpu_stat(&stat);
        if self.version() == Version::V1 {
            figures.usage_ns = self.v1_usage_ns(path);
        } else {
            figures.throttled_local_ns = read(&self.dir(path)?, "cpu.stat.local")
                .and_then(|stat| parse_cpu_stat_local(&stat));
        }
        Some(figures)
    }

    /// What `cpu.stat` alone says: one file, for whoever asks many cgroups. `None` when the cgroup is gone.
    #[must_use]
    pub fn cpu_stat(&self, path: &str) -> Option<CfsFigures> {
        Some(parse_cpu_stat(&read(&self.dir(path)?, "cpu.stat")?))
    }

    fn v1_usage_ns(&self, path: &str) -> Option<u64> {
        self.cpuacct_dir(path)
            .and_then(|dir| read(&dir, "cpuacct.usage")?.trim().parse().ok())
            .or_else(|| {
                let stat = read(&self.unified_dir(path)?, "cpu.stat")?;
                parse_cpu_stat(&stat).usage_ns
            })
    }
}

/// What happened between two readings of the same cgroup; 0 where a counter went backwards.
#[must_use]
pub const fn figures_between(start: CfsFigures, end: CfsFigures) -> CfsFigures {
    CfsFigures {
        usage_ns: match (start.usage_ns, end.usage_ns) {
            (Some(start), Some(end)) => Some(end.saturating_sub(start)),
            (_, end) => end,
        },
        periods: end.periods.saturating_sub(start.periods),
        throttled_periods: end
            .throttled_periods
            .saturating_sub(start.throttled_periods),
        throttled_ns: end.throttled_ns.saturating_sub(start.throttled_ns),
        throttled_local_ns: match (start.throttled_local_ns, end.throttled_local_ns) {
            (Some(start), Some(end)) => Some(end.saturating_sub(start)),
            (_, end) => end,
        },
        bursts: end.bursts.saturating_sub(start.bursts),
        burst_ns: end.burst_ns.saturating_sub(start.burst_ns),
    }
}

fn read(dir: &Path, file: &str) -> Option<String> {
    read_optional(&dir.join(file)).ok()?
}

/// `cpu.max`: `QUOTA PERIOD` in microseconds, QUOTA `max` without a limit.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cores(quota.parse().ok()?, period.parse().ok()?)
}

#[allow(clippy::cast_precision_loss, reason = "2^52 us are 142 years")]
fn cores(quota_us: u64, period_us: u64) -> Option<f64> {
    (quota_us > 0 && period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

/// `cpu.stat.local`: one line, `throttled_usec N`.
fn parse_cpu_stat_local(text: &str) -> Option<u64> {
    let usec = text
        .lines()
        .find_map(|line| line.strip_prefix("throttled_usec "))?;
    usec.trim().parse::<u64>().ok()?.checked_mul(1000)
}

/// `cpu.stat` of v1 (`throttled_time` and `burst_time`, in ns) and v2 (`usage_usec`, `throttled_usec`, `burst_usec`).
fn parse_cpu_stat(text: &str) -> CfsFigures {
    let mut figures = CfsFigures::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else {
            continue;
        };
        let Ok(value) = value.parse::<u64>() else {
            continue;
        };
        match key {
            "usage_usec" => figures.usage_ns = Some(value.saturating_mul(1000)),
            "nr_periods" => figures.periods = value,
            "nr_throttled" => figures.throttled_periods = value,
            "throttled_usec" => figures.throttled_ns = value.saturating_mul(1000),
            "throttled_time" => figures.throttled_ns = value,
            "nr_bursts" => figures.bursts = value,
            "burst_usec" => figures.burst_ns = value.saturating_mul(1000),
            "burst_time" => figures.burst_ns = value,
            _ => {}
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::{cores, figures_between, parse_cpu_max, parse_cpu_stat, parse_cpu_stat_local};
    use crate::model::CfsFigures;

    #[test]
    fn quotas() {
        assert_eq!(parse_cpu_max("max 100000\n"), None);
        assert_eq!(parse_cpu_max("150000 100000\n"), Some(1.5));
        assert_eq!(parse_cpu_max("junk"), None);
        assert_eq!(parse_cpu_max("inf 100000\n"), None);
        assert_eq!(parse_cpu_max("-1 100000\n"), None);
        assert_eq!(cores(50_000, 0), None);
        assert_eq!(cores(50_000, 100_000), Some(0.5));
    }

    #[test]
    fn both_forms_of_cpu_stat() {
        let v1 = "nr_periods 40\nnr_throttled 12\nthrottled_time 987654321\nnr_bursts 3\n\
                  burst_time 45000\n";
        let v2 = "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnr_periods 40\nnr_throttled 12\n\
                  throttled_usec 987654\nnr_bursts 3\nburst_usec 45\nwhat\n";
        let expected = CfsFigures {
            usage_ns: None,
            periods: 40,
            throttled_periods: 12,
            throttled_ns: 987_654_321,
            throttled_local_ns: None,
            bursts: 3,
            burst_ns: 45_000,
        };
        assert_eq!(parse_cpu_stat(v1), expected);
        assert_eq!(
            parse_cpu_stat(v2),
            CfsFigures {
                usage_ns: Some(2_500_000_000),
                throttled_ns: 987_654_000,
                throttled_local_ns: None,
                ..expected
            }
        );
    }

    #[test]
    fn fuzz_cpu_files() {
        let inputs = [
            "150000 100000\n",
            "max 100000\n",
            "throttled_usec 17\n",
            "nr_periods 40\nnr_throttled 12\nthrottled_time 987654321\nnr_bursts 0\nburst_time 0\n",
            "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnice_usec 0\nnr_periods 40\nnr_throttled 12\n\
             throttled_usec 987654\nnr_bursts 0\nburst_usec 0\n",
        ];
        crate::fuzz::fuzz(&inputs, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Some(cores) = parse_cpu_max(&text) {
                assert!(cores.is_finite() && cores > 0.0, "{cores}");
            }
            let figures = parse_cpu_stat(&text);
            let nothing = figures_between(figures, figures);
            assert_eq!(nothing.periods + nothing.throttled_ns, 0);
            let _ = parse_cpu_stat_local(&text);
        });
    }

    #[test]
    fn local_figures_are_one_line() {
        assert_eq!(parse_cpu_stat_local("throttled_usec 17\n"), Some(17_000));
        assert_eq!(parse_cpu_stat_local("throttled_usec x\n"), None);
        assert_eq!(parse_cpu_stat_local(""), None);
    }

    #[test]
    fn windows_never_go_below_zero() {
        let start = CfsFigures {
            usage_ns: Some(10),
            periods: 5,
            throttled_periods: 1,
            throttled_ns: 7,
            throttled_local_ns: Some(3),
            bursts: 1,
            burst_ns: 50,
        };
        let end = CfsFigures {
            usage_ns: Some(25),
            periods: 9,
            throttled_periods: 0,
            throttled_ns: 7,
            throttled_local_ns: Some(10),
            bursts: 2,
            burst_ns: 80,
        };
        assert_eq!(
            figures_between(start, end),
            CfsFigures {
                usage_ns: Some(15),
                periods: 4,
                throttled_periods: 0,
                throttled_ns: 0,
                throttled_local_ns: Some(7),
                bursts: 1,
                burst_ns: 30,
            }
        );
    }
}
