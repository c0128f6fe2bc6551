//! Errors of libraries, whose own text often names only what failed outermost.

use std::error::Error;

/// An error with its causes on one line, from the outermost to the innermost. A cause that is in the text
/// already is not repeated.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = first_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let said = first_line(&cause.to_string());
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Some print a backtrace behind their message.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Failed>>);

    fn failed(text: &'static str, cause: Option<Failed>) -> Failed {
        Failed(text, cause.map(Box::new))
    }

    #[test]
    fn every_cause_is_told_once_and_on_one_line() {
        let inner = failed("connection refused\n  0: a backtrace", None);
        let error = failed("error sending request", Some(failed("connect", Some(inner))));
        assert_eq!(with_causes(&error), "error sending request: connect: connection refused");
        let error = failed("cannot connect: refused", Some(failed("refused", None)));
        assert_eq!(with_causes(&error), "cannot connect: refused");
    }
}
