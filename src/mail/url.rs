//! `SMTP_URL`: where the mail goes, and that no password travels in the open.

use std::path::PathBuf;

use lettre::transport::smtp::authentication::Credentials;

/// What is wrong with `SMTP_URL`. The URL itself is never shown, since it holds the password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MailSetupError {
    #[error(
        "SMTP_URL must look like smtp://user:password@host:587 or smtps://user:password@host:465, with special \
         characters percent-encoded"
    )]
    Shape,
    #[error("SMTP_URL: the parameter `{0}` is not known; known are tls and tls_ca")]
    Parameter(String),
    #[error("SMTP_URL: tls is `required` or `none`")]
    TlsValue,
    #[error("SMTP_URL: a password would travel unencrypted; take tls=none away")]
    OpenPassword,
    #[error("SMTP_URL: smtps is encrypted from the start, and tls=none contradicts it")]
    Contradiction,
    #[error("SMTP_URL: tls_ca names {path}, which cannot be used: {problem}")]
    Certificates { path: PathBuf, problem: String },
    #[error("TLS for mail cannot be set up: {0}")]
    Tls(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    StartTls,
    FromTheStart,
}

pub(super) struct SmtpAddress {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub credentials: Option<Credentials>,
    /// A PEM file with the authority to trust besides the system's own.
    pub certificates: Option<PathBuf>,
}

impl SmtpAddress {
    pub fn parse(text: &str) -> Result<Self, MailSetupError> {
        let url = reqwest::Url::parse(text.trim()).map_err(|_| MailSetupError::Shape)?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']'])).unwrap_or_default().to_owned();
        if host.is_empty() || !matches!(url.scheme(), "smtp" | "smtps") || !matches!(url.path(), "" | "/") {
            return Err(MailSetupError::Shape);
        }
        let (mut tls, mut certificates) = (None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "tls" if matches!(&*value, "required" | "none") => tls = Some(value.into_owned()),
                "tls" => return Err(MailSetupError::TlsValue),
                "tls_ca" => certificates = Some(PathBuf::from(value.into_owned())),
                other => return Err(MailSetupError::Parameter(other.to_owned())),
            }
        }
        let here = is_loopback(&host);
        let encryption = match (url.scheme(), tls.as_deref()) {
            ("smtps", Some("none")) => return Err(MailSetupError::Contradiction),
            ("smtps", _) => Encryption::FromTheStart,
            (_, Some("required")) => Encryption::StartTls,
            (_, Some(_)) => Encryption::None,
            // Nothing leaves this machine, and a server here rarely has a certificate.
            (_, None) if here => Encryption::None,
            (_, None) => Encryption::StartTls,
        };
        let credentials = credentials(&url)?;
        if encryption == Encryption::None && credentials.is_some() && !here {
            return Err(MailSetupError::OpenPassword);
        }
        let default_port = if url.scheme() == "smtps" { 465 } else { 587 };
        let port = url.port().unwrap_or(default_port);
        Ok(Self { host, port, encryption, credentials, certificates })
    }
}

fn credentials(url: &reqwest::Url) -> Result<Option<Credentials>, MailSetupError> {
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => {
            let decode = |text| crate::config::percent_decoded(text).ok_or(MailSetupError::Shape);
            Ok(Some(Credentials::new(decode(user)?, decode(password)?)))
        }
        _ => Err(MailSetupError::Shape),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, Encryption, bool), MailSetupError> {
        let address = SmtpAddress::parse(text)?;
        Ok((address.host, address.port, address.encryption, address.credentials.is_some()))
    }

    #[test]
    fn an_address_is_encrypted_unless_it_is_this_machine_or_said_otherwise() {
        let cases = [
            ("smtp://mail.example.org", ("mail.example.org", 587, Encryption::StartTls, false)),
            ("smtp://u:p@mail.example.org:25", ("mail.example.org", 25, Encryption::StartTls, true)),
            ("smtps://u:p@mail.example.org", ("mail.example.org", 465, Encryption::FromTheStart, true)),
            ("smtp://127.0.0.1:2525", ("127.0.0.1", 2525, Encryption::None, false)),
            ("smtp://u:p@[::1]:2525", ("::1", 2525, Encryption::None, true)),
            ("smtp://u:p@localhost:2525?tls=required", ("localhost", 2525, Encryption::StartTls, true)),
            ("smtp://mail.example.org:25?tls=none", ("mail.example.org", 25, Encryption::None, false)),
            // A look-alike of this machine is another machine.
            ("smtp://localhost.example.org", ("localhost.example.org", 587, Encryption::StartTls, false)),
        ];
        for (text, (host, port, encryption, signs_in)) in cases {
            assert_eq!(parse(text), Ok((host.to_owned(), port, encryption, signs_in)), "{text}");
        }
    }

    #[test]
    fn a_password_never_travels_in_the_open() {
        assert_eq!(parse("smtp://u:p@mail.example.org?tls=none"), Err(MailSetupError::OpenPassword));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_it() {
        for text in [
            "mail.example.org",
            "http://u:canary@h",
            "smtp://u@h",
            "smtp://:canary@h",
            "smtp://h/inbox",
            "smtp://",
        ] {
            assert_eq!(parse(text), Err(MailSetupError::Shape), "{text}");
        }
        assert_eq!(parse("smtp://h?tls=maybe"), Err(MailSetupError::TlsValue));
        assert_eq!(parse("smtps://h?tls=none"), Err(MailSetupError::Contradiction));
        assert_eq!(parse("smtp://h?auth=no"), Err(MailSetupError::Parameter("auth".to_owned())));
    }
}
