//! A profile's text, and what is wrong with it.

use std::marker::PhantomData;

use oci_spec::runtime::LinuxSeccomp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::text::printable;

/// A cause may quote the profile, which may hold anything.
const MAX_CAUSE_CHARS: usize = 500;

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
    serde_json::from_str::<Object<Foreign>>(text)
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
    printable(text.strip_suffix(&place).unwrap_or(&text), MAX_CAUSE_CHARS)
}

/// A JSON object and nothing else. A derived `Deserialize` takes an array as well, for the values of all fields in their
/// order; no container runtime does.
struct Object<T>(PhantomData<T>);

/// What a reader of an object calls it.
trait Form {
    const WHAT: &'static str;
}

impl<'de, T: Deserialize<'de> + Form> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Form> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|_| Object(PhantomData))
    }
}

/// A profile with an eye on what is not of the specification.
#[derive(Deserialize)]
struct Foreign {
    #[serde(default, rename = "archMap")]
    _arch_map: Docker,
    #[serde(default, rename = "syscalls")]
    _rules: Option<Vec<Object<ForeignRule>>>,
    #[serde(default, rename = "linux")]
    _linux: Config,
}

impl Form for Foreign {
    const WHAT: &'static str = "a seccomp profile, which is a JSON object";
}

#[derive(Deserialize)]
struct ForeignRule {
    #[serde(default, rename = "includes")]
    _includes: Docker,
    #[serde(default, rename = "excludes")]
    _excludes: Docker,
    #[serde(default, rename = "name")]
    _name: OneName,
    #[serde(default, rename = "args")]
    _conditions: Option<Vec<Object<Condition>>>,
}

impl Form for ForeignRule {
    const WHAT: &'static str = "a rule, which is a JSON object";
}

#[derive(Deserialize)]
struct Condition {}

impl Form for Condition {
    const WHAT: &'static str = "a condition on an argument, which is a JSON object";
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
    }

    #[test]
    fn arrays_in_place_of_objects_are_named() {
        let list = r#"[{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]"#;
        for text in [list, "[]", "[1]", r#"["SCMP_ACT_ERRNO"]"#] {
            assert_eq!(
                misread(text).cause,
                "invalid type: sequence, expected a seccomp profile, which is a JSON object"
            );
        }
        let rule =
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [[["read"], "SCMP_ACT_ALLOW"]]}"#;
        assert_eq!(
            misread(rule).cause,
            "invalid type: sequence, expected a rule, which is a JSON object"
        );
        let condition = r#"{"defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [[0, 2, null, "SCMP_CMP_EQ"]]}]}"#;
        let error = misread(condition);
        assert_eq!(error.line, 2);
        assert_eq!(
            error.cause,
            "invalid type: sequence, expected a condition on an argument, which is a JSON object"
        );
    }

    #[test]
    fn fuzz_profiles() {
        let docker = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": [{"architecture": "SCMP_ARCH_X86_64",
            "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}], "syscalls": [{"names": ["accept", "accept4"], "action":
            "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#;
        let oci = r#"{"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288,
            "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#;
        let config =
            r#"{"ociVersion": "1.0.2", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}"#;
        crate::fuzz::fuzz(&[docker, oci, config], |bytes| {
            if let Err(error) = read(&String::from_utf8_lossy(bytes)) {
                let text = error.to_string();
                assert!(!text.contains(char::is_control), "{text:?}");
                assert!(text.chars().count() < 600, "{text:?}");
                assert!(error.line >= 1, "{text:?}");
            }
        });
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
