//! What the API says when it does not do what it is asked, and what to do about it.

use std::time::Duration;

use kube::Error;
use tokio::time::timeout;

use super::BACKEND;
use crate::sandbox::model::SandboxError;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts at what fails for reasons that pass. 429, 503 and 504 are also tried again by the client itself.
const ATTEMPTS: u32 = 4;

pub(super) fn unavailable(reason: impl Into<String>) -> SandboxError {
    SandboxError::Unavailable { backend: BACKEND, reason: reason.into() }
}

/// Asks, and asks again where the answer is one that passes. Only for what may be done twice.
pub(super) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let answer = once(attempt()).await;
        match &answer {
            Err(Error::Api(status)) if matches!(status.code, 429 | 500..=599) && left > 0 => {}
            Err(Error::HyperError(_) | Error::Service(_)) if left > 0 => {}
            _ => return answer,
        }
        tokio::time::sleep(Duration::from_millis(250) * (ATTEMPTS - left)).await;
    }
}

/// Asks once, for a while.
pub(super) async fn once<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Service(format!("no answer within {PATIENCE:?}").into())),
    }
}

pub(super) fn is_gone<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Api(status)) if status.code == 404)
}

/// An error of the API while it was asked for something.
pub(super) fn api_error(doing: &'static str) -> impl Fn(Error) -> SandboxError {
    move |error| match &error {
        Error::Api(status) => {
            let said =
                if status.message.is_empty() { status.reason.as_str() } else { status.message.as_str() };
            let reason = format!("{doing}: {said} ({})", status.code);
            match status.code {
                401 => unavailable(format!(
                    "{reason}. Its token or certificate is not taken: renew the kubeconfig"
                )),
                403 if said.contains("exceeded quota") => SandboxError::Setup {
                    reason: format!("{reason}. Raise the namespace's quota, or run fewer sandboxes at once"),
                },
                403 => unavailable(format!(
                    "{reason}. Apply deploy/kubernetes/sandbox.yaml, whose role allows what is needed"
                )),
                404 => unavailable(format!(
                    "{reason}. Apply deploy/kubernetes/sandbox.yaml, and see that sandbox.kubernetes.namespace names \
                     the same namespace"
                )),
                _ => SandboxError::Setup { reason },
            }
        }
        Error::Auth(error) => unavailable(format!("{doing}: {error}")),
        Error::HyperError(_) | Error::Service(_) => unavailable(format!("{doing}: {}", whole(&error))),
        Error::UpgradeConnection(_) => SandboxError::Setup {
            reason: format!(
                "{doing}: {}. A proxy between here and the API has to let WebSockets through",
                whole(&error)
            ),
        },
        _ => SandboxError::Setup { reason: format!("{doing}: {}", whole(&error)) },
    }
}

/// An error with its causes, which carry the reason.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}
