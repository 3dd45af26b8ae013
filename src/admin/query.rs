//! Parameters of a URL.

use axum::http::StatusCode;

use super::reply::{self, Refused};

/// The parameters of one request; the first value of each counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// `None` when it is not there, or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A whole number of at most `most`; `default` when it is not there.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub(super) fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, Refused> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().ok().filter(|number| *number <= most).ok_or_else(|| {
            let wrong = format!("{name} must be a whole number from 0 to {most}");
            reply::error(StatusCode::BAD_REQUEST, &wrong).into()
        })
    }
}
