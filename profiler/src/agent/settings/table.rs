//! Every setting of the agent.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Labels, LogFormat, Settings};
use crate::collect::Unwind;
use crate::model::Grouping;
use crate::model::text::printable;
use crate::target::nearest::hint;

/// Longest text of a wrong value in an error.
const SHOWN_CHARS: usize = 80;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes. Keys of the file have `_` for `-`, variables are in capitals after `CTPROF_`.
    pub name: &'static str,
    /// Form of its value.
    pub kind: Kind,
    /// What it is for, in a line.
    pub help: &'static str,
    /// As it would be typed; empty for none.
    pub default: &'static str,
    /// A reload changes it; others need a restart.
    pub live: bool,
    /// Takes a value over.
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
}

/// Form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// A text, which help calls so.
    Value(&'static str),
    /// Several, with commas between.
    List(&'static str),
}

impl Setting {
    /// Its key in the file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CTPROF_{}", self.key().to_uppercase())
    }

    /// The setting with this key in the file.
    #[must_use]
    pub fn of_key(key: &str) -> Option<&'static Self> {
        TABLE.iter().find(|setting| setting.key() == key)
    }
}

/// Every setting, in the order of help.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "listen",
        kind: Kind::Value("ADDRESS"),
        help: "Address and port to serve HTTP at; [::]:9464 for every interface",
        default: "127.0.0.1:9464",
        live: false,
        set: |settings, text| {
            settings.listen = text.parse().map_err(|_| {
                format!(
                    "{} is no address with a port; use a form such as 127.0.0.1:9464",
                    quoted(text)
                )
            })?;
            Ok(())
        },
    },
    Setting {
        name: "by",
        kind: Kind::Value("KIND"),
        help: "What a row of metrics is: cgroup, container, pod, netns, pidns, mntns or userns",
        default: "container",
        live: true,
        set: |settings, text| {
            settings.grouping = choice(text, &Grouping::ALL)?;
            Ok(())
        },
    },
    Setting {
        name: "label",
        kind: Kind::List("LABEL"),
        help: "Labels beside container, pod and namespace: image, runtime",
        default: "",
        live: true,
        set: |settings, text| {
            let mut labels = Labels::default();
            for label in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                match choice(label, &[("image", "image"), ("runtime", "runtime")])? {
                    "image" => labels.image = true,
                    _ => labels.runtime = true,
                }
            }
            settings.labels = labels;
            Ok(())
        },
    },
    Setting {
        name: "no-isolation",
        kind: Kind::Switch,
        help: "Sample nothing for what isolation costs, which otherwise is done 19 times a second and CPU",
        default: "false",
        live: false,
        set: |settings, text| {
            settings.isolation = !switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "syscalls",
        kind: Kind::Switch,
        help: "Count system calls, too, at the cost that `ctprof syscalls` has",
        default: "false",
        live: false,
        set: |settings, text| {
            settings.syscalls = switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "bpf-stats",
        kind: Kind::Switch,
        help: "Let the kernel measure what each BPF program costs, ctprof's and others'; two readings of the clock a run",
        default: "false",
        live: false,
        set: |settings, text| {
            settings.bpf_statistics = switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "max-containers",
        kind: Kind::Value("N"),
        help: "Most rows of metrics; those beyond count as `other`",
        default: "2000",
        live: true,
        set: |settings, text| {
            settings.max_containers = number(text, 1, 16_000)?;
            Ok(())
        },
    },
    Setting {
        name: "max-series",
        kind: Kind::Value("N"),
        help: "Most series of one answer; rows that do not fit any more are left out whole, and counted",
        default: "200000",
        live: true,
        set: |settings, text| {
            settings.max_series = number(text, 1_000, 10_000_000)?;
            Ok(())
        },
    },
    Setting {
        name: "top-culprits",
        kind: Kind::Value("N"),
        help: "Neighbours that a row names as the cause of its waits; others count as `other`",
        default: "5",
        live: true,
        set: |settings, text| {
            settings.top_culprits = number(text, 0, 100)?;
            Ok(())
        },
    },
    Setting {
        name: "linger",
        kind: Kind::Value("TIME"),
        help: "How long the metrics of a container that ended stay, at least; never less than one scrape",
        default: "2m",
        live: true,
        set: |settings, text| {
            settings.linger = time(text, Duration::ZERO, DAY)?;
            Ok(())
        },
    },
    Setting {
        name: "no-profiles",
        kind: Kind::Switch,
        help: "Record no profiles and flame graphs on demand, and give up the privileges that only they need",
        default: "false",
        live: false,
        set: |settings, text| {
            settings.profiles = !switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "max-profiles",
        kind: Kind::Value("N"),
        help: "Most profiles that are recorded at once",
        default: "2",
        live: true,
        set: |settings, text| {
            settings.max_profiles = number(text, 1, 4)?;
            Ok(())
        },
    },
    Setting {
        name: "unwind",
        kind: Kind::Value("HOW"),
        help: "How user stacks of profiles are unwound: auto, by unwind tables, or frame-pointer, without them",
        default: "auto",
        live: false,
        set: |settings, text| {
            settings.unwind = choice(
                text,
                &[
                    (Unwind::Auto, "auto"),
                    (Unwind::FramePointer, "frame-pointer"),
                ],
            )?;
            Ok(())
        },
    },
    Setting {
        name: "max-profile-time",
        kind: Kind::Value("TIME"),
        help: "Longest profile that may be asked for",
        default: "5m",
        live: true,
        set: |settings, text| {
            settings.max_profile_time = time(text, Duration::from_secs(1), HOUR)?;
            Ok(())
        },
    },
    Setting {
        name: "web-config",
        kind: Kind::Value("FILE"),
        help: "TLS certificate and passwords, in the form of Prometheus' exporters",
        default: "",
        live: true,
        set: |settings, text| {
            settings.web_config = path(text);
            Ok(())
        },
    },
    Setting {
        name: "web-host",
        kind: Kind::List("NAME"),
        help: "Names by which browsers may call this host, beside its own; once set, /metrics has no other either",
        default: "",
        live: true,
        set: |settings, text| {
            let names = text.split(',').map(str::trim).filter(|it| !it.is_empty());
            settings.web_host = names.map(host_name).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        name: "no-seccomp",
        kind: Kind::Switch,
        help: "Keep all system calls, instead of giving up those that the agent does not need once it has started",
        default: "false",
        live: false,
        set: |settings, text| {
            settings.seccomp = !switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "log-format",
        kind: Kind::Value("FORMAT"),
        help: "How messages are written to stderr: text or json",
        default: "text",
        live: false,
        set: |settings, text| {
            let all = [(LogFormat::Text, "text"), (LogFormat::Json, "json")];
            settings.log_format = choice(text, &all)?;
            Ok(())
        },
    },
    Setting {
        name: "btf",
        kind: Kind::Value("PATH"),
        help: "The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux",
        default: "",
        live: false,
        set: |settings, text| {
            settings.btf = path(text);
            Ok(())
        },
    },
];

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self {
            listen: (std::net::Ipv4Addr::LOCALHOST, 9464).into(),
            grouping: Grouping::default(),
            labels: Labels::default(),
            syscalls: false,
            isolation: true,
            bpf_statistics: false,
            max_containers: 0,
            max_series: 0,
            top_culprits: 0,
            linger: Duration::ZERO,
            profiles: true,
            max_profiles: 0,
            unwind: Unwind::Auto,
            max_profile_time: Duration::ZERO,
            web_config: None,
            web_host: Vec::new(),
            seccomp: true,
            log_format: LogFormat::Text,
            btf: None,
        };
        for setting in TABLE {
            let set = (setting.set)(&mut settings, setting.default);
            debug_assert!(set.is_ok(), "{}: {set:?}", setting.name);
        }
        settings
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", printable(text, SHOWN_CHARS))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{} is neither true nor false", quoted(text))),
    }
}

fn number<N: Copy + FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match text.parse::<N>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!(
            "{} is no number from {least} to {most}",
            quoted(text)
        )),
    }
}

fn time(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| *time >= least && *time <= most)
        .ok_or_else(|| {
            let (least, most) = (
                humantime::format_duration(least),
                humantime::format_duration(most),
            );
            format!(
                "{} is no time from {least} to {most}; use a form such as 90s or 5m",
                quoted(text)
            )
        })
}

fn choice<T: Copy>(text: &str, all: &[(T, &'static str)]) -> Result<T, String> {
    all.iter()
        .find_map(|(value, name)| (*name == text).then_some(*value))
        .ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
            let near = hint(text, names.iter().copied(), "");
            format!("{} is none of {}{near}", quoted(text), names.join(", "))
        })
}

/// A name of a host, without a port.
fn host_name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > 253 || !text.bytes().all(is_part) {
        return Err(format!(
            "{} is no name of a host; use a form such as node1.example.com, without a port",
            quoted(text)
        ));
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}
