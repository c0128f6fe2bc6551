//! Everything the simulated GitHub knows, but for git objects, which lie in bare repositories.
//!
//! One lock guards the whole: a request sees and leaves a consistent world, and webhooks leave in the order
//! of the changes. The routes that change it are beside this file, one a resource.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::account::{Account, AccountKind};
use super::clock::Clock;
use super::deliveries::{DeliveryRecord, Outgoing};
use super::limits::{Limits, RateBook};
use super::manifest::{AppManifest, Permissions};
use super::random::Random;
use super::repository::Repository;

/// What does not change while the simulator runs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub data_dir: PathBuf,
    pub api_url: String,
    pub server_url: String,
    pub manifest: AppManifest,
    pub app_id: u64,
    pub app_public_key_pem: String,
    pub hook_id: u64,
    pub limits: Limits,
    pub token_lifetime: chrono::Duration,
}

pub(super) struct World {
    pub settings: Settings,
    pub clock: Clock,
    pub random: Random,
    pub app_created_at: DateTime<Utc>,
    /// The account that owns the App, and the App's bot.
    pub app_owner: u64,
    pub app_bot: u64,
    pub accounts: BTreeMap<u64, Account>,
    pub personal_tokens: HashMap<String, u64>,
    pub installations: BTreeMap<u64, Installation>,
    pub installation_tokens: HashMap<String, Grant>,
    pub repositories: BTreeMap<u64, Repository>,
    /// Former full names (lower case) of repositories.
    pub moved: HashMap<String, u64>,
    /// Events of the running request, in order; taken by the sender when it ends.
    pub outgoing: Vec<Outgoing>,
    pub deliveries: Vec<DeliveryRecord>,
    pub webhook_url: String,
    pub rates: RateBook,
    next_id: u64,
}

/// An App's presence at an account.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub id: u64,
    pub account: u64,
    pub selection: Selection,
    pub permissions: Permissions,
    pub events: BTreeSet<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub suspended: Option<(DateTime<Utc>, u64)>,
}

#[derive(Clone, Debug)]
pub(super) enum Selection {
    All,
    Selected(BTreeSet<u64>),
}

/// What one installation token may do.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub installation: u64,
    pub expires_at: DateTime<Utc>,
    /// `None`: whatever the installation reaches.
    pub repositories: Option<BTreeSet<u64>>,
    pub permissions: Permissions,
}

impl World {
    pub fn new(settings: Settings, clock: Clock, seed: u64) -> Self {
        let now = clock.second();
        let mut world = Self {
            clock,
            random: Random::new(seed),
            app_created_at: now,
            app_owner: 0,
            app_bot: 0,
            accounts: BTreeMap::new(),
            personal_tokens: HashMap::new(),
            installations: BTreeMap::new(),
            installation_tokens: HashMap::new(),
            repositories: BTreeMap::new(),
            moved: HashMap::new(),
            outgoing: Vec::new(),
            deliveries: Vec::new(),
            webhook_url: String::new(),
            rates: RateBook::default(),
            // Above 2^32, as GitHub's comment ids are: a client that keeps ids in 32 bits shows at once.
            next_id: 4_310_000_000,
            settings,
        };
        let slug = world.settings.manifest.slug();
        world.app_owner = world.add_account(format!("{slug}-makers"), 190_000_001, AccountKind::Organization);
        world.app_bot = world.add_account(format!("{slug}[bot]"), 190_000_002, AccountKind::Bot);
        world
    }

    /// Ids rise, and are unique across kinds; the gaps keep anyone from counting on neighbours.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1 + self.random.next() % 7;
        self.next_id
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.second()
    }

    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.settings.api_url)
    }

    pub fn html(&self, path: &str) -> String {
        format!("{}{path}", self.settings.server_url)
    }

    pub fn installation_of(&self, repository: &Repository) -> Option<&Installation> {
        self.installations.values().find(|installation| self.reaches(installation, repository))
    }

    pub fn reaches(&self, installation: &Installation, repository: &Repository) -> bool {
        installation.account == repository.owner
            && match &installation.selection {
                Selection::All => true,
                Selection::Selected(chosen) => chosen.contains(&repository.id),
            }
    }

    pub fn grant_reaches(&self, grant: &Grant, repository: &Repository) -> bool {
        let narrowed = grant.repositories.as_ref().is_none_or(|chosen| chosen.contains(&repository.id));
        narrowed
            && self
                .installations
                .get(&grant.installation)
                .is_some_and(|installation| self.reaches(installation, repository))
    }
}

/// A node id of the present form: a prefix and a MessagePack array of zero and the database id.
pub(super) fn node_id(prefix: &str, id: u64) -> String {
    let mut packed = vec![0x92, 0x00];
    match u32::try_from(id) {
        Ok(small) => {
            packed.push(0xce);
            packed.extend_from_slice(&small.to_be_bytes());
        }
        Err(_) => {
            packed.push(0xcf);
            packed.extend_from_slice(&id.to_be_bytes());
        }
    }
    format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(packed))
}

/// One object of several, later fields winning.
pub(super) fn joined<const N: usize>(parts: [Value; N]) -> Value {
    let mut all = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            all.extend(fields);
        }
    }
    Value::Object(all)
}
