//! The way to the ACME server: one HTTPS request at a time, each over a connection
//! of its own, bounded in time and size. hyper and rustls are here anyway; the
//! library's own client would bring HTTP/2 and the roots of every platform along.

use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, Request, Uri, header, uri::PathAndQuery};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::net::provider;

/// For one request, from the name's look-up to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer, bytes: chains of certificates are some KiB.
const LARGEST: usize = 1 << 20;

const HTTPS_PORT: u16 = 443;

/// Asks the ACME server.
#[derive(Clone)]
pub(super) struct Http(TlsConnector);

impl Http {
    /// Believes who `roots` (PEM) certifies, or without it whom this machine does.
    ///
    /// # Errors
    /// The file can't be used, or the machine trusts nobody.
    pub(super) fn new(roots: Option<&Path>) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        match roots {
            Some(path) => {
                let wrong =
                    |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
                for root in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                    let root = root.map_err(|error| wrong(&error))?;
                    store.add(root).map_err(|error| wrong(&error))?;
                }
            }
            // One that can't be read is one that is not trusted.
            None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if store.is_empty() {
            let whose = roots.map_or_else(|| "this machine".into(), |path| path.display().to_string());
            return Err(io::Error::other(format!(
                "{whose} has no root certificates (Debian: apt-get install ca-certificates)"
            )));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(io::Error::other)?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn exchange(self, mut request: Request<BodyWrapper<Bytes>>) -> io::Result<BytesResponse> {
        let malformed = || io::Error::other("no URL of an HTTPS server");
        let uri = request.uri();
        let authority =
            uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(malformed)?;
        let (host, port) = (uri.host().ok_or_else(malformed)?, uri.port_u16().unwrap_or(HTTPS_PORT));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let to = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        // The origin-form, which servers are asked with (RFC 9112 §3.2.1).
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(header::HOST, to);

        let stream = TcpStream::connect((host.as_str(), port)).await?;
        let stream = self.0.connect(name, stream).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let (parts, body) = response.into_parts();
            let body = to_bytes(Body::new(body), LARGEST).await.map_err(io::Error::other)?;
            Ok(BytesResponse { parts, body: Box::new(body) })
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            response = &mut exchange => response,
            // Its end is seen by the exchange too, which may have all it needs.
            _ = connection => exchange.await,
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        Box::pin(async move {
            let answer = timeout(PATIENCE, this.exchange(request)).await;
            answer
                .unwrap_or_else(|_| Err(io::Error::other("no answer in time")))
                .map_err(|error| Error::Other(Box::new(Unreached { host, error })))
        })
    }
}

/// The server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {error}")]
pub(super) struct Unreached {
    host: String,
    error: io::Error,
}
