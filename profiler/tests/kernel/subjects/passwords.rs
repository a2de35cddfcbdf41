//! TLS and passwords: who may ask the agent, and that guessing takes long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use libtest_mimic::Trial;
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::agent::{Agent, Answer};
use crate::harness::needs::privileged;
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("passwords::tls_and_passwords", tls),
        privileged("passwords::probes_and_guesses", guesses),
    ]
}

const CERTIFICATE: &[u8] = include_bytes!("../../fixtures/agent/cert.pem");

const KEY: &[u8] = include_bytes!("../../fixtures/agent/key.pem");

fn tls() -> Result {
    let folder = TempDir::new()?;
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text);
    write("cert.pem", CERTIFICATE)?;
    write("key.pem", KEY)?;
    let hash = hash_of("secret")?;
    write(
        "web.yml",
        format!("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: {hash}\n").as_bytes(),
    )?;
    let config = folder.path().join("web.yml").display().to_string();
    let agent = Agent::start(&["--web-config", &config])?;
    // Base64 of prometheus:secret, prometheus:wrong, nobody:secret.
    let right = "Authorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n";
    for (header, code) in [
        (right, 200),
        (right, 200),
        ("", 401),
        ("Authorization: Basic cHJvbWV0aGV1czp3cm9uZw==\r\n", 401),
        ("Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n", 401),
        ("Authorization: Basic !!!\r\n", 401),
        ("Authorization: Bearer x\r\n", 401),
    ] {
        let answer = over_tls(agent.address(), "/metrics", header)?;
        ensure!(
            answer.code == code,
            "{header:?}: {} instead of {code}",
            answer.code
        );
        let asks = answer
            .head
            .contains("www-authenticate: basic realm=\"ctprof\"");
        ensure!(asks == (code == 401), "{}", answer.head);
    }
    // Plain HTTP is not answered.
    let plain = agent.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    ensure!(!plain.starts_with(b"HTTP"), "plain HTTP is answered");
    // A new password counts after a reload; the old one does not, although it was right a moment ago.
    let hash = hash_of("new")?;
    write("web.yml", format!("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: {hash}\n").as_bytes())?;
    agent.signal(rustix::process::Signal::HUP)?;
    crate::harness::wait_for("the reload", || {
        Ok(agent.said().contains("reloaded").then_some(()))
    })?;
    ensure!(
        over_tls(agent.address(), "/metrics", right)?.code == 401,
        "the old password still counts"
    );
    let new = "Authorization: Basic cHJvbWV0aGV1czpuZXc=\r\n";
    ensure!(
        over_tls(agent.address(), "/metrics", new)?.code == 200,
        "the new password does not count"
    );
    agent.end()?;
    Ok(())
}

/// Probes need no password; who guesses from one address keeps others out neither by the checks nor by connections.
fn guesses() -> Result {
    let folder = TempDir::new()?;
    let path = folder.path().join("web.yml");
    std::fs::write(
        &path,
        format!("basic_auth_users:\n  prometheus: {}\n", hash_of("secret")?),
    )?;
    let agent = Agent::start(&[
        "--listen",
        "127.0.0.1:0",
        "--web-config",
        &path.display().to_string(),
    ])?;
    for page in ["/healthz", "/readyz"] {
        let answer = agent.ask(page, "")?;
        ensure!(answer.code == 200, "{page}: {}", answer.code);
    }
    // Each from 127.0.0.2 is a guess.
    let port: u16 = agent
        .address()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let stream = from([127, 0, 0, 2], port)?;
        *codes
            .entry(code_of(stream, "bm9ib2R5OnNlY3JldA==")?)
            .or_insert(0) += 1;
    }
    let (wrong, busy) = (codes.get(&401).copied(), codes.get(&429).copied());
    ensure!(
        wrong.unwrap_or(0) >= 10 && busy.unwrap_or(0) > 0,
        "{codes:?}"
    );
    ensure!(codes.len() == 2, "{codes:?}");
    // Another address gets in at once, and then the first one with the same password, too.
    for address in [[127, 0, 0, 3], [127, 0, 0, 2]] {
        let code = code_of(from(address, port)?, "cHJvbWV0aGV1czpzZWNyZXQ=")?;
        ensure!(code == 200, "{address:?}: {code}");
    }
    agent.end()?;
    Ok(())
}

/// A connection to the agent from this address of the loopback.
fn from(address: [u8; 4], port: u16) -> Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, connect, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&fd, &SocketAddrV4::new(address.into(), 0))?;
    connect(&fd, &SocketAddrV4::new([127, 0, 0, 1].into(), port))?;
    Ok(TcpStream::from(fd))
}

fn code_of(mut stream: TcpStream, password: &str) -> Result<u16> {
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Basic {password}\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Ok(Answer::parse(&bytes)?.code)
}

fn hash_of(password: &str) -> Result<String> {
    let parts = bcrypt::hash_with_salt(password, 4, *b"sixteen bytes of");
    Ok(parts.map_err(|error| error.to_string())?.to_string())
}

fn over_tls(address: &str, path: &str, header: &str) -> Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).map_err(|error| error.to_string())?)?;
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
    )?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}
