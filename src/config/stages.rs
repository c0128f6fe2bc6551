//! The section `stages`: which of the stages that work can do without take place, and what of that a repository
//! may decide.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::document::Document;
use super::error::{ConfigError, nearest};
use super::resolve::Resolver;
use crate::domain::{OptionalStage, SwitchedBy, SwitchedOff};

/// As a deployment or a repository writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StagesFile {
    pub design: Option<String>,
    pub review: Option<String>,
    pub verify: Option<String>,
}

/// What a deployment says of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageRule {
    /// It takes place, and a repository cannot switch it off.
    Always,
    /// It takes place unless a repository switches it off.
    On,
    /// It takes place where a repository switches it on.
    Off,
    Never,
}

const RULES: [(&str, StageRule); 4] = [
    ("always", StageRule::Always),
    ("on", StageRule::On),
    ("off", StageRule::Off),
    ("never", StageRule::Never),
];

impl StageRule {
    pub fn as_str(self) -> &'static str {
        RULES.iter().find(|(_, rule)| *rule == self).map_or("", |(name, _)| name)
    }
}

/// The optional stages of a deployment. A stage that is not named is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StagesConfig(BTreeMap<OptionalStage, StageRule>);

/// What a repository wants of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StagesPolicy(BTreeMap<OptionalStage, Switch>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

impl StagesConfig {
    pub fn rule(&self, stage: OptionalStage) -> StageRule {
        self.0.get(&stage).copied().unwrap_or(StageRule::On)
    }

    /// What does not take place in a repository, and what it asks for in vain, one sentence each.
    pub fn for_repository(&self, policy: &StagesPolicy) -> (Vec<SwitchedOff>, Vec<String>) {
        let (mut off, mut faults) = (Vec::new(), Vec::new());
        for stage in OptionalStage::ALL {
            let (rule, wanted) = (self.rule(stage), policy.0.get(&stage));
            let by = match (rule, wanted) {
                (StageRule::Always | StageRule::On, None | Some(Switch::On))
                | (StageRule::Off, Some(Switch::On)) => None,
                (StageRule::On, Some(Switch::Off)) => Some(SwitchedBy::Repository),
                (StageRule::Off | StageRule::Never, None | Some(Switch::Off)) => Some(SwitchedBy::Deployment),
                (StageRule::Always, Some(Switch::Off)) => {
                    faults.push(in_vain(
                        stage,
                        "off",
                        "which this deployment does not allow: it takes place",
                    ));
                    None
                }
                (StageRule::Never, Some(Switch::On)) => {
                    faults.push(in_vain(
                        stage,
                        "on",
                        "which this deployment does not allow: it does not take place",
                    ));
                    Some(SwitchedBy::Deployment)
                }
            };
            off.extend(by.map(|by| SwitchedOff { stage, by }));
        }
        (off, faults)
    }
}

fn in_vain(stage: OptionalStage, switch: &str, why: &str) -> String {
    format!("The repository's rules switch `stages.{}` {switch}, {why}.", stage.as_str())
}

impl StagesFile {
    fn written(&self) -> [(OptionalStage, Option<&String>); 3] {
        [
            (OptionalStage::Design, self.design.as_ref()),
            (OptionalStage::Review, self.review.as_ref()),
            (OptionalStage::Verify, self.verify.as_ref()),
        ]
    }

    pub(super) fn resolve(&self, r: &Resolver<'_>) -> Result<StagesConfig, ConfigError> {
        let mut rules = BTreeMap::new();
        for (stage, written) in self.written() {
            if let Some(written) = written {
                rules.insert(stage, r.choice(&format!("stages.{}", stage.as_str()), written, &RULES)?);
            }
        }
        Ok(StagesConfig(rules))
    }

    pub(super) fn of_policy(&self, document: &Document) -> Result<StagesPolicy, ConfigError> {
        let mut switches = BTreeMap::new();
        for (stage, written) in self.written() {
            let Some(written) = written else { continue };
            let switch = match written.trim().to_ascii_lowercase().as_str() {
                "on" => Switch::On,
                "off" => Switch::Off,
                _ => {
                    let key = format!("stages.{}", stage.as_str());
                    let problem = "expected on or off; `always` and `never` are the deployment's to say";
                    let near = nearest(written, ["on", "off"]).map(str::to_owned);
                    return Err(document.error(&key, problem).suggest(near));
                }
            };
            switches.insert(stage, switch);
        }
        Ok(StagesPolicy(switches))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Environment, RepositoryPolicy};
    use crate::domain::{OptionalStage, SwitchedBy, SwitchedOff};

    fn deployment(stages: &str) -> Result<Config, String> {
        let env = Environment::from_iter([("HOME".to_owned(), "/h".to_owned())]);
        let config = Config::from_text(Path::new("o.yaml"), &format!("stages: {stages}\n"), &env);
        config.map_err(|error| error.to_string())
    }

    fn off(deployment_says: &str, repository_says: &str) -> (Vec<SwitchedOff>, Vec<String>) {
        let policy = RepositoryPolicy::parse(&format!("stages: {repository_says}\n")).expect("a policy");
        deployment(deployment_says).expect("a configuration").stages.for_repository(&policy.stages)
    }

    #[test]
    fn a_repository_switches_what_the_deployment_leaves_open_and_nothing_else() {
        let (deployment, repository) = (Some(SwitchedBy::Deployment), Some(SwitchedBy::Repository));
        let cases = [
            ("{}", "{}", None, ""),
            ("{}", "{ review: off }", repository, ""),
            ("{ review: on }", "{ review: on }", None, ""),
            ("{ review: off }", "{}", deployment, ""),
            ("{ review: off }", "{ review: on }", None, ""),
            (
                "{ review: always }",
                "{ review: off }",
                None,
                "switch `stages.review` off, which this deployment",
            ),
            (
                "{ review: never }",
                "{ review: on }",
                deployment,
                "switch `stages.review` on, which this deployment",
            ),
            ("{ review: never }", "{ review: off }", deployment, ""),
        ];
        for (ours, theirs, expected, part) in cases {
            let (off, faults) = off(ours, theirs);
            assert_eq!(SwitchedOff::of(&off, OptionalStage::Review), expected, "{ours} {theirs}");
            assert_eq!(faults.len(), usize::from(!part.is_empty()), "{ours} {theirs}: {faults:?}");
            assert!(faults.iter().all(|fault| fault.contains(part)), "{faults:?}");
            assert_eq!(SwitchedOff::of(&off, OptionalStage::Design), None);
        }
    }

    #[test]
    fn what_is_no_switch_is_refused_with_its_line() {
        let error = deployment("{ reviw: off }").expect_err("a slip");
        assert!(error.contains("did you mean `stages.review`?"), "{error}");
        let error = deployment("{ verify: alway }").expect_err("a slip");
        assert!(error.contains("1:19: `stages.verify`") && error.contains("`always`"), "{error}");
        for (text, part) in [
            ("stages:\n  design: never", ":2:11: `stages.design`: expected on or off; `always` and `never`"),
            ("stages:\n  design: onn", "did you mean `on`?"),
            ("stages:\n  gates: off", ":2:3: `stages.gates`: unknown key"),
        ] {
            let error = RepositoryPolicy::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
