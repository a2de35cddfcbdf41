//! Servers behind TLS.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ctprof::symbolize::Problem;
use ctprof::symbolize::debuginfod::Settings;

use super::missing;
use super::stripped::Stripped;
use crate::support::{has, run, skip};

/// The part of [`servers_are_known_by_certificates_that_the_host_trusts`] that runs with an environment of its own.
#[test]
#[ignore = "run by another test, with an environment of its own"]
fn by_tls() {
    let (Some(settings), Ok(folder)) = (Settings::from_env(), std::env::var("EXPORTED")) else {
        skip!("not run by the test that sets its environment");
    };
    let it = Stripped::new();
    let of_build = Path::new(&folder).join("buildid").join(&it.build_id);
    std::fs::create_dir_all(&of_build).unwrap();
    std::fs::write(of_build.join("debuginfo"), &it.debug).unwrap();
    let named = it.named(settings);
    match std::env::var("TRUSTED").unwrap().as_str() {
        "yes" => named.expect_all(),
        _ => named.expect_only_exported(Problem::ServersFailed),
    }
}

#[test]
fn servers_are_known_by_certificates_that_the_host_trusts() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("openssl") && Command::new("openssl").arg("version").output().is_err() {
        skip!("no openssl");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["good", "other"] {
        run(Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(at(&format!("{name}.key")))
            .arg("-out")
            .arg(at(&format!("{name}.pem"))));
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = free.unwrap().port();
    std::fs::create_dir(at("exported")).unwrap();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-WWW",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("-cert")
        .arg(at("good.pem"))
        .arg("-key")
        .arg(at("good.key"))
        .current_dir(at("exported"))
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let results = [("good", "yes"), ("other", "no")].map(|(certificate, trusted)| {
        let test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "debuginfod::tls::by_tls", "--ignored"])
            .env("DEBUGINFOD_URLS", format!("https://localhost:{port}/"))
            .env("DEBUGINFOD_CACHE_PATH", at(certificate))
            .env("SSL_CERT_FILE", at(&format!("{certificate}.pem")))
            .env("EXPORTED", at("exported"))
            .env("TRUSTED", trusted)
            .output();
        (trusted, test.unwrap())
    });
    server.kill().unwrap();
    server.wait().unwrap();
    for (trusted, output) in results {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "trusted: {trusted}: {text}");
        assert!(text.contains("1 passed"), "trusted: {trusted}: {text}");
    }
}
