//! What the environment says about servers: the variables of elfutils' client, with their meaning and defaults.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

/// Largest file that is taken, whatever the environment says.
pub(super) const MAX_BYTES: u64 = 2 << 30;

/// Longest time for a file, where the environment says nothing: a connection that only just moves ends, too.
const MAX_TIME: Duration = Duration::from_secs(600);

/// Within this time a server has to answer, and to send the first 100 kB, and each 100 kB after.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Where debug information is, and how far getting it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Servers, as `http` and `https` URLs.
    pub servers: Vec<Uri>,
    /// Folders that are laid out as a server's paths are: `file` URLs.
    pub folders: Vec<PathBuf>,
    /// Where files are kept for the next time; `None` for nowhere.
    pub cache: Option<PathBuf>,
    /// How long a server may take to answer, and for each 100 kB.
    pub timeout: Duration,
    /// Size of a file.
    pub max_bytes: u64,
    /// How long a file may take.
    pub max_time: Duration,
}

impl Settings {
    /// Those of this process' environment; `None` if it names no server.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        Self::read(|name| std::env::var_os(name))
    }

    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let number = |name| {
            let number = text(name)?.trim().parse::<u64>().ok()?;
            // 0 stands for no limit.
            (number > 0).then_some(number)
        };
        let folder = |name| variable(name).map(PathBuf::from);
        let default = || {
            folder("XDG_CACHE_HOME")
                .or_else(|| Some(folder("HOME")?.join(".cache")))
                .map(|caches| caches.join("debuginfod_client"))
        };
        let (servers, folders) = places(&text("DEBUGINFOD_URLS")?);
        if servers.is_empty() && folders.is_empty() {
            return None;
        }
        Some(Self {
            servers,
            folders,
            cache: folder("DEBUGINFOD_CACHE_PATH")
                .or_else(default)
                .filter(|path| path.is_absolute()),
            timeout: number("DEBUGINFOD_TIMEOUT").map_or(TIMEOUT, Duration::from_secs),
            max_bytes: number("DEBUGINFOD_MAXSIZE").map_or(MAX_BYTES, |size| size.min(MAX_BYTES)),
            max_time: number("DEBUGINFOD_MAXTIME").map_or(MAX_TIME, Duration::from_secs),
        })
    }
}

/// Servers and folders of a list that is separated by spaces. What cannot be used is said.
fn places(list: &str) -> (Vec<Uri>, Vec<PathBuf>) {
    let (mut servers, mut folders) = (Vec::new(), Vec::new());
    let mut wants_signatures = false;
    for word in list.split_ascii_whitespace() {
        // How the servers that follow are to be checked: signatures of files are not looked at here.
        if let Some(policy) = word.strip_prefix("ima:") {
            wants_signatures = policy == "enforcing";
            continue;
        }
        if let Some(path) = word.strip_prefix("file://") {
            folders.push(PathBuf::from(path));
        } else if wants_signatures {
            tracing::warn!(
                "DEBUGINFOD_URLS: {word} is left out: it has to sign its files (ima:enforcing), which ctprof does not check"
            );
        } else {
            match server(word) {
                Ok(uri) => servers.push(uri),
                Err(cause) => tracing::warn!("DEBUGINFOD_URLS: {cause}, so it is left out"),
            }
        }
    }
    (servers, folders)
}

fn server(word: &str) -> Result<Uri, String> {
    let uri: Uri = word.parse().map_err(|_| format!("{word} is no URL"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => Ok(uri),
        // Not shown: it has a password in it.
        (Some("http" | "https"), Some(_)) => {
            Err("a URL has a user name, which is not supported".to_owned())
        }
        _ => Err(format!(
            "{word} is neither an http, an https nor a file URL"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)]) -> Option<Settings> {
        Settings::read(|wanted| {
            let mut all = environment.iter();
            all.find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.into())
        })
    }

    #[test]
    fn off_unless_a_server_is_named() {
        assert_eq!(read(&[("HOME", "/home/somebody")]), None);
        assert_eq!(
            read(&[("HOME", "/home/somebody"), ("DEBUGINFOD_URLS", "")]),
            None
        );
        assert_eq!(read(&[("DEBUGINFOD_URLS", " nonsense ftp://a/ ")]), None);
    }

    #[test]
    fn defaults() {
        let settings = read(&[
            ("HOME", "/home/somebody"),
            ("DEBUGINFOD_URLS", "https://a.example/"),
        ])
        .unwrap();
        assert_eq!(
            settings,
            Settings {
                servers: vec![Uri::from_static("https://a.example/")],
                folders: Vec::new(),
                cache: Some(PathBuf::from("/home/somebody/.cache/debuginfod_client")),
                timeout: Duration::from_secs(90),
                max_bytes: 2 << 30,
                max_time: Duration::from_secs(600),
            }
        );
    }

    #[test]
    fn what_can_be_said() {
        let settings = read(&[
            ("HOME", "/home/somebody"),
            ("XDG_CACHE_HOME", "/var/cache"),
            (
                "DEBUGINFOD_URLS",
                "http://[::1]:8002/x ima:enforcing https://signed/ ima:ignore file:///srv/debug https://u:p@host/",
            ),
            ("DEBUGINFOD_TIMEOUT", "5"),
            ("DEBUGINFOD_MAXSIZE", "1000"),
            ("DEBUGINFOD_MAXTIME", "7"),
        ])
        .unwrap();
        assert_eq!(
            settings,
            Settings {
                servers: vec![Uri::from_static("http://[::1]:8002/x")],
                folders: vec![PathBuf::from("/srv/debug")],
                cache: Some(PathBuf::from("/var/cache/debuginfod_client")),
                timeout: Duration::from_secs(5),
                max_bytes: 1000,
                max_time: Duration::from_secs(7),
            }
        );
        let cache = |path| {
            let urls = ("DEBUGINFOD_URLS", "http://a/");
            read(&[urls, ("DEBUGINFOD_CACHE_PATH", path)])
                .unwrap()
                .cache
        };
        assert_eq!(cache("/mine"), Some(PathBuf::from("/mine")));
        assert_eq!(cache("relative"), None);
    }
}
