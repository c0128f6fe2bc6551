//! What a call to GitHub can come to.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// Wait that long before the next call.
    #[error("GitHub asks to wait {} s: {message}", wait.as_secs())]
    RateLimited { wait: Duration, message: String },
    #[error("not found on GitHub: {message}")]
    NotFound { message: String },
    /// The App's credentials are not accepted, or it is suspended.
    #[error("GitHub does not accept the App's credentials: {message}")]
    Unauthorized { message: String },
    #[error("GitHub forbids it: {message}")]
    Forbidden { message: String },
    /// The request is well-formed and GitHub will not do it (409, 422).
    #[error("GitHub refuses it ({status}): {message}")]
    Refused { status: u16, message: String },
    #[error("GitHub had a fault ({status}): {message}")]
    Server { status: u16, message: String },
    /// The request may or may not have arrived.
    #[error("GitHub could not be reached: {0}")]
    Transport(String),
    #[error("GitHub's answer could not be read: {0}")]
    Unreadable(String),
}

impl GitHubError {
    /// Whether the same request can succeed later without a person doing something.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Server { .. } | Self::Transport(_) => true,
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::Unreadable(_) => false,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Seconds to wait where GitHub limits without saying for how long
/// (docs.github.com, "Rate limits for the REST API": at least one minute).
const UNSPECIFIED_WAIT: Duration = Duration::from_secs(60);
/// Longest wait that is taken from a header; the primary limit is renewed every hour.
const LONGEST_WAIT: Duration = Duration::from_secs(3_700);

impl From<octocrab::Error> for GitHubError {
    fn from(error: octocrab::Error) -> Self {
        match error {
            octocrab::Error::GitHub { source, .. } => {
                let headers = source.headers.clone().unwrap_or_default();
                let mut message = source.message.clone();
                for detail in source.errors.iter().flatten() {
                    let detail = detail.get("message").and_then(|m| m.as_str()).map(str::to_owned);
                    message.extend(detail.map(|detail| format!("; {detail}")));
                }
                from_status(source.status_code, &headers, message)
            }
            octocrab::Error::Json { source, .. } => Self::Unreadable(source.to_string()),
            octocrab::Error::Serde { source, .. } => Self::Unreadable(source.to_string()),
            octocrab::Error::JWT { source, .. } => Self::Unauthorized { message: source.to_string() },
            other => Self::Transport(crate::telemetry::with_causes(&other)),
        }
    }
}

pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, message: String) -> GitHubError {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let limited = number("retry-after").is_some() || number("x-ratelimit-remaining") == Some(0);
    match status.as_u16() {
        429 => GitHubError::RateLimited { wait: wait(headers), message },
        403 if limited || message.to_lowercase().contains("secondary rate limit") => {
            GitHubError::RateLimited { wait: wait(headers), message }
        }
        401 => GitHubError::Unauthorized { message },
        403 => GitHubError::Forbidden { message },
        // 410: an issue that was deleted (docs.github.com/rest/issues/issues#get-an-issue).
        404 | 410 => GitHubError::NotFound { message },
        408 => GitHubError::Transport(message),
        status @ 400..=499 => GitHubError::Refused { status, message },
        status => GitHubError::Server { status, message },
    }
}

/// `retry-after` in seconds wins; else the primary limit's reset, read against the answer's own date so
/// that our clock does not matter.
fn wait(headers: &HeaderMap) -> Duration {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    if let Some(seconds) = number("retry-after") {
        return Duration::from_secs(seconds).min(LONGEST_WAIT);
    }
    let date = text("date").and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    match (number("x-ratelimit-remaining"), number("x-ratelimit-reset"), date) {
        (Some(0), Some(reset), Some(date)) => {
            let now = u64::try_from(date.timestamp()).unwrap_or(0);
            Duration::from_secs(reset.saturating_sub(now) + 1).min(LONGEST_WAIT)
        }
        _ => UNSPECIFIED_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect()
    }

    #[test]
    fn a_limit_is_told_from_a_lack_of_permission() {
        let forbidden = from_status(StatusCode::FORBIDDEN, &headers(&[]), "Resource not accessible".into());
        assert!(matches!(forbidden, GitHubError::Forbidden { .. }));
        let secondary =
            from_status(StatusCode::FORBIDDEN, &headers(&[("retry-after", "7")]), "slow down".into());
        assert!(matches!(secondary, GitHubError::RateLimited { wait, .. } if wait.as_secs() == 7));
        let primary = headers(&[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1795230960"),
            ("date", "Sat, 21 Nov 2026 03:15:00 GMT"),
        ]);
        let primary = from_status(StatusCode::FORBIDDEN, &primary, "API rate limit exceeded".into());
        assert!(matches!(primary, GitHubError::RateLimited { wait, .. } if wait.as_secs() == 61));
    }

    #[test]
    fn what_may_pass_is_transient_and_what_was_said_no_to_is_not() {
        let of = |status: u16| {
            from_status(StatusCode::from_u16(status).expect("status"), &headers(&[]), "x".into())
        };
        for status in [408, 429, 500, 502, 503] {
            assert!(of(status).is_transient(), "{status}");
        }
        for status in [401, 403, 404, 410, 422] {
            assert!(!of(status).is_transient(), "{status}");
        }
        assert!(of(410).is_not_found() && of(404).is_not_found() && !of(422).is_not_found());
    }
}
