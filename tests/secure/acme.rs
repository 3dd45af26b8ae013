//! Certificates from an ACME server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::{ALL_VERSIONS, ServerConnection, StreamOwned};

use crate::pebble::{HTTP_PORT, Site, wait};
use crate::support::authority::{HOST, client, shown};
use crate::support::{ALICE, Authority, Client, PATIENCE, Peer, Request, Server};

fn orders(server: &Server, outcome: &str) -> f64 {
    server.metric("floe_acme_orders_total", &[&format!("outcome=\"{outcome}\"")])
}

/// A certificate that `authority` has issued stands where floe keeps its own:
/// with its key, one file.
fn kept(authority: &Authority, state_directory: &Path, days: std::ops::Range<i64>) {
    let (certificate, key) = authority.issue_for("kept", &[HOST], days);
    let both = fs::read_to_string(key).unwrap() + &fs::read_to_string(certificate).unwrap();
    fs::create_dir(state_directory.join("acme")).unwrap();
    fs::write(state_directory.join("acme/certificate.pem"), both).unwrap();
}

/// What happens to whoever comes before there is a certificate.
fn refused(site: &Site, protocols: &[&str]) -> String {
    let mut config = site.authority.client(ALL_VERSIONS);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(site.tls()).unwrap();
    site.authority.handshake(socket, HOST, config).unwrap_err().to_string()
}

#[test]
fn a_certificate_is_obtained_by_tls_and_serves_calls() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let address = site.address.to_string();
    let server = Server::start(|config| site.configure(config, "tls-alpn-01", &[HOST, &address]));
    wait("it is issued", || orders(&server, "issued") == 1.0);
    for host in [HOST, &address] {
        let mut client = client(site.connect(host).unwrap()).user(ALICE);
        let relayed = client.allocate();
        let peer = Peer::new();
        client.permit(peer.ip());
        client.exchange(relayed, &peer);
    }
    assert_eq!(orders(&server, "failed"), 0.0);

    let folder = server.directory().join("acme");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["account.json", "certificate.pem"]);
    assert!(names.iter().all(|name| mode(&folder.join(name)) == 0o600));

    // Told as any other certificate is.
    let (_, status) = server.api("GET", "/api/status");
    let file = folder.join("certificate.pem");
    assert_eq!(status["certificates"][0]["file"], file.to_str().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(status["certificates"][0]["expires"].as_u64().unwrap() > now);

    // The proof is shown to nobody any more.
    assert!(!refused(&site, &["acme-tls/1"]).is_empty());

    // It outlives the process, and nobody is asked for another.
    let dead = Server::start(|config| {
        site.configure(config, "http-01", &[&address, HOST]);
        config.set("listen.tls", vec!["127.0.0.1:0"]).set("acme.directory", "https://127.0.0.1:9/dir");
        let folder = config.state_directory().join("acme");
        fs::create_dir(&folder).unwrap();
        fs::copy(&file, folder.join("certificate.pem")).unwrap();
    });
    assert_eq!(dead.metric("floe_tls_certificate_not_after_seconds", &["certificate.pem"]), {
        server.metric("floe_tls_certificate_not_after_seconds", &["certificate.pem"])
    });
    assert_eq!(orders(&dead, "failed"), 0.0);
    dead.logs(&format!("turns:{HOST}:"));
}

#[test]
fn a_certificate_is_obtained_by_http() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let server = Server::start(|config| site.configure(config, "http-01", &[HOST]));
    // Whatever else is asked for is not there.
    for (request, status) in [
        ("GET /.well-known/acme-challenge/none HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("POST /.well-known/acme-challenge/none HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("\x16\x03\x01\r\n\r\n", "400"),
    ] {
        let mut socket = TcpStream::connect((site.address, HTTP_PORT)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}: {answer}");
    }
    wait("it is issued", || orders(&server, "issued") == 1.0);
    client(site.connect(HOST).unwrap()).ping();
}

#[test]
fn a_server_that_fails_changes_nothing_and_one_that_comes_back_renews() {
    let Some(mut site) = Site::new() else { return };
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        // Two thirds of its life are over.
        kept(&site.authority, config.state_directory(), -70..20);
    });
    wait("an attempt fails", || orders(&server, "failed") >= 1.0);
    server.logs("no certificate; tried again later");
    let stream = site.authority.connect(site.tls());
    let old = shown(&stream);
    let mut caller = client(stream).user(ALICE);
    let relayed = caller.allocate();
    let peer = Peer::new();
    caller.permit(peer.ip());
    caller.exchange(relayed, &peer);

    site.open();
    wait("it is renewed", || {
        // The call goes on all the while.
        caller.exchange(relayed, &peer);
        orders(&server, "issued") == 1.0
    });
    caller.exchange(relayed, &peer);
    caller.call(Request::refresh(600)).ok();
    assert_ne!(shown(&site.connect(HOST).unwrap()), old);
}

