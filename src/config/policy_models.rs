//! What a repository says of models: which it wants for a role, out of those that the deployment allows, and in
//! which order.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::document::Document;
use super::error::{ConfigError, nearest};
use super::router::{PROFILES, Profile};
use super::sections::{ModelChoice, ModelsConfig, RoleModels};
use crate::domain::Role;

/// Most models of one role: more are never asked one after the other.
const MOST_MODELS: usize = 20;
/// Longest wrong name that a fault quotes, in characters.
const QUOTED_MAX_CHARS: usize = 80;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelsPolicyFile {
    pub profile: Option<String>,
    /// By the role's name or its other name.
    pub roles: BTreeMap<String, Vec<WantedModelFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WantedModelFile {
    pub model: Option<String>,
    pub temperature: Option<f64>,
}

/// What a repository wants. The default is nothing: everything as the deployment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelsPolicy {
    pub profile: Option<Profile>,
    pub roles: BTreeMap<Role, Vec<WantedModel>>,
}

/// A model as a repository names it.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedModel {
    /// `provider:model`.
    pub name: String,
    /// `None`: as the deployment says.
    pub temperature: Option<f64>,
}

impl ModelsConfig {
    /// The models of a repository's tasks, and what it names in vain, one sentence each. `None`: the deployment's
    /// own lists.
    pub fn for_repository(&self, policy: &ModelsPolicy) -> (Option<RoleModels>, Vec<String>) {
        let mut faults = Vec::new();
        if *policy == ModelsPolicy::default() {
            return (None, faults);
        }
        let lists = Role::ALL.into_iter().map(|role| {
            let wanted = policy.roles.get(&role).map_or(&[] as &[WantedModel], Vec::as_slice);
            let picked = self.picked(role, wanted, &mut faults);
            let mut list = match (picked.is_empty(), policy.profile) {
                (false, _) => picked,
                // An order of the repository's own begins from what the operator wrote.
                (true, Some(_)) => self.as_written.of(role).to_vec(),
                (true, None) => self.roles.of(role).to_vec(),
            };
            if let Some(profile) = policy.profile {
                profile.order(&mut list);
            }
            (role, list)
        });
        let lists: RoleModels = lists.collect();
        (Some(lists), faults)
    }

    /// Those of the wanted models that are allowed for the role, in the order in which they are wanted.
    fn picked(&self, role: Role, wanted: &[WantedModel], faults: &mut Vec<String>) -> Vec<ModelChoice> {
        let mut picked: Vec<ModelChoice> = Vec::new();
        for model in wanted {
            let Some(allowed) = self.allowed(role).find(|allowed| allowed.name() == model.name) else {
                let name: String = model.name.chars().take(QUOTED_MAX_CHARS).collect();
                faults.push(format!(
                    "The repository's rules name the model `{name}` for the role `{role}`, which this deployment does \
                     not allow them; it is left out."
                ));
                continue;
            };
            if picked.iter().any(|known| known.name() == model.name) {
                continue;
            }
            let temperature = model.temperature.or(allowed.temperature);
            picked.push(ModelChoice { temperature, ..allowed.clone() });
        }
        if picked.is_empty() && !wanted.is_empty() {
            faults.push(format!("So the role `{role}` has the models of the deployment."));
        }
        picked
    }

    /// What a repository may choose from: the role's own models, then what the deployment opens to repositories,
    /// which is every model of any role where it says nothing.
    fn allowed(&self, role: Role) -> impl Iterator<Item = &ModelChoice> {
        let (open, all) = match &self.repositories_may_use {
            Some(open) => (open.as_slice(), None),
            None => (&[] as &[ModelChoice], Some(self.as_written.all().flat_map(|(_, models)| models))),
        };
        self.as_written.of(role).iter().chain(open).chain(all.into_iter().flatten())
    }
}

impl ModelsPolicyFile {
    pub(super) fn resolve(self, document: &Document) -> Result<ModelsPolicy, ConfigError> {
        let profile = match &self.profile {
            None => None,
            Some(written) => Some(profile(document, written)?),
        };
        let (mut roles, mut keys) = (BTreeMap::new(), BTreeSet::new());
        for (name, models) in self.roles {
            let key = format!("models.roles.{name}");
            let role = Role::named(&name).ok_or_else(|| no_such_role(&name, |problem| document.error(&key, problem)))?;
            if !keys.insert(role) {
                let other = role.alias().unwrap_or_default();
                let problem = format!("`{role}` and `{other}` are the same role: keep one of them");
                return Err(document.error(&key, problem));
            }
            if models.len() > MOST_MODELS {
                return Err(document.error(&key, format!("there are more than {MOST_MODELS} models")));
            }
            let models = models.into_iter().enumerate();
            let wanted = models.map(|(index, model)| wanted(document, &format!("{key}[{index}]"), model));
            roles.insert(role, wanted.collect::<Result<_, _>>()?);
        }
        Ok(ModelsPolicy { profile, roles })
    }
}

/// The error about a role's name, with the nearest right one.
pub(super) fn no_such_role(name: &str, error: impl FnOnce(String) -> ConfigError) -> ConfigError {
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::as_str).collect();
    let all = Role::ALL.into_iter().flat_map(|role| [Some(role.as_str()), role.alias()]);
    let near = nearest(name, all.flatten()).map(|near| format!("models.roles.{near}"));
    error(format!("there is no such role; the roles are {}", names.join(", "))).suggest(near)
}

fn profile(document: &Document, written: &str) -> Result<Profile, ConfigError> {
    let found = PROFILES.iter().find(|(name, _)| *name == written.trim());
    found.map(|(_, profile)| *profile).ok_or_else(|| {
        let names = PROFILES.map(|(name, _)| name);
        let near = nearest(written, names).map(str::to_owned);
        document.error("models.profile", format!("expected one of {}", names.join(", "))).suggest(near)
    })
}

fn wanted(document: &Document, key: &str, model: WantedModelFile) -> Result<WantedModel, ConfigError> {
    let name = model.model.as_deref().map(str::trim).unwrap_or_default();
    if !name.split_once(':').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty()) {
        let problem = "expected `model: provider:name`, such as `anthropic:claude-sonnet-5-5`";
        return Err(document.error(key, problem));
    }
    if model.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(document.error(&format!("{key}.temperature"), "must lie between 0 and 2"));
    }
    Ok(WantedModel { name: name.to_owned(), temperature: model.temperature })
}
