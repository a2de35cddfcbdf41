//! The web configuration file: YAML, with the keys of Prometheus' exporter toolkit that ctprof knows. A key that it
//! does not know is an error: whoever wrote it counts on it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Users, Web};
use crate::agent::settings::{at, read_text};
use crate::model::text::printable;
use crate::target::nearest::hint;
use crate::{Error, Result};

/// Keys of the file.
const TLS: &str = "tls_server_config";
const USERS: &str = "basic_auth_users";
const CERTIFICATE: &str = "cert_file";
const KEY: &str = "key_file";
/// A password check with a higher cost takes seconds: every scrape would.
const MAX_COST: u32 = 15;

/// What is wrong, and in which line.
type Mistake = (usize, String);

pub(super) fn read(path: &Path) -> Result<Web> {
    let text = read_text(path)?;
    let fail = |(line, message): Mistake| at(path, line, &message);
    let documents = MarkedYaml::load_from_str(&text)
        .map_err(|error| fail((error.marker().line(), error.info().to_owned())))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    match documents.as_slice() {
        [] => Ok(Web::default()),
        [document] => web(document, folder).map_err(fail),
        _ => Err(Error::Usage(format!(
            "{}: has several documents; one is expected",
            path.display()
        ))),
    }
}

fn web(document: &MarkedYaml<'_>, folder: &Path) -> Result<Web, Mistake> {
    let mut web = Web::default();
    for (key, value, line) in entries(document, "the file")? {
        match key {
            TLS => web.tls = Some(tls(value, line, folder)?),
            USERS => web.users = Some(Arc::new(users(value)?)),
            _ => return Err(unknown(line, key, &[TLS, USERS])),
        }
    }
    Ok(web)
}

fn tls(value: &MarkedYaml<'_>, line: usize, folder: &Path) -> Result<TlsAcceptor, Mistake> {
    let mut files: [Option<(PathBuf, usize)>; 2] = [None, None];
    let names = [CERTIFICATE, KEY];
    for (key, value, line) in entries(value, TLS)? {
        let Some(position) = names.iter().position(|name| *name == key) else {
            return Err(unknown(line, key, &names));
        };
        let path = text(value)
            .filter(|path| !path.is_empty())
            .ok_or_else(|| (line, format!("{key}: expected the path of a file")))?;
        // As in Prometheus: beside the file that names it.
        files[position] = Some((folder.join(path), line));
    }
    let [Some((certificate, certificate_line)), Some((key, key_line))] = files else {
        return Err((line, format!("{TLS}: needs both {CERTIFICATE} and {KEY}")));
    };
    let wrong = |name: &str, path: &Path, cause: &dyn std::fmt::Display| {
        format!("{name}: cannot use {}: {cause}", path.display())
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| (certificate_line, wrong(CERTIFICATE, &certificate, &error)))?;
    if chain.is_empty() {
        let message = wrong(
            CERTIFICATE,
            &certificate,
            &"it holds no certificate in PEM form",
        );
        return Err((certificate_line, message));
    }
    let private =
        PrivateKeyDer::from_pem_file(&key).map_err(|error| (key_line, wrong(KEY, &key, &error)))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|error| (line, format!("{TLS}: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn users(value: &MarkedYaml<'_>) -> Result<Users, Mistake> {
    let mut users = Users::default();
    for (name, value, line) in entries(value, USERS)? {
        let shown = printable(name, 80);
        let hash = text(value).unwrap_or_default();
        let parts = bcrypt::HashParts::from_str(hash).map_err(|_| {
            let advice =
                "expected a bcrypt hash, as `htpasswd -nBC 10 NAME` prints after the colon";
            (line, format!("{USERS}.{shown}: {advice}"))
        })?;
        if parts.get_cost() > MAX_COST {
            let cost = parts.get_cost();
            let message =
                format!("{USERS}.{shown}: cost {cost} takes too long; at most {MAX_COST}");
            return Err((line, message));
        }
        users.add(name, hash);
    }
    Ok(users)
}

/// Keys, values and lines of a mapping.
fn entries<'a>(
    node: &'a MarkedYaml<'_>,
    what: &str,
) -> Result<Vec<(&'a str, &'a MarkedYaml<'a>, usize)>, Mistake> {
    let line = node.span.start.line();
    if matches!(node.data, YamlData::Value(ref scalar) if scalar.is_null()) {
        return Ok(Vec::new());
    }
    let mapping = node
        .data
        .as_mapping()
        .ok_or_else(|| (line, format!("{what}: expected keys and values")))?;
    mapping
        .iter()
        .map(|(key, value)| {
            let line = key.span.start.line();
            let name = text(key).ok_or_else(|| (line, format!("{what}: a key is not a text")))?;
            Ok((name, value, line))
        })
        .collect()
}

fn text<'a>(node: &'a MarkedYaml<'_>) -> Option<&'a str> {
    node.data.as_str()
}

fn unknown(line: usize, key: &str, known: &[&str]) -> Mistake {
    let near = hint(key, known.iter().copied(), "");
    let (key, known) = (printable(key, 80), known.join(", "));
    (
        line,
        format!("'{key}' is not supported{near}; there are {known}"),
    )
}
