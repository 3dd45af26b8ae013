//! What a request asks for: in its query, in a form body, or in a JSON body.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::grant::{Wish, refused};
use crate::admin::Shared;
use crate::admin::access::bearer;
use crate::admin::reply::{self, Refused};

/// Names that services use for the same thing.
const USER: &[&str] = &["username", "customIdentifier", "label"];
const TTL: &[&str] = &["ttl", "Ttl", "expiryInSeconds"];
const KEY: &[&str] = &["key", "api", "secretKey"];

fn is_known(name: &str) -> bool {
    [USER, TTL, KEY, &["service", "apiKey"]].into_iter().any(|names| names.contains(&name))
}

/// Names and values; the first value of each name counts.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The query's first, then the body's.
    pub(super) async fn of(shared: &Arc<Shared>, request: Request) -> Result<(Parts, Self), Refused> {
        let (head, body) = request.into_parts();
        let mut all = Self::default();
        all.form(head.uri.query().unwrap_or_default().as_bytes());
        if head.method == Method::POST {
            let body = reply::body(body, shared.limits.body).await?;
            let kind = head.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
            match kind.as_deref() {
                Some(kind) if kind.starts_with(b"application/x-www-form-urlencoded") => all.form(&body),
                Some(kind) if kind.starts_with(b"application/json") => all.json(&body)?,
                _ if body.is_empty() => {}
                _ => {
                    return Err(refused(
                        StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        "a body must be application/x-www-form-urlencoded or application/json",
                    ));
                }
            }
        }
        Ok((head, all))
    }

    fn form(&mut self, encoded: &[u8]) {
        self.0.extend(form_urlencoded::parse(encoded).into_owned());
    }

    fn json(&mut self, body: &[u8]) -> Result<(), Refused> {
        if body.is_empty() {
            return Ok(());
        }
        let wrong = |text| refused(StatusCode::BAD_REQUEST, text);
        let value: Value = serde_json::from_slice(body).map_err(|_| wrong("the body is no JSON"))?;
        let Value::Object(fields) = value else { return Err(wrong("the body must be a JSON object")) };
        for (name, value) in fields {
            match value {
                Value::Null => {}
                Value::String(text) => self.0.push((name, text)),
                Value::Number(number) => self.0.push((name, number.to_string())),
                // What is not known here means nothing here.
                _ if !is_known(&name) => {}
                _ => return Err(wrong("a field must be a text or a number")),
            }
        }
        Ok(())
    }

    /// `None` when it is not there, or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A header beats a parameter.
    pub(super) fn key(&self, head: &Parts) -> Option<String> {
        bearer(&head.headers).or_else(|| self.first(KEY)).map(str::to_owned)
    }

    /// For whom, and for how many seconds.
    pub(super) fn wish(&self) -> Result<Wish, Refused> {
        let ttl = match self.first(TTL) {
            None => None,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => {
                    return Err(refused(
                        StatusCode::BAD_REQUEST,
                        "ttl must be a whole number of seconds, 1 or more",
                    ));
                }
                Ok(seconds) => Some(seconds),
            },
        };
        Ok(Wish { user: self.first(USER).unwrap_or_default().to_owned(), ttl })
    }
}
