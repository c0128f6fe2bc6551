//! The App manifest: what the App may do and which events it gets.
//!
//! The same file registers the real App (converted to JSON, as GitHub takes it), so what the simulator
//! refuses is refused there too.
//! Source: docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How far a permission reaches; the order is the order of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Read,
    Write,
    Admin,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Permission name → level, as in `default_permissions`.
pub type Permissions = BTreeMap<String, Level>;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AppManifest {
    pub name: String,
    pub url: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub hook_attributes: Option<HookAttributes>,
    #[serde(default)]
    pub redirect_url: Option<String>,
    #[serde(default)]
    pub callback_urls: Vec<String>,
    #[serde(default)]
    pub setup_url: Option<String>,
    #[serde(default)]
    pub public: bool,
    #[serde(default)]
    pub request_oauth_on_install: bool,
    #[serde(default)]
    pub setup_on_update: bool,
    pub default_permissions: Permissions,
    pub default_events: BTreeSet<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HookAttributes {
    pub url: String,
    #[serde(default = "active")]
    pub active: bool,
}

fn active() -> bool {
    true
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the App manifest cannot be read: {0}")]
    Syntax(String),
    #[error("the App manifest's name {0:?} is empty or longer than 34 characters, which GitHub refuses")]
    Name(String),
    #[error("the App manifest asks for {0:?}, which is not a permission this simulator knows")]
    UnknownPermission(String),
    #[error("the App manifest subscribes to {0:?}, which is not an event this simulator knows")]
    UnknownEvent(String),
    #[error("the App manifest subscribes to {event:?}, for which GitHub wants the permission {permission:?}")]
    EventWithoutPermission { event: String, permission: &'static str },
}

/// Events that an App may subscribe to and the permission each needs (read level is enough).
/// Source: docs.github.com/en/webhooks/webhook-events-and-payloads, "To subscribe to this event, a GitHub
/// App must have at least read-level access for the … permission".
const EVENTS: &[(&str, &[&str])] = &[
    ("check_run", &["checks"]),
    ("check_suite", &["checks"]),
    ("create", &["contents"]),
    ("delete", &["contents"]),
    ("issue_comment", &["issues", "pull_requests"]),
    ("issues", &["issues"]),
    ("label", &["metadata"]),
    ("pull_request", &["pull_requests"]),
    ("pull_request_review", &["pull_requests"]),
    ("pull_request_review_comment", &["pull_requests"]),
    ("pull_request_review_thread", &["pull_requests"]),
    ("push", &["contents"]),
    ("repository", &["metadata"]),
    ("status", &["statuses"]),
];

/// Repository permissions of an App.
/// Source: docs.github.com/en/rest/authentication/permissions-required-for-github-apps.
const PERMISSIONS: &[&str] = &[
    "actions",
    "administration",
    "checks",
    "contents",
    "deployments",
    "environments",
    "issues",
    "members",
    "metadata",
    "packages",
    "pages",
    "pull_requests",
    "repository_hooks",
    "secrets",
    "security_events",
    "single_file",
    "statuses",
    "vulnerability_alerts",
    "workflows",
];

impl AppManifest {
    /// Reads and checks a manifest written as YAML.
    pub fn from_yaml(text: &str) -> Result<Self, ManifestError> {
        let mut manifest: Self =
            serde_saphyr::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        // GitHub adds the permission itself to every App.
        manifest.default_permissions.entry("metadata".into()).or_insert(Level::Read);
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.name.trim().is_empty() || self.name.chars().count() > 34 {
            return Err(ManifestError::Name(self.name.clone()));
        }
        for permission in self.default_permissions.keys() {
            if !PERMISSIONS.contains(&permission.as_str()) {
                return Err(ManifestError::UnknownPermission(permission.clone()));
            }
        }
        for event in &self.default_events {
            let Some((_, any_of)) = EVENTS.iter().find(|(name, _)| name == event) else {
                return Err(ManifestError::UnknownEvent(event.clone()));
            };
            if !any_of.iter().any(|permission| self.default_permissions.contains_key(*permission)) {
                let permission = any_of[0];
                return Err(ManifestError::EventWithoutPermission { event: event.clone(), permission });
            }
        }
        Ok(())
    }

    /// The App's address at GitHub: the name in lower case with dashes. Its bot is `<slug>[bot]`.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for character in self.name.to_lowercase().chars() {
            match character {
                'a'..='z' | '0'..='9' => slug.push(character),
                _ if !slug.ends_with('-') && !slug.is_empty() => slug.push('-'),
                _ => {}
            }
        }
        slug.trim_end_matches('-').to_owned()
    }

    /// The form in which GitHub takes a manifest.
    pub fn to_json(&self) -> Value {
        let mut json = json!(self);
        if let Value::Object(fields) = &mut json {
            fields.retain(|_, value| !value.is_null());
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::{AppManifest, Level, ManifestError};

    const SMALL: &str = "name: My Own App\nurl: https://example.org\n\
                         default_permissions: {issues: write}\ndefault_events: [issues]\n";

    #[test]
    fn a_manifest_gives_slug_permissions_and_events() {
        let manifest = AppManifest::from_yaml(SMALL).expect("a good manifest");
        assert_eq!(manifest.slug(), "my-own-app");
        assert_eq!(manifest.default_permissions["metadata"], Level::Read);
        assert!(manifest.default_events.contains("issues"));
        assert_eq!(manifest.to_json()["default_permissions"]["issues"], "write");
    }

    #[test]
    fn an_event_without_its_permission_is_refused_as_at_github() {
        let text = SMALL.replace("[issues]", "[push]");
        let error = AppManifest::from_yaml(&text).expect_err("push needs contents");
        assert!(
            matches!(error, ManifestError::EventWithoutPermission { permission: "contents", .. }),
            "{error}"
        );
    }

    #[test]
    fn unknown_names_and_keys_are_refused() {
        for (from, to) in [("issues: write", "isues: write"), ("[issues]", "[isues]"), ("url:", "urll:")] {
            assert!(AppManifest::from_yaml(&SMALL.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn the_shipped_manifest_is_well_formed() {
        let text = include_str!("../../../app-manifest.yml");
        let manifest = AppManifest::from_yaml(text).expect("app-manifest.yml");
        assert_eq!(manifest.slug(), "orchestrator");
    }
}
