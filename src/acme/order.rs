//! One certificate, from the order to the chain in PEM (RFC 8555 §7.4).

use std::net::IpAddr;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::answers::{Answers, Held};

/// How long the server may take to look, and to issue.
const PATIENT: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_secs(120));

/// What is ordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) names: &'a [String],
    /// Empty: the server's default.
    pub(super) profile: &'a str,
    /// The certificate that this one comes after.
    pub(super) replaces: Option<&'a CertificateIdentifier<'static>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The server said no, or nothing.
    #[error(transparent)]
    Acme(#[from] Error),
    /// It wants to see another kind of proof.
    #[error("the server takes no {kind} for {name}")]
    NoChallenge { kind: &'static str, name: String },
    /// It did not see what it wanted to.
    #[error("{0}")]
    Refused(String),
    /// Cryptography failed.
    #[error("cannot make a certificate to be seen: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Returns the private key and then the chain, PEM.
pub(super) async fn obtain(
    account: &Account,
    wish: Wish<'_>,
    answers: &Answers,
) -> Result<String, OrderError> {
    let mut order = place(account, wish).await?;
    // Seen until the server has looked.
    let held = answer(&mut order, answers).await?;
    let status = order.poll_ready(&PATIENT).await;
    drop(held);
    match status {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(reason(&mut order, status.err()).await),
        Err(error) => return Err(error.into()),
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENT).await?;
    Ok(format!("{}\n{}", key.trim_end(), chain))
}

async fn place(account: &Account, wish: Wish<'_>) -> Result<Order, Error> {
    let identifier = |name: &String| match name.parse::<IpAddr>() {
        Ok(ip) => Identifier::Ip(ip),
        Err(_) => Identifier::Dns(name.to_ascii_lowercase()),
    };
    let identifiers: Vec<_> = wish.names.iter().map(identifier).collect();
    let plain = || {
        let order = NewOrder::new(&identifiers);
        if wish.profile.is_empty() { order } else { order.profile(wish.profile) }
    };
    if let Some(id) = wish.replaces {
        match account.new_order(&plain().replaces(id.clone())).await {
            Ok(order) => return Ok(order),
            // That it replaces one is a courtesy (RFC 9773 §5): not every server
            // knows it, and one may hold that it has been replaced already.
            Err(error) => tracing::debug!(target: "floe::acme", %error, "ordered as a new one"),
        }
    }
    account.new_order(&plain()).await
}

/// Answers every challenge of a kind and says so to the server.
async fn answer(order: &mut Order, answers: &Answers) -> Result<Vec<Held>, OrderError> {
    let mut held = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // Proven before, and good for a while.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(answers.kind()) else {
            return Err(OrderError::NoChallenge { kind: called(&answers.kind()), name });
        };
        held.push(answers.hold(&name, &challenge.token, &challenge.key_authorization())?);
        challenge.set_ready().await?;
    }
    Ok(held)
}

/// What the server did not like: it says so at the challenges.
async fn reason(order: &mut Order, error: Option<Error>) -> OrderError {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
    match error {
        Some(error) if reasons.is_empty() => error.into(),
        None if reasons.is_empty() => OrderError::Refused("the server refused the order".to_owned()),
        _ => OrderError::Refused(reasons.join("; ")),
    }
}

const fn called(kind: &ChallengeType) -> &'static str {
    match kind {
        ChallengeType::Http01 => "http-01",
        ChallengeType::TlsAlpn01 => "tls-alpn-01",
        _ => "such challenge",
    }
}
