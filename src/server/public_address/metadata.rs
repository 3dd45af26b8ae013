//! Metadata services of clouds, each at the address that all of them share. Plain
//! HTTP over a socket of the standard library: one short answer is read once at
//! the start, before there is anything that could be waited for meanwhile (`ureq`
//! would bring its pools and TLS along; the admin commands' client is async).

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::address;
use crate::config::Cloud;

/// Never routed beyond the host that an instance runs on (RFC 3927).
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);
/// For the connection, and for each read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1024;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// The public address of the instance whose private one is `local`.
pub(super) fn ask(cloud: Cloud, local: IpAddr) -> Result<IpAddr, String> {
    match cloud {
        Cloud::Aws => aws(local),
        Cloud::Azure => azure(local),
        Cloud::DigitalOcean => {
            let family = if local.is_ipv4() { "ipv4" } else { "ipv6" };
            plain(&format!("/metadata/v1/interfaces/public/0/{family}/address"), &[])
        }
        Cloud::Gcp => gcp(local),
        Cloud::Hetzner => only_v4(local).and_then(|()| plain("/hetzner/v1/metadata/public-ipv4", &[])),
        Cloud::OpenStack => only_v4(local).and_then(|()| plain("/latest/meta-data/public-ipv4", &[])),
    }
}

/// IMDSv2: a token first, which a request that was forged through a proxy has
/// not.
fn aws(local: IpAddr) -> Result<IpAddr, String> {
    let lasts = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
    let token = good("PUT", "/latest/api/token", &lasts)?;
    let name = if local.is_ipv4() { "public-ipv4" } else { "ipv6" };
    plain(&format!("/latest/meta-data/{name}"), &[("X-aws-ec2-metadata-token", token.trim())])
}

/// Public addresses of the basic kind stand with the interface, those of the
/// standard kind with the load balancer, even where there is none.
fn azure(local: IpAddr) -> Result<IpAddr, String> {
    only_v4(local)?;
    let headers = [("Metadata", "true")];
    let query = "api-version=2021-02-01&format=text";
    let basic = format!("/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?{query}");
    if let Ok(public) = plain(&basic, &headers) {
        return Ok(public);
    }
    let text = good("GET", "/metadata/loadbalancer?api-version=2020-10-01", &headers)?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|error| format!("it answers no JSON: {error}"))?;
    let pairs = answer["loadbalancer"]["publicIpAddresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ours =
        |pair: &&Value| pair["privateIpAddress"].as_str().and_then(|ip| ip.parse().ok()) == Some(local);
    let ours = pairs.iter().find(is_ours).and_then(|pair| pair["frontendIpAddress"].as_str());
    address(ours.ok_or_else(|| format!("it knows no public address of {local}"))?)
}

fn gcp(local: IpAddr) -> Result<IpAddr, String> {
    let interface = "/computeMetadata/v1/instance/network-interfaces/0";
    let path = match local {
        IpAddr::V4(_) => format!("{interface}/access-configs/0/external-ip"),
        IpAddr::V6(_) => format!("{interface}/ipv6s"),
    };
    plain(&path, &[("Metadata-Flavor", "Google")])
}

fn only_v4(local: IpAddr) -> Result<(), String> {
    match local {
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(_) => Err("it tells IPv4 addresses alone".to_owned()),
    }
}

/// A page that is an address and nothing else.
fn plain(path: &str, headers: Headers<'_>) -> Result<IpAddr, String> {
    address(&good("GET", path, headers)?)
}

/// The body of an answer that is 200.
fn good(method: &str, path: &str, headers: Headers<'_>) -> Result<String, String> {
    let shown = path.split('?').next().unwrap_or(path);
    match exchange(method, path, headers) {
        Ok((200, body)) => Ok(body),
        Ok((404, _)) => Err(format!("{SERVICE} has no {shown}: no public address, or another cloud")),
        Ok((status, _)) => Err(format!("{SERVICE}{shown} answers {status}")),
        Err(error) => Err(format!("no answer from {SERVICE}: {error}")),
    }
}

/// HTTP/1.0, so that the body is neither chunked nor followed by another.
fn exchange(method: &str, path: &str, headers: Headers<'_>) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&SERVICE, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n", SERVICE.ip());
    for (name, value) in headers {
        // A token is the service's own text.
        if value.contains(char::is_control) {
            return Err(io::Error::other("a header with control characters"));
        }
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let answer = read(stream)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP"))?;
    Ok((status, body.to_owned()))
}

/// All that comes, within bounds of time and size.
fn read(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let start = Instant::now();
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while answer.len() < MAX_ANSWER {
        match stream.read(&mut chunk)? {
            0 => break,
            length => answer.extend_from_slice(&chunk[..length]),
        }
        if start.elapsed() > PATIENCE * 2 {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(answer)
}
