//! The server's own word: bytes relayed, from its `/metrics`.

use crate::client::http;

/// Bytes the server at `admin` (`HOST:PORT`, or `http://HOST:PORT`) says it has
/// exchanged with peers so far.
///
/// # Errors
/// Why it could not be read, for a person.
pub(super) async fn relayed_bytes(admin: &str) -> Result<u64, String> {
    let page = http::get(admin, "/metrics", None).await?;
    sum_relayed(&page).ok_or_else(|| format!("{admin}/metrics has no count of relayed bytes"))
}

/// The sum of the counters of bytes on the peers' side, between two allocations
/// of this server included; `None` when the page has none of them.
fn sum_relayed(page: &str) -> Option<u64> {
    let counts = |name: &str| {
        (name.starts_with("floe_peer_") || name.starts_with("floe_hairpin_")) && name.contains("bytes")
    };
    let values = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        let name = sample.split('{').next().unwrap_or(sample);
        counts(name).then(|| value.parse::<f64>().ok()).flatten()
    });
    values.map(|value| value as u64).reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PAGE: &str = "# HELP floe_peer_bytes_total Bytes.\n# TYPE floe_peer_bytes_total counter\n\
        floe_peer_bytes_total{direction=\"in\"} 100\nfloe_peer_bytes_total{direction=\"out\"} 20\n\
        floe_peer_packets_total 7\nfloe_hairpin_bytes_total 3\nfloe_client_bytes_total 1000\n";

    #[test]
    fn bytes_of_the_peers_side_are_summed() {
        assert_eq!(sum_relayed(PAGE), Some(123));
        assert_eq!(sum_relayed("floe_client_bytes_total 5\n"), None);
        assert_eq!(sum_relayed("nonsense\n\nfloe_peer_bytes_total x\n"), None);
    }

    async fn serve(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /metrics HTTP/1.0\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address.to_string()
    }

    #[tokio::test]
    async fn a_page_is_read_and_an_error_is_told() {
        let admin = serve(format!("HTTP/1.0 200 OK\r\n\r\n{PAGE}")).await;
        assert_eq!(relayed_bytes(&format!("http://{admin}/")).await, Ok(123));
        let admin = serve("HTTP/1.1 404 Not Found\r\n\r\n".to_owned()).await;
        assert!(relayed_bytes(&admin).await.unwrap_err().contains("404"));
    }
}
