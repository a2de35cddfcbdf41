//! Every setting of the agent.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use super::values::{choice, host_name, number, path, quoted, switch, time};
use super::{Labels, LogFormat, Settings};
use crate::collect::Unwind;
use crate::model::{Grouping, ViewId};
use crate::views;

/// One setting.
#[derive(Clone, Debug)]
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
    pub set: fn(&Self, &mut Settings, &str) -> Result<(), String>,
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

/// All of them, in the order of the manual.
pub static TABLE: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let of_views = views::switches().map(|(_, it)| Setting {
        name: it.name,
        kind: Kind::Switch,
        help: it.agent,
        default: "false",
        live: false,
        set: |this, settings, text| {
            let view = ViewId::new(this.name);
            if switch(text)? {
                settings.views.insert(view);
            } else {
                settings.views.remove(&view);
            }
            Ok(())
        },
    });
    let standing = views::standing().map(|(_, it)| Setting {
        name: it.setting,
        kind: Kind::Switch,
        help: it.help,
        default: "false",
        live: false,
        set: |this, settings, text| {
            let mut all = views::standing();
            let Some((view, _)) = all.find(|(_, it)| it.setting == this.name) else {
                return Ok(());
            };
            if switch(text)? {
                settings.standing.remove(&view);
            } else {
                settings.standing.insert(view);
            }
            Ok(())
        },
    });
    let mut table = Vec::from(BEFORE_VIEWS);
    table.extend(standing);
    table.extend(of_views);
    table.extend_from_slice(AFTER_VIEWS);
    table
});

/// Those before the switches of views.
const BEFORE_VIEWS: &[Setting] = &[
    Setting {
        name: "listen",
        kind: Kind::Value("ADDRESS"),
        help: "Address and port to serve HTTP at; [::]:9464 for every interface",
        default: "127.0.0.1:9464",
        live: false,
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
];

/// Those after the switches of views.
const AFTER_VIEWS: &[Setting] = &[
    Setting {
        name: "bpf-stats",
        kind: Kind::Switch,
        help: "Let the kernel measure what each BPF program costs, ctprof's and others'; two readings of the clock a run",
        default: "false",
        live: false,
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
            settings.max_profile_time = time(text, Duration::from_secs(1), HOUR)?;
            Ok(())
        },
    },
    Setting {
        name: "doctor-every",
        kind: Kind::Value("TIME"),
        help: "How often every container is recorded for 10s to see what is wrong with it, for ctprof_finding; 0s for never",
        default: "0s",
        live: true,
        set: |_, settings, text| {
            settings.doctor_every = time(text, Duration::ZERO, DAY)?;
            if !settings.doctor_every.is_zero() && settings.doctor_every < SHORTEST_LOOKS {
                return Err(format!(
                    "{} is too often; 30s at least, or 0s for never",
                    quoted(text)
                ));
            }
            Ok(())
        },
    },
    Setting {
        name: "web-config",
        kind: Kind::Value("FILE"),
        help: "TLS certificate and passwords, in the form of Prometheus' exporters",
        default: "",
        live: true,
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
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
        set: |_, settings, text| {
            settings.btf = path(text);
            Ok(())
        },
    },
];

/// Looks that follow each other more closely would be one recording that does not end.
const SHORTEST_LOOKS: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self {
            listen: (std::net::Ipv4Addr::LOCALHOST, 9464).into(),
            grouping: Grouping::default(),
            labels: Labels::default(),
            views: BTreeSet::new(),
            standing: views::standing().map(|(view, _)| view).collect(),
            bpf_statistics: false,
            max_containers: 0,
            max_series: 0,
            top_culprits: 0,
            linger: Duration::ZERO,
            profiles: true,
            max_profiles: 0,
            unwind: Unwind::Auto,
            max_profile_time: Duration::ZERO,
            doctor_every: Duration::ZERO,
            web_config: None,
            web_host: Vec::new(),
            seccomp: true,
            log_format: LogFormat::Text,
            btf: None,
        };
        for setting in TABLE.iter() {
            let set = (setting.set)(setting, &mut settings, setting.default);
            debug_assert!(set.is_ok(), "{}: {set:?}", setting.name);
        }
        settings
    }
}
