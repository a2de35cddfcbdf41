//! A container's ledger in `summary.json`, and what has to hold for every one of them.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::recording::Recording;
use super::{Result, emulated, ensure};

/// How much of a container's thread time its states may leave over or have too much.
const RESIDUAL: f64 = 0.005;
/// The same where there is hardly any thread time: clocks of two CPUs, and rounding.
const RESIDUAL_NS: u64 = 1_000_000;

/// One container of a recording.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    value: &'a Value,
    recording: &'a Recording,
}

impl Recording {
    /// The container whose cgroup is `path`.
    pub(crate) fn row(&self, path: &str) -> Result<Row<'_>> {
        self.row_where("cgroup", path)
    }

    /// The container with this name.
    pub(crate) fn row_named(&self, name: &str) -> Result<Row<'_>> {
        self.row_where("name", name)
    }

    /// The container with this id.
    pub(crate) fn row_with_id(&self, id: &str) -> Result<Row<'_>> {
        self.row_where("id", id)
    }

    /// The only row with this in its name.
    pub(crate) fn row_whose_name_has(&self, part: &str) -> Result<Row<'_>> {
        let found: Vec<Row<'_>> = self
            .rows()
            .filter(|row| row.name().contains(part))
            .collect();
        let names: Vec<&str> = self.rows().map(Row::name).collect();
        ensure!(found.len() == 1, "{part} in one of {names:?}");
        Ok(found[0])
    }

    /// The container, where there is one only.
    pub(crate) fn only_row(&self) -> Result<Row<'_>> {
        let rows: Vec<Row<'_>> = self.rows().collect();
        ensure!(rows.len() == 1, "{} containers", rows.len());
        Ok(rows[0])
    }

    fn row_where(&self, key: &str, wanted: &str) -> Result<Row<'_>> {
        let mut rows = self.rows();
        let row = rows.find(|row| row.value[key] == wanted);
        Ok(row.ok_or_else(|| format!("no container with {key} {wanted} in {}", self.summary))?)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let containers = self.summary["containers"].as_array().into_iter().flatten();
        containers.map(|value| Row {
            value,
            recording: self,
        })
    }

    /// Fails unless every container's ledger adds up and no number is absurd.
    pub(crate) fn check(&self) -> Result {
        let window_ns = self.window_ns()?;
        let cpus = std::thread::available_parallelism()?.get() as u64;
        let mut on_cpu_ns = 0;
        for row in self.rows() {
            row.check(window_ns)
                .and_then(|()| self.check_stacks(row))
                .map_err(|error| format!("{}: {}", row.name(), error.message().unwrap_or("?")))?;
            on_cpu_ns += row.on_cpu_ns()?;
        }
        ensure!(
            on_cpu_ns <= cpus * window_ns * 101 / 100,
            "{on_cpu_ns} ns on {cpus} CPUs in {window_ns} ns"
        );
        Ok(())
    }

    /// Fails unless the stacks of every state sum up to its time. A recording without stacks has none.
    fn check_stacks(&self, row: Row<'_>) -> Result {
        if self.folded.total() == 0 {
            return Ok(());
        }
        let label = row.value["label"].as_str().unwrap_or_default();
        let folded = self.folded.container(label);
        let states = row.value["time_ns"].as_object().into_iter().flatten();
        let mut on_cpu = 0;
        for (state, ns) in states {
            let ns = ns.as_u64().unwrap_or_default();
            if state.starts_with("on_cpu") {
                on_cpu += ns;
                continue;
            }
            let found = folded.state(state).total();
            ensure!(found == ns, "{found} ns of stacks for {ns} ns {state}");
        }
        let found = folded.state("on_cpu").total();
        ensure!(
            found == on_cpu,
            "{found} ns of stacks for {on_cpu} ns on CPU"
        );
        Ok(())
    }

    /// Length of the recording.
    pub(crate) fn window_ns(&self) -> Result<u64> {
        Ok(self.summary["window_ns"].as_u64().ok_or("no window_ns")?)
    }

    /// How much was lost for this cause.
    pub(crate) fn lost(&self, cause: &str) -> u64 {
        self.summary["lost"][cause].as_u64().unwrap_or_default()
    }
}

