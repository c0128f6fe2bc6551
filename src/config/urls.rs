//! Addresses of servers in the configuration.

use super::error::ConfigError;
use super::resolve::Resolver;

impl Resolver<'_> {
    /// An http or https URL without a slash at the end.
    pub fn base_url(
        &mut self,
        key: &str,
        file: Option<String>,
        default: &str,
    ) -> Result<String, ConfigError> {
        let text = self.text(key, file).unwrap_or_else(|| default.to_owned());
        self.url(key, &text)
    }

    /// [`Resolver::base_url`] of a text that is at hand.
    pub fn url(&mut self, key: &str, text: &str) -> Result<String, ConfigError> {
        let url = reqwest::Url::parse(text.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .ok_or_else(|| self.error(key, "expected a URL such as https://host or http://127.0.0.1:8080"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(self.error(key, "the URL must hold neither a user, nor a password, nor a query"));
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            self.notices.push(format!("`{key}` uses http, so tokens travel unencrypted; use https"));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
