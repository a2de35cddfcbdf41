//! Precedence, mistakes with their lines, and what a reload changes.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use super::{Changes, Kind, Layers, Resolved, Settings, TABLE};
use crate::host::capabilities::{ALL, Use};
use crate::model::Grouping;

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn layers(
    file: Option<&tempfile::NamedTempFile>,
    environment: fn(&str) -> Option<OsString>,
    flags: &[(&'static str, &str)],
) -> Layers {
    Layers {
        flags: flags
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect(),
        config: file.map(|file| file.path().to_owned()),
        environment,
    }
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What is said of a file with this text, after its name.
fn said(text: &str) -> String {
    let file = config(text);
    let error = layers(Some(&file), nothing, &[])
        .resolve()
        .unwrap_err()
        .to_string();
    let name = file.path().display().to_string();
    error.strip_prefix(&name).expect(&error).to_owned()
}

#[test]
fn flags_before_environment_before_file_before_default() {
    let file = config("linger = '1m'\ntop_culprits = 1\nmax_profiles = 1\nlabel = ['image']\n");
    let environment = |name: &str| match name {
        "CTPROF_TOP_CULPRITS" => Some(OsString::from("2")),
        "CTPROF_MAX_PROFILES" => Some(OsString::from("3")),
        _ => None,
    };
    let flags = [("max-profiles", "4"), ("by", "pod")];
    let settings = layers(Some(&file), environment, &flags)
        .resolve()
        .unwrap()
        .settings;
    let mut expected = Settings {
        linger: Duration::from_secs(60),
        top_culprits: 2,
        max_profiles: 4,
        grouping: Grouping::Pod,
        ..Settings::default()
    };
    expected.labels.image = true;
    assert_eq!(settings, expected);
    assert_eq!(Settings::default().max_containers, 2000);
    assert_eq!(Settings::default().listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn mistakes_in_a_file_are_one_line_with_line_and_key() {
    for (text, expected) in [
        (
            "\nlisen = '[::]:9464'",
            ":2: no setting 'lisen'; did you mean listen?",
        ),
        (
            "listen = 'here'",
            ":1: listen: 'here' is no address with a port; use a form such as 127.0.0.1:9464",
        ),
        ("listen = 9464", ":1: listen: expected a text in quotes"),
        (
            "# a\n# b\nmax_containers = 0",
            ":3: max_containers: '0' is no number from 1 to 16000",
        ),
        (
            "max_containers = 1e3",
            ":1: max_containers: expected a number",
        ),
        (
            "linger = '2 fortnights'",
            ":1: linger: '2 fortnights' is no time from 0s to 1day; use a form such as 90s or 5m",
        ),
        (
            "linger = true",
            ":1: linger: expected a time in quotes, such as \"5m\"",
        ),
        ("syscalls = 'yes'", ":1: syscalls: expected true or false"),
        (
            "by = 'pods'",
            ":1: by: 'pods' is none of container, cgroup, pod, netns, pidns, mntns, userns; did you mean pod, pidns?",
        ),
        (
            "label = ['image', 'imgae']",
            ":1: label: 'imgae' is none of image, runtime; did you mean image?",
        ),
        (
            "label = 'imgae'",
            ":1: label: 'imgae' is none of image, runtime; did you mean image?",
        ),
        (
            "[agent]\nby = 'pod'",
            ":1: no setting 'agent'; see ctprof agent --help",
        ),
        ("by = 'pod'\nby = 'pod'", ":2: duplicate key"),
        (
            "by = ",
            ":1: string values must be quoted, expected literal string",
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn mistakes_elsewhere_name_who_made_them() {
    let error = |layers: Layers| layers.resolve().unwrap_err().to_string();
    assert_eq!(
        error(layers(None, nothing, &[("max-profiles", "99")])),
        "--max-profiles: '99' is no number from 1 to 4; see ctprof agent --help"
    );
    let environment = |name: &str| (name == "CTPROF_BPF_STATS").then(|| OsString::from("1"));
    assert_eq!(
        error(layers(None, environment, &[])),
        "CTPROF_BPF_STATS: '1' is neither true nor false"
    );
    let missing = Layers {
        config: Some("/nonexistent/ctprof.toml".into()),
        ..layers(None, nothing, &[])
    };
    assert_eq!(
        error(missing),
        "cannot read /nonexistent/ctprof.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn a_reload_changes_what_is_live_and_names_the_rest() {
    let before = layers(None, nothing, &[("linger", "1m")])
        .resolve()
        .unwrap();
    let file = config("linger = '2m'\nmax_profiles = 1\nsyscalls = true\nlisten = '[::]:1'\n");
    let next = layers(Some(&file), nothing, &[("linger", "1m")])
        .resolve()
        .unwrap();
    let mut now = before.clone();
    let changes = now.reload(&next);
    assert_eq!(
        changes,
        Changes {
            applied: vec!["max-profiles"],
            after_restart: vec!["listen", "syscalls"]
        }
    );
    assert_eq!(
        now.settings,
        Settings {
            max_profiles: 1,
            ..before.settings
        }
    );
    assert_eq!(now.reload(&next).applied, Vec::<&str>::new());
}

#[test]
fn every_default_is_valid() {
    let mut settings = Settings::default();
    for setting in TABLE.iter() {
        (setting.set)(setting, &mut settings, setting.default).unwrap();
    }
    assert_eq!(settings, Resolved::default().settings);
}

/// What docs/agent.md says of settings and capabilities is what the tables say; `BLESS=1` writes it anew.
#[test]
fn the_manual_has_the_tables() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = with_section(&text, "settings", &settings_table());
    let expected = with_section(&expected, "capabilities", &capabilities_table());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/agent.md is out of date; run `BLESS=1 cargo test --lib manual`"
        );
    }
}

fn with_section(text: &str, name: &str, section: &str) -> String {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n")).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}<!-- {name} -->\n{section}<!-- end -->{after}")
}

fn settings_table() -> String {
    let mut out = String::from("| flag | variable | default | | |\n|---|---|---|---|---|\n");
    for setting in TABLE.iter() {
        let value = match setting.kind {
            Kind::Switch => String::new(),
            Kind::Value(name) => format!(" {name}"),
            Kind::List(name) => format!(" {name},…"),
        };
        let default = match setting.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let live = if setting.live { "reload" } else { "restart" };
        let (name, variable, help) = (setting.name, setting.variable(), setting.help);
        out.push_str(&format!(
            "| `--{name}{value}` | `{variable}` | {default} | {help} | {live} |\n"
        ));
    }
    out
}

fn capabilities_table() -> String {
    let mut out = String::from("| capability | for | needed |\n|---|---|---|\n");
    for capability in ALL {
        let usage = match (capability.usage, capability.required) {
            (Use::Always, _) => "always",
            (Use::Attaching, true) => "to start (required), and for profiles",
            (Use::Attaching, false) => "for profiles",
        };
        let reason = capability.reason.trim_start_matches("to ");
        out.push_str(&format!(
            "| `{}` | to {reason} | {usage} |\n",
            capability.name
        ));
    }
    out
}

/// Whatever is in the files of settings and of the web configuration, it is taken or refused in one line.
#[test]
fn any_bytes_of_a_file() {
    use std::time::{Duration, Instant};
    let seconds = std::env::var("CTPROF_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|it| it.parse().ok()).unwrap_or(2);
    let valid: [&[u8]; 2] = [
        b"by = \"pod\"\nlabel = [\"image\"]\nlinger = \"5m\"\nmax_profiles = 2\nsyscalls = true\nweb_host = [\"a.example\"]\n",
        b"tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  me: $2y$04$abcdefghijklmnopqrstuv\n",
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |end: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % end.max(1)
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let which = random(2);
        let mut bytes = valid[which].to_vec();
        for _ in 0..1 + random(6) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b"[]{}:\"'\n\t#&*!|>%@`-$\0\xff"[random(22)]),
                _ => {
                    let more = bytes[at..].to_vec();
                    bytes.extend(more);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'=');
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = if which == 0 {
            super::file::read(&path).map(|_| ())
        } else {
            crate::agent::web::Web::read(Some(&path)).map(|_| ())
        };
        if let Err(error) = read {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text:?} for {bytes:?}");
        }
    }
}
