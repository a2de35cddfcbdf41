//! A profile's text, and what is wrong with it.

use oci_spec::runtime::LinuxSeccomp;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Why a text is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {cause}")]
pub struct Misread {
    /// From 1.
    pub line: usize,
    /// From 1; 0 for a line that is missing.
    pub column: usize,
    /// What is wrong there.
    pub cause: String,
}

/// Reads a profile.
///
/// # Errors
/// It is no JSON, or JSON that is no profile of the OCI runtime specification: where, and why.
pub fn read(text: &str) -> Result<LinuxSeccomp, Misread> {
    // What Docker adds to the form is looked for first: a profile that is read without it would be another one.
    serde_json::from_str::<Foreign>(text)
        .and_then(|_| serde_json::from_str(text))
        .map_err(|error| Misread {
            line: error.line(),
            column: error.column(),
            cause: cause(&error),
        })
}

/// The message without its end, which says where.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// A profile with an eye on what is not of the specification.
#[derive(Deserialize)]
#[serde(expecting = "a seccomp profile, which is a JSON object")]
struct Foreign {
    #[serde(default, rename = "archMap")]
    _arch_map: Docker,
    #[serde(default, rename = "syscalls")]
    _rules: Option<Vec<ForeignRule>>,
    #[serde(default, rename = "linux")]
    _linux: Config,
}

#[derive(Deserialize)]
struct ForeignRule {
    #[serde(default, rename = "includes")]
    _includes: Docker,
    #[serde(default, rename = "excludes")]
    _excludes: Docker,
    #[serde(default, rename = "name")]
    _name: OneName,
}

/// A key of Docker's own form: empty or refused.
#[derive(Default)]
struct Docker;

impl<'de> Deserialize<'de> for Docker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Empty)
    }
}

struct Empty;

impl<'de> Visitor<'de> for Empty {
    type Value = Docker;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an empty object")
    }

    fn visit_unit<E>(self) -> Result<Docker, E> {
        Ok(Docker)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Docker, A::Error> {
        match map.next_entry::<IgnoredAny, IgnoredAny>()? {
            None => Ok(Docker),
            Some(_) => Err(A::Error::custom(DOCKER)),
        }
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Docker, A::Error> {
        match items.next_element::<IgnoredAny>()? {
            None => Ok(Docker),
            Some(_) => Err(A::Error::custom(DOCKER)),
        }
    }
}

const DOCKER: &str = "this is Docker's own form of a profile (archMap, includes, excludes), whose rules depend on \
                      the container's capabilities and the kernel; give the OCI profile that Docker makes of it: \
                      linux.seccomp of the container's config.json";

/// `linux` of a whole `config.json`.
#[derive(Default)]
struct Config;

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this is a container's config.json; give the profile in it alone: jq .linux.seccomp",
        ))
    }
}

/// `name`, as profiles had it before `names`.
#[derive(Default)]
struct OneName;

impl<'de> Deserialize<'de> for OneName {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "a rule with one `name` is of the form that came before OCI's; write `names`, a list",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Misread, read};

    fn misread(text: &str) -> Misread {
        read(text).unwrap_err()
    }

    #[test]
    fn a_profile() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": null},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}]}"#;
        let profile = read(text).unwrap();
        assert_eq!(profile.default_errno_ret(), Some(38));
        assert_eq!(profile.syscalls().as_ref().unwrap().len(), 2);
        assert!(read(r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": null}"#).is_ok());
    }

    #[test]
    fn broken_json_says_where() {
        let error = misread("{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  oops\n}\n");
        assert_eq!((error.line, error.column), (3, 3));
        assert_eq!(error.to_string(), "line 3, column 3: key must be a string");
        assert_eq!(misread("").line, 1);
        assert_eq!(misread("[1]").line, 1);
    }

    #[test]
    fn json_that_is_no_profile_says_where() {
        let error = misread("{\n\"syscalls\": []\n}");
        assert_eq!(
            error.to_string(),
            "line 3, column 1: missing field `defaultAction`"
        );
        let error = misread("{\"defaultAction\":\n  \"SCMP_ACT_MAYBE\"}");
        assert_eq!(error.line, 2);
        assert!(error.cause.contains("SCMP_ACT_MAYBE"), "{}", error.cause);
        let error = misread(
            "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [\n{\"action\": \"SCMP_ACT_ALLOW\"}]}",
        );
        assert_eq!(error.line, 2);
        assert!(error.cause.contains("names"), "{}", error.cause);
    }

    #[test]
    fn other_forms_are_recognised() {
        let docker = "{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"archMap\": [\n{\"architecture\": \"SCMP_ARCH_X86_64\"}]}";
        let error = misread(docker);
        assert_eq!(error.line, 3);
        assert!(error.cause.contains("Docker's own"), "{}", error.cause);
        let docker = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{\"names\": [\"bpf\"], \"action\": \"SCMP_ACT_ALLOW\",\n\"includes\": {\"caps\": [\"CAP_BPF\"]}}]}";
        let error = misread(docker);
        assert_eq!(error.line, 2);
        assert!(error.cause.contains("Docker's own"), "{}", error.cause);
        let config = "{\"ociVersion\": \"1.0\", \"linux\": {\"seccomp\": {}}}";
        assert!(misread(config).cause.contains("config.json"));
        let old = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{\"name\": \"read\", \"action\": \"SCMP_ACT_ALLOW\"}]}";
        assert!(misread(old).cause.contains("`names`"));
    }
}