impl<'a> Row<'a> {
    /// What it is called.
    pub(crate) fn name(self) -> &'a str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// Whatever is at a place in the row, such as `stacks/cut`; null where there is nothing.
    pub(crate) fn value(self, path: &str) -> &'a Value {
        path.split('/').fold(self.value, |value, key| &value[key])
    }

    /// A number somewhere in the row, such as `run_queue_latency/count`.
    pub(crate) fn number(self, path: &str) -> Result<u64> {
        let value = self.value(path).as_u64();
        Ok(value.ok_or_else(|| format!("no {path} in {}", self.value))?)
    }

    /// Time in a state.
    pub(crate) fn ns(self, state: &str) -> Result<u64> {
        self.number(&format!("time_ns/{state}"))
    }

    /// Time in both on-CPU states.
    pub(crate) fn on_cpu_ns(self) -> Result<u64> {
        Ok(self.ns("on_cpu_user")? + self.ns("on_cpu_kernel")?)
    }

    /// Time in every blocked state.
    pub(crate) fn blocked_ns(self) -> u64 {
        let states = self.value["time_ns"].as_object().into_iter().flatten();
        let blocked = states.filter(|(name, _)| name.starts_with("blocked_"));
        blocked.filter_map(|(_, ns)| ns.as_u64()).sum()
    }

    /// Time in all states.
    pub(crate) fn total_ns(self) -> u64 {
        let states = self.value["time_ns"].as_object().into_iter().flatten();
        states.filter_map(|(_, ns)| ns.as_u64()).sum()
    }

    /// Lifetimes of its threads in the window.
    pub(crate) fn thread_time_ns(self) -> Result<u64> {
        self.number("thread_time_ns")
    }

    /// How long a culprit of this kind, or of this kind and name, ran while it waited.
    pub(crate) fn delayed_ns(self, kind: &str, name: Option<&str>) -> u64 {
        let all = self.value["delayed_by"].as_array().into_iter().flatten();
        let wanted =
            all.filter(|it| it["kind"] == kind && name.is_none_or(|name| it["name"] == name));
        wanted.filter_map(|it| it["ns"].as_u64()).sum()
    }

    /// How long others than those of this trial ran while it waited: what else the machine does.
    pub(crate) fn strangers_ns(self) -> u64 {
        let own = format!("/ctprof-test-{}-", std::process::id());
        let all = self.value["delayed_by"].as_array().into_iter().flatten();
        let strange = all.filter(|it| match it["kind"].as_str() {
            Some("host" | "kernel") => true,
            Some("container") => {
                let name = it["name"].as_str().unwrap_or_default();
                name.starts_with('/') && !name.starts_with(&own)
            }
            _ => false,
        });
        strange.filter_map(|it| it["ns"].as_u64()).sum()
    }

    /// Every state with its time in ms, for messages.
    pub(crate) fn describe(self) -> String {
        let states = self.value["time_ns"].as_object().into_iter().flatten();
        let mut text = format!("thread time {}", ms(&self.value["thread_time_ns"]));
        for (name, ns) in states.filter(|(_, ns)| **ns != 0) {
            text += &format!(", {name} {}", ms(ns));
        }
        text + &format!("; delayed by {}", self.value["delayed_by"])
    }

    /// Fails unless the time on the CPU is what the cgroup's own account says, within 1 % or 10 ms. The account leaves
    /// out what the hypervisor took away, which is known by the hundredth of a second and CPU. Where the kernel hid
    /// switches, the time of a thread that it hid may count as that of the next: 2 ms each, and 3 % at most.
    pub(crate) fn agrees_with_usage(self) -> Result {
        let usage = self.number("cfs/usage_ns")?;
        let stolen = match self.recording.stolen_ns {
            0 => 0,
            stolen => stolen + 20_000_000,
        };
        let hidden = self.recording.lost("switch_missed");
        let hidden = (hidden * 2_000_000).min(usage * 3 / 100);
        let allowed = usage.saturating_sub(self.preempting_ns()?)..=usage + stolen + hidden;
        let slack = if emulated() {
            (usage / 8).max(60_000_000)
        } else {
            (usage / 100).max(10_000_000)
        };
        self.within("on CPU", self.on_cpu_ns()?, allowed, slack)
    }

    /// Fails unless the wait for a CPU is what the kernel says (`/proc/PID/schedstat`), within 3 % and this slack. A
    /// kernel that says 0 does not know.
    pub(crate) fn agrees_with_schedstat(self, delay_ns: u64, slack_ns: u64) -> Result {
        let allowed = delay_ns..=delay_ns + self.preempting_ns()?;
        let slack = if emulated() {
            delay_ns / 10
        } else {
            delay_ns / 33
        };
        match delay_ns {
            0 => Ok(()),
            _ => self.within(
                "run queue",
                self.ns("run_queue")?,
                allowed,
                slack.max(slack_ns),
            ),
        }
    }

    /// Fails unless it waited, on a run queue or stopped, for as long as its threads say that they could run and did
    /// not, by the kernel's clocks.
    pub(crate) fn waited(self, truth_ns: u64, slack_ns: u64) -> Result {
        let waited = self.ns("run_queue")? + self.ns("throttled")?;
        let allowed = truth_ns..=truth_ns + self.preempting_ns()?;
        self.within("waits of all kinds", waited, allowed, slack_ns)
    }

    fn within(self, what: &str, found: u64, allowed: RangeInclusive<u64>, slack_ns: u64) -> Result {
        let nearest = found.clamp(*allowed.start(), *allowed.end());
        ensure!(
            found.abs_diff(nearest) <= slack_ns,
            "{what}: {found} ns is not within {allowed:?} by {slack_ns} ns: {}",
            self.describe()
        );
        Ok(())
    }

    /// How much more time on the CPU the kernel has in its accounts, at most, and how much less waiting.
    ///
    /// When a thread wakes up and is to get its CPU at once, the kernel does not look at the clock again until it has
    /// it (`wakeup_preempt` has it skip that): what passes until then (an interrupt for the other CPU, its way out of
    /// idle or out of a system call) it takes for time of that thread on the CPU.
    fn preempting_ns(self) -> Result<u64> {
        // An emulated CPU takes its time to wake up.
        let (limit_ns, idle) = match emulated() {
            true => (1 << 22, self.delayed_ns("idle", None)),
            false => (1 << 20, 0),
        };
        let buckets = self.value["run_queue_latency"]["buckets"].as_array();
        let buckets = buckets.ok_or("no buckets")?.iter();
        let short = buckets.filter_map(|it| Some((it["to_ns"].as_u64()?, it["count"].as_u64()?)));
        let short = short.filter(|(to_ns, _)| *to_ns <= limit_ns);
        Ok(idle + short.map(|(to_ns, count)| to_ns * count).sum::<u64>())
    }

    #[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
    fn check(self, window_ns: u64) -> Result {
        let lifetime = self.thread_time_ns()?;
        let residual = lifetime.abs_diff(self.total_ns());
        let allowed = RESIDUAL_NS.max((lifetime as f64 * RESIDUAL) as u64);
        ensure!(
            residual <= allowed,
            "residual of {residual} ns: {}",
            self.describe()
        );
        let stated = self.value["residual_ns"].as_i64();
        ensure!(
            stated.map(i64::unsigned_abs) == Some(residual),
            "residual_ns is {stated:?}, and the states leave {residual} ns over"
        );
        // Whoever was there at any time can have been there for the whole window.
        let threads =
            self.number("threads").unwrap_or(u64::MAX >> 32) + self.number("threads_exited")?;
        ensure!(
            u128::from(lifetime) <= u128::from(window_ns) * u128::from(threads) + 1_000_000,
            "{lifetime} ns of {threads} threads in {window_ns} ns"
        );
        let run_queue = self.ns("run_queue")?;
        let delays = self.value["delayed_by"].as_array().ok_or("no delayed_by")?;
        let explained: u64 = delays.iter().filter_map(|it| it["ns"].as_u64()).sum();
        ensure!(
            explained == run_queue,
            "delayed_by has {explained} ns of {run_queue} ns run_queue"
        );
        self.check_histogram("run_queue_latency", run_queue)?;
        if self.is_available("throttled") {
            self.check_histogram("throttle_duration", self.ns("throttled")?)?;
        }
        Ok(())
    }

    /// Whether this kernel can tell throttled time from waits.
    pub(crate) fn is_available(self, view: &str) -> bool {
        let unavailable = self.recording.summary["unavailable"]
            .as_array()
            .into_iter()
            .flatten();
        !unavailable.into_iter().any(|it| it["view"] == view)
    }

    /// The histogram's numbers fit together, and its sum fits the time in the state: more can be a wait that was
    /// not over, less one that ended in another cgroup.
    fn check_histogram(self, name: &str, state_ns: u64) -> Result {
        let (count, sum) = (
            self.number(&format!("{name}/count"))?,
            self.number(&format!("{name}/sum_ns"))?,
        );
        let buckets = self.value[name]["buckets"].as_array().ok_or("no buckets")?;
        let mut in_buckets = 0;
        let (mut least, mut most, mut end) = (0_u128, 0_u128, 0);
        for bucket in buckets {
            let [from, to, count] =
                ["from_ns", "to_ns", "count"].map(|key| bucket[key].as_u64().unwrap_or(0));
            ensure!(
                from >= end && to > from,
                "{name}: bucket {bucket} after {end}"
            );
            end = to;
            in_buckets += count;
            least += u128::from(from) * u128::from(count);
            most += u128::from(to) * u128::from(count);
        }
        ensure!(
            in_buckets == count,
            "{name}: {in_buckets} in buckets of {count}"
        );
        ensure!(
            (least..=most).contains(&u128::from(sum)),
            "{name}: a sum of {sum} ns, and {least} to {most} ns in buckets"
        );
        ensure!(
            sum <= state_ns + RESIDUAL_NS,
            "{name}: a sum of {sum} ns, and {state_ns} ns in the state"
        );
        if count == 0 {
            return Ok(());
        }
        let mut last = 0;
        for key in ["p50_ns", "p90_ns", "p99_ns", "max_ns"] {
            let value = self.number(&format!("{name}/{key}"))?;
            ensure!(
                value >= last,
                "{name}: {key} is {value}, and the one before is {last}"
            );
            last = value;
        }
        ensure!(
            last <= sum && last < end,
            "{name}: max_ns is {last}, sum {sum}, last bucket to {end}"
        );
        Ok(())
    }
}

fn ms(ns: &Value) -> String {
    format!("{:.1} ms", ns.as_f64().unwrap_or_default() / 1e6)
}
