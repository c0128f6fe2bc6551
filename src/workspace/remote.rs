//! Where a repository lives, and who may read it. The address is built here from the configured server and
//! a checked owner and name, and never taken from a webhook's `clone_url`, which a stranger could steer.

use std::fmt;

use reqwest::Url;
use secrecy::SecretString;

/// A repository on the server.
#[derive(Debug, Clone)]
pub struct Remote {
    /// GitHub's number for the repository: it survives a rename, so the mirror is found by it.
    pub repository_id: u64,
    pub url: RemoteUrl,
    pub token: Option<SecretString>,
}

/// The address of a repository: scheme, host and port of the configured server, then `/owner/name.git`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl(Url);

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} {value:?} cannot be used for git: {reason}")]
pub struct InvalidRemoteUrl {
    pub part: &'static str,
    pub value: String,
    pub reason: &'static str,
}

impl RemoteUrl {
    /// `server` is the base address of the server (`https://github.com`), as configured.
    pub fn new(server: &str, owner: &str, name: &str) -> Result<Self, InvalidRemoteUrl> {
        let mut url = server_url(server)?;
        check_part("the owner", owner, |c| matches!(c, '-' | '_'))?;
        check_part("the repository", name, |c| matches!(c, '-' | '_' | '.'))?;
        if matches!(name, "." | "..") || name.ends_with(".git") {
            return Err(invalid("the repository", name, "git gives that name another meaning"));
        }
        url.set_path(&format!("{owner}/{name}.git"));
        Ok(Self(url))
    }

    pub(super) fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

fn invalid(part: &'static str, value: &str, reason: &'static str) -> InvalidRemoteUrl {
    InvalidRemoteUrl { part, value: value.to_owned(), reason }
}

fn server_url(server: &str) -> Result<Url, InvalidRemoteUrl> {
    const PART: &str = "the server's address";
    if server.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '@')) {
        // An address with a password in it is not repeated in the error.
        return Err(invalid(PART, "…", "it has a user name, a backslash or white space"));
    }
    let url = Url::parse(server).map_err(|_| invalid(PART, server, "it is not an address"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(invalid(PART, server, "it must begin with https:// or http://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid(PART, server, "it has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(PART, "…", "it has a user name"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(PART, server, "it must end after the host and port"));
    }
    Ok(url)
}

fn check_part(part: &'static str, value: &str, also: impl Fn(char) -> bool) -> Result<(), InvalidRemoteUrl> {
    if value.is_empty() || value.len() > 100 {
        return Err(invalid(part, value, "it must have 1 to 100 characters"));
    }
    if !value.chars().all(|c| c.is_ascii_alphanumeric() || also(c)) {
        return Err(invalid(part, value, "it has a character that GitHub does not allow"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_server_then_owner_and_name() {
        let url = |server| RemoteUrl::new(server, "octo-org", "hello.world").map(|url| url.to_string());
        assert_eq!(url("https://github.com").as_deref(), Ok("https://github.com/octo-org/hello.world.git"));
        assert_eq!(url("https://GitHub.com/").as_deref(), Ok("https://github.com/octo-org/hello.world.git"));
        assert_eq!(
            url("http://127.0.0.1:3000").as_deref(),
            Ok("http://127.0.0.1:3000/octo-org/hello.world.git")
        );
        assert_eq!(url("http://[::1]:3000").as_deref(), Ok("http://[::1]:3000/octo-org/hello.world.git"));
    }

    #[test]
    fn addresses_that_could_lead_the_token_elsewhere_are_refused() {
        for server in [
            "https://github.com@evil.example",
            "https://x:y@github.com",
            "https://github.com\\@evil.example",
            "https://github.com/x",
            "https://github.com?x",
            "https://github.com#x",
            "ssh://github.com",
            "file:///etc",
            "ext::sh -c id",
            "github.com",
            "",
            "https://",
            "https://github.com\n.evil.example",
        ] {
            assert!(RemoteUrl::new(server, "o", "r").is_err(), "{server:?} was taken");
        }
        for (owner, name) in [
            ("..", "r"),
            ("o", ".."),
            ("o", "."),
            ("", "r"),
            ("o", ""),
            ("o/x", "r"),
            ("o", "r/../../x"),
            ("o@evil", "r"),
            ("o", "r.git"),
            ("o", "r?x"),
            ("o", "r#x"),
            ("o", "r%2e"),
            ("o:1", "r"),
            ("o", "r x"),
            ("о", "r"),
        ] {
            assert!(
                RemoteUrl::new("https://github.com", owner, name).is_err(),
                "{owner:?}/{name:?} was taken"
            );
        }
    }
}
