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
            let role = Role::named(&name)
                .ok_or_else(|| no_such_role(&name, |problem| document.error(&key, problem)))?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Environment, RepositoryPolicy, RoleModels};
    use crate::domain::Role;

    const DEPLOYMENT: &str = "
models:
  default: [{ model: 'openai:d', usd_per_million_input_tokens: 5, usd_per_million_output_tokens: 5 }]
  roles:
    implementer:
      - { model: 'openai:dear', usd_per_million_input_tokens: 9, usd_per_million_output_tokens: 9 }
      - { model: 'openai:cheap', usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 1, temperature: 0.1 }
    reviewer: [{ model: 'anthropic:critic' }]
";

    /// The models of the repository's tasks by name, and what it is told.
    fn asked(deployment: &str, repository: &str) -> (Option<RoleModels>, Vec<String>) {
        let env = Environment::from_iter([("HOME".to_owned(), "/h".to_owned())]);
        let text = format!("{DEPLOYMENT}{deployment}");
        let config = Config::from_text(Path::new("o.yaml"), &text, &env).expect("a configuration");
        let policy = RepositoryPolicy::parse(repository).expect("a policy");
        config.models.for_repository(&policy.models)
    }

    fn names(lists: &Option<RoleModels>, role: Role) -> Vec<String> {
        lists.as_ref().expect("lists of its own").of(role).iter().map(|model| model.model.clone()).collect()
    }

    #[test]
    fn a_repository_chooses_and_orders_what_the_deployment_lists() {
        let (lists, faults) = asked("", "gates: []");
        assert!(lists.is_none() && faults.is_empty(), "nothing is said, so nothing changes");
        let wanted = "models: { roles: { solver: [{ model: 'openai:cheap', temperature: 0.7 }, { model: 'anthropic:critic' }] } }";
        let (lists, faults) = asked("", wanted);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(names(&lists, Role::Implementer), ["cheap", "critic"], "and no others");
        assert_eq!(names(&lists, Role::Fixer), ["d"], "a role that is not named keeps its own");
        let first = lists.as_ref().expect("lists").of(Role::Implementer)[0].clone();
        assert_eq!((first.temperature, first.prices.map(|prices| prices.input)), (Some(0.7), Some(1.0)));
        let (lists, _) = asked("", "models: { roles: { implementer: [{ model: 'openai:cheap' }] } }");
        assert_eq!(lists.expect("lists").of(Role::Implementer)[0].temperature, Some(0.1));
    }

    #[test]
    fn what_the_deployment_does_not_allow_is_dropped_and_told() {
        let wanted =
            |model: &str| format!("models: {{ roles: {{ implementer: [{{ model: '{model}' }}] }} }}");
        let (lists, faults) = asked("", &wanted("openai:secret"));
        assert_eq!(names(&lists, Role::Implementer), ["dear", "cheap"], "the deployment's own");
        assert_eq!(faults.len(), 2);
        assert!(faults[0].contains("`openai:secret` for the role `implementer`"), "{faults:?}");
        let closed = "  repositories_may_use: []\n";
        let (lists, faults) = asked(closed, &wanted("anthropic:critic"));
        assert_eq!(
            (names(&lists, Role::Implementer).len(), faults.len()),
            (2, 2),
            "the list of another role is closed"
        );
        let (lists, faults) = asked(closed, &wanted("openai:cheap"));
        assert_eq!((names(&lists, Role::Implementer), faults), (vec!["cheap".to_owned()], vec![]));
        let open = "  repositories_may_use: [{ model: 'groq:fast', max_tokens: 100 }]\n";
        let (lists, faults) = asked(open, &wanted("groq:fast"));
        assert_eq!((names(&lists, Role::Implementer), faults), (vec!["fast".to_owned()], vec![]));
        let (lists, faults) = asked("", "models: { roles: { implementer: [] } }");
        assert_eq!(
            (names(&lists, Role::Implementer), faults),
            (vec!["dear".to_owned(), "cheap".to_owned()], vec![])
        );
    }

    #[test]
    fn a_repositorys_profile_orders_what_the_operator_wrote() {
        let by_cost = "  profile: cost\n";
        let of = |deployment: &str, profile: &str| {
            let (lists, faults) = asked(deployment, &format!("models: {{ profile: {profile} }}"));
            assert_eq!(faults, Vec::<String>::new());
            names(&lists, Role::Implementer)
        };
        assert_eq!(of("", "cost"), ["cheap", "dear"]);
        assert_eq!(of(by_cost, "quality"), ["dear", "cheap"]);
        assert_eq!(of(by_cost, "as_written"), ["dear", "cheap"]);
        let (lists, _) = asked(by_cost, "models: { roles: { fixer: [{ model: 'openai:dear' }] } }");
        assert_eq!(names(&lists, Role::Implementer), ["cheap", "dear"], "the deployment's profile holds");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let cases = [
            ("models:\n  roles:\n    revewer: []", "`models.roles.revewer`: there is no such role"),
            ("models:\n  roles:\n    revewer: []", "did you mean `models.roles.reviewer`?"),
            ("models:\n  roles:\n    critic: []\n    reviewer: []", "are the same role"),
            (
                "models:\n  roles:\n    fixer:\n      - model: gpt",
                ":4:9: `models.roles.fixer[0]`: expected `model:",
            ),
            (
                "models:\n  roles:\n    fixer:\n      - model: openai:x\n        temperature: 3",
                ":5:22: `models.roles.fixer[0].temperature`: must lie between 0 and 2",
            ),
            (
                "models:\n  profile: cheap",
                ":2:12: `models.profile`: expected one of as_written, cost, quality",
            ),
            ("profile: cost", ":1:1: `profile`: unknown key here; did you mean `models.profile`?"),
            ("models: { catalog: x }", "`models.catalog`: unknown key"),
            ("workflows: [coding, sience]", ":1:21: `workflows[1]`: expected one of coding"),
            ("workflows: [coding, sience]", "did you mean `science`?"),
            ("workflows: []", ":1:12: `workflows`: name at least one workflow"),
            ("router: { top_models: 0 }", "`router.top_models`: must lie between 1 and 10"),
            ("router: { repositories_may_enable: true }", "`router.repositories_may_enable`: unknown key"),
        ];
        for (text, part) in cases {
            let error = RepositoryPolicy::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
