//! Workflows and routes: which there may be, whether a router is asked, and in which order models are. The
//! deployment says so, and a repository chooses among what it allows.

use serde::Deserialize;

use super::document::Document;
use super::error::{ConfigError, nearest};
use super::resolve::Resolver;
use super::sections::{ModelChoice, RoleModels};
use crate::domain::Workflow;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouterFile {
    pub enabled: Option<bool>,
    pub top_models: Option<u64>,
    pub repositories_may_enable: Option<bool>,
}

/// As a repository writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouterPolicyFile {
    pub enabled: Option<bool>,
    pub top_models: Option<u64>,
}

/// What a repository wants. `None`: as the deployment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterPolicy {
    pub enabled: Option<bool>,
    /// At least 1; more than the deployment allows is lowered.
    pub top_models: Option<usize>,
    /// Never empty.
    pub workflows: Option<Vec<Workflow>>,
}

/// What a deployment says of routes.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterConfig {
    pub is_asked: bool,
    /// Whether a repository may have the router asked where `is_asked` is false: that costs.
    pub repositories_may_enable: bool,
    /// 1..=10.
    pub top_models: usize,
    /// Never empty in a deployment's. A repository that wants none of them leaves none.
    pub workflows: Vec<Workflow>,
    pub profile: Profile,
}

/// The order in which the models of a role are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    AsWritten,
    /// The cheapest first.
    Cost,
    /// The dearest first: of one's own list, that is the best.
    Quality,
}

pub(super) const PROFILES: [(&str, Profile); 3] =
    [("as_written", Profile::AsWritten), ("cost", Profile::Cost), ("quality", Profile::Quality)];

impl Profile {
    pub fn as_str(self) -> &'static str {
        PROFILES.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }

    /// Puts a list in order by what a token in and a token out cost. A model without a price keeps its place
    /// behind those that have one.
    pub fn order(self, models: &mut [ModelChoice]) {
        let price =
            |model: &ModelChoice| model.prices.map_or(f64::INFINITY, |price| price.input + price.output);
        match self {
            Self::AsWritten => {}
            Self::Cost => models.sort_by(|a, b| price(a).total_cmp(&price(b))),
            Self::Quality => models.sort_by(|a, b| {
                let known = |model: &ModelChoice| model.prices.is_none();
                known(a).cmp(&known(b)).then(price(b).total_cmp(&price(a)))
            }),
        }
    }
}

const TOP_MODELS: std::ops::RangeInclusive<u64> = 1..=10;

/// Of the sections `router` and `models` and of the key `workflows`.
pub(super) struct Written {
    pub router: RouterFile,
    pub workflows: Option<Vec<String>>,
    pub profile: Option<String>,
}

pub(super) fn resolve(r: &Resolver<'_>, written: Written) -> Result<RouterConfig, ConfigError> {
    let names = Workflow::ALL.map(|workflow| (workflow.as_str(), workflow));
    let workflows = match written.workflows {
        None => Workflow::ALL.to_vec(),
        Some(listed) if listed.is_empty() => return Err(r.error("workflows", "name at least one workflow")),
        Some(listed) => {
            let all = listed.iter().enumerate();
            all.map(|(index, name)| r.choice(&format!("workflows[{index}]"), name, &names))
                .collect::<Result<_, _>>()?
        }
    };
    let profile = match written.profile {
        Some(name) => r.choice("models.profile", &name, &PROFILES)?,
        None => Profile::AsWritten,
    };
    let top_models = r.number("router.top_models", written.router.top_models, 2, TOP_MODELS)?;
    let is_asked = written.router.enabled.unwrap_or(false);
    let repositories_may_enable = written.router.repositories_may_enable.unwrap_or(true);
    Ok(RouterConfig { is_asked, repositories_may_enable, top_models, workflows, profile })
}

impl RouterPolicyFile {
    pub(super) fn resolve(
        &self,
        document: &Document,
        workflows: Option<Vec<String>>,
    ) -> Result<RouterPolicy, ConfigError> {
        if self.top_models.is_some_and(|most| !TOP_MODELS.contains(&most)) {
            let problem = format!("must lie between {} and {}", TOP_MODELS.start(), TOP_MODELS.end());
            return Err(document.error("router.top_models", problem));
        }
        let workflow = |(index, name): (usize, String)| {
            Workflow::named(&name.trim().to_ascii_lowercase()).ok_or_else(|| {
                let names = Workflow::ALL.map(Workflow::as_str);
                let near = nearest(&name, names).map(str::to_owned);
                let problem = format!("expected one of {}", names.join(", "));
                document.error(&format!("workflows[{index}]"), problem).suggest(near)
            })
        };
        let workflows: Option<Vec<Workflow>> = workflows
            .map(|names| names.into_iter().enumerate().map(workflow).collect::<Result<_, _>>())
            .transpose()?;
        if workflows.as_ref().is_some_and(Vec::is_empty) {
            return Err(document.error("workflows", "name at least one workflow, or leave the key out"));
        }
        let top_models = self.top_models.and_then(|most| usize::try_from(most).ok());
        Ok(RouterPolicy { enabled: self.enabled, top_models, workflows })
    }
}

