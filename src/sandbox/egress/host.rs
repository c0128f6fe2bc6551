//! The names on an egress list.

use std::fmt;

/// A host that a set-up step may reach: a DNS name, and port 443 unless another is given.
///
/// A port written out, as in `mirror.example:443`, is the operator's word that this host is meant even
/// when its name leads to a private address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(into = "String")]
pub struct HostName {
    name: String,
    port: Option<u16>,
}

/// Why a text is not the name of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a host name with an optional port: {reason}")]
pub struct InvalidHostName {
    pub text: String,
    pub reason: &'static str,
}

impl HostName {
    /// Reads `name` or `name:port`. Addresses, wildcards and URLs are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidHostName> {
        let refuse = |reason| Err(InvalidHostName { text: text.to_owned(), reason });
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => match port.parse::<u16>() {
                Ok(port) if port > 0 => (name, Some(port)),
                _ => return refuse("what follows the colon is not a port"),
            },
            None => (text, None),
        };
        if name.is_empty() || name.len() > 253 {
            return refuse("a name has 1 to 253 characters");
        }
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(label) {
            return refuse("a name is made of letters, digits and hyphens, with dots between");
        }
        // A last label of digits only makes resolvers read the name as an address (RFC 1123, section 2.1).
        if name.rsplit('.').next().is_some_and(is_number) {
            return refuse("addresses are not names");
        }
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(443)
    }

    pub(super) fn has_explicit_port(&self) -> bool {
        self.port.is_some()
    }

    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        self.port() == port && self.name.eq_ignore_ascii_case(host)
    }
}

fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.chars().all(|c| c.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.to_string()
    }
}

impl<'de> serde::Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_their_port() {
        let host = HostName::parse("Packages.Example").expect("a name");
        assert_eq!((host.name(), host.port(), host.has_explicit_port()), ("packages.example", 443, false));
        let host = HostName::parse("localhost:8443").expect("a name");
        assert_eq!((host.name(), host.port(), host.has_explicit_port()), ("localhost", 8443, true));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "1.2.3",
            "127.1",
            "0x7f.0x1",
            "2130706433",
            "[::1]",
            "::1",
            "*.example",
            "a..b",
            "https://a.example",
            "a.example/",
            "a.example:",
            "a.example:0",
            "a.example:99999",
            "a b",
            "-a.example",
            "a.example.",
            "user@a.example",
        ] {
            assert!(HostName::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