#[test]
fn a_name_that_is_not_ours_gets_none_and_the_reason_is_said() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        // Not where the authority looks.
        config.set("listen.tls", vec![format!("{}:5003", site.address)]);
    });
    wait("it is refused", || orders(&server, "failed") == 1.0);
    server.wait_until("the log says why", || {
        let log = server.log();
        log.contains(HOST) && log.contains("Failed to connect")
    });
    assert_eq!(orders(&server, "issued"), 0.0);
    server.expect_metric("floe_tls_certificate_not_after_seconds", &[], 0.0);
    // Clients without TLS do not mind; the others are told no.
    Client::udp(&server).user(ALICE).allocate();
    let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
    let error = site.authority.handshake(socket, HOST, site.authority.client(ALL_VERSIONS)).unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
}

#[test]
fn what_cannot_be_kept_is_in_use_all_the_same_and_kept_when_it_can_be() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        kept(&site.authority, config.state_directory(), -70..20);
        // As on a full disk: the new files can't be made, for they are directories.
        for name in ["account.new", "certificate.new"] {
            fs::create_dir_all(config.state_directory().join("acme").join(name).join("full")).unwrap();
        }
    });
    let folder = server.directory().join("acme");
    let old = fs::read(folder.join("certificate.pem")).unwrap();
    wait("it is shown", || orders(&server, "issued") == 1.0);
    client(site.connect(HOST).unwrap()).ping();
    wait("it is said", || orders(&server, "failed") >= 2.0);
    server.logs("account.json: ");
    server.logs("lost with a restart");
    assert_eq!(fs::read(folder.join("certificate.pem")).unwrap(), old);

    for name in ["account.new", "certificate.new"] {
        fs::remove_dir_all(folder.join(name)).unwrap();
    }
    wait("it is kept", || fs::read(folder.join("certificate.pem")).unwrap() != old);
    assert!(folder.join("account.json").is_file());
    assert_eq!(orders(&server, "issued"), 1.0, "it is asked for once");
}

#[test]
fn an_account_that_cannot_be_kept_serves_all_the_same() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        fs::create_dir_all(config.state_directory().join("acme/account.new/full")).unwrap();
    });
    wait("it is issued", || orders(&server, "issued") == 1.0);
    client(site.connect(HOST).unwrap()).ping();
}

#[test]
fn an_account_is_kept_long_before_the_next_order() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        // Not where the authority looks: minutes pass until the next one.
        config.set("listen.tls", vec![format!("{}:5003", site.address)]);
        fs::create_dir_all(config.state_directory().join("acme/account.new/full")).unwrap();
    });
    let folder = server.directory().join("acme");
    server.logs("no certificate; tried again later");
    fs::remove_dir_all(folder.join("account.new")).unwrap();
    wait("it is kept", || folder.join("account.json").is_file());
}

/// A directory that adds renewal information (RFC 9773) to that of the ACME
/// server, and gives it: the certificate is to be replaced at once. Returns its
/// URL.
fn advised(site: &Site) -> String {
    let config = site.authority.server("front", &[&site.address.to_string()]);
    let listener = TcpListener::bind((site.address, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut directory = site.directory();
    directory["renewalInfo"] = format!("{url}/advice").into();
    let window = r#"{"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}"#;
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, socket.unwrap());
            let mut request = [0; 4096];
            let Ok(length) = stream.read(&mut request) else { continue };
            let request = String::from_utf8_lossy(&request[..length]);
            let body = match request.split(' ').nth(1) {
                Some("/dir") => directory.to_string(),
                // Two parts in base64 (§4.1).
                Some(path) if path.starts_with("/advice/") && path.contains('.') => window.to_owned(),
                other => panic!("{other:?}"),
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nRetry-After: 21600\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
            stream.flush().unwrap();
        }
    });
    format!("{url}/dir")
}

#[test]
fn the_servers_advice_when_to_renew_is_taken() {
    let Some(mut site) = Site::new() else { return };
    site.open();
    let directory = advised(&site);
    let server = Server::start(|config| {
        site.configure(config, "tls-alpn-01", &[HOST]);
        config.set("acme.directory", directory);
        // By itself it would be renewed in two months.
        kept(&site.authority, config.state_directory(), -1..89);
    });
    wait("it is renewed", || orders(&server, "issued") == 1.0);
    client(site.connect(HOST).unwrap()).ping();
}

#[test]
fn what_cannot_be_used_at_the_start_names_its_key() {
    let authority = Authority::new();
    let wrong = authority.file("none.pem");
    let on = |config: &mut crate::support::Config| {
        config
            .set("listen.tls", vec!["127.0.0.1:0"])
            .set("acme.names", vec![HOST])
            .set("acme.agree-to-terms", true)
            .set("acme.directory", "https://127.0.0.1:9/dir");
    };
    let (status, log) = Server::refused(|config| {
        on(config);
        config.set("acme.root-certificates", wrong.to_str().unwrap());
    });
    assert_eq!(status, Some(2), "{log}");
    assert!(log.contains("acme.root-certificates: ") && log.contains("none.pem"), "{log}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, log) = Server::refused(|config| {
        on(config);
        config.set("acme.challenge", "http-01").set("acme.http-listen", vec![address.to_string()]);
    });
    assert_eq!(status, Some(2), "{log}");
    assert!(log.contains(&format!("acme.http-listen: {address} is taken")), "{log}");
}