impl RouterConfig {
    /// The same as a repository narrows it, and what it asks for in vain, one sentence each.
    pub fn for_repository(&self, policy: &RouterPolicy) -> (Self, Vec<String>) {
        let (mut ours, mut faults) = (self.clone(), Vec::new());
        if let Some(wanted) = &policy.workflows {
            ours.workflows.retain(|workflow| wanted.contains(workflow));
            for workflow in wanted.iter().filter(|workflow| !self.workflows.contains(workflow)) {
                faults.push(format!(
                    "The repository's rules name the workflow `{}`, which this deployment does not allow; it is left out.",
                    workflow.as_str()
                ));
            }
        }
        match policy.enabled {
            Some(true) if !self.is_asked && !self.repositories_may_enable => faults.push(
                "The repository's rules switch the router on, which this deployment does not allow; it is not asked."
                    .to_owned(),
            ),
            Some(wanted) => ours.is_asked = wanted,
            None => {}
        }
        ours.top_models = policy.top_models.map_or(self.top_models, |most| most.min(self.top_models));
        (ours, faults)
    }

    /// The models of all roles in the order of the profile.
    pub(super) fn ordered(&self, roles: &RoleModels) -> RoleModels {
        let ordered = |models: &[ModelChoice]| {
            let mut models = models.to_vec();
            self.profile.order(&mut models);
            models
        };
        roles.all().map(|(role, models)| (role, ordered(models))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Prices;

    #[test]
    fn a_profile_orders_models_by_their_price_and_knows_no_better_without_one() {
        let model = |name: &str, input: Option<f64>| ModelChoice {
            provider: "p".into(),
            model: name.into(),
            temperature: None,
            max_tokens: 1,
            effort: None,
            context_tokens: None,
            prices: input.map(|input| Prices { input, output: 2.0 * input, cached: 0.0, cache_write: None }),
        };
        let listed = || {
            vec![
                model("middle", Some(2.0)),
                model("unknown", None),
                model("dear", Some(9.0)),
                model("cheap", Some(0.1)),
            ]
        };
        let order = |profile: Profile| {
            let mut models = listed();
            profile.order(&mut models);
            models.iter().map(|model| model.model.clone()).collect::<Vec<_>>()
        };
        assert_eq!(order(Profile::AsWritten), ["middle", "unknown", "dear", "cheap"]);
        assert_eq!(order(Profile::Cost), ["cheap", "middle", "dear", "unknown"]);
        assert_eq!(order(Profile::Quality), ["dear", "middle", "cheap", "unknown"]);
    }

    fn for_repository(deployment: &str, repository: &str) -> (RouterConfig, Vec<String>) {
        use crate::config::{Config, Environment, RepositoryPolicy};
        let env = Environment::from_iter([("HOME".to_owned(), "/h".to_owned())]);
        let config =
            Config::from_text(std::path::Path::new("o.yaml"), deployment, &env).expect("a configuration");
        let policy = RepositoryPolicy::parse(repository).expect("a policy");
        config.router.for_repository(&policy.router)
    }

    #[test]
    fn a_repository_has_some_of_the_deployments_workflows_and_never_others() {
        let (router, faults) = for_repository("workflows: [coding, rag_qa]", "workflows: [RAG_QA, science]");
        assert_eq!(router.workflows, [Workflow::RagQa]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("`science`"), "{faults:?}");
        let (router, faults) = for_repository("workflows: [coding]", "{}");
        assert_eq!((router.workflows, faults), (vec![Workflow::Coding], vec![]));
    }

    #[test]
    fn a_router_is_switched_on_where_the_deployment_lets_it_and_off_anywhere() {
        let on = "router: { enabled: true, top_models: 5 }";
        let (router, faults) = for_repository("", on);
        assert_eq!((router.is_asked, router.top_models, faults.len()), (true, 2, 0), "only lowered");
        let (router, faults) = for_repository("router: { repositories_may_enable: false }", on);
        assert_eq!((router.is_asked, faults.len()), (false, 1));
        let ours = "router: { enabled: true, top_models: 4, repositories_may_enable: false }";
        let (router, faults) = for_repository(ours, on);
        assert_eq!((router.is_asked, router.top_models, faults.len()), (true, 4, 0), "it is on already");
        let (router, _) = for_repository(ours, "router: { enabled: false, top_models: 1 }");
        assert_eq!((router.is_asked, router.top_models), (false, 1));
    }
}
