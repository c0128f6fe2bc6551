//! How many candidates are written for a task: three keys of the section `implementer`.

use super::document::Document;
use super::error::ConfigError;
use super::implementer::{ImplementerFile, ImplementerPolicyFile};
use super::resolve::Resolver;

/// The most candidates that make sense: each costs as much as the work itself.
const MOST: u64 = 5;

/// The candidates of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidatesConfig {
    /// 1..=5: for repositories that say nothing.
    pub count: u32,
    /// 1..=5: the most that a repository may ask for.
    pub most: u32,
    /// Those of the candidates, in turn. Empty: as the models are configured.
    pub temperatures: Vec<f64>,
}

pub(super) fn resolve(r: &Resolver<'_>, file: &ImplementerFile) -> Result<CandidatesConfig, ConfigError> {
    let count = r.number("implementer.candidates", file.candidates, 1, 1..=MOST)?;
    let most = r.number("implementer.max_candidates", file.max_candidates, u64::from(count), 1..=MOST)?;
    if most < count {
        let problem = "must not be below implementer.candidates";
        return Err(r.error("implementer.max_candidates", problem));
    }
    let temperatures = file.temperatures.clone().unwrap_or_default();
    if let Some(index) = temperatures.iter().position(|temperature| !(0.0..=2.0).contains(temperature)) {
        return Err(r.error(&format!("implementer.temperatures[{index}]"), "must lie between 0 and 2"));
    }
    Ok(CandidatesConfig { count, most, temperatures })
}

/// What a repository asks for. More than the deployment allows is lowered where it is used.
pub(super) fn of_policy(
    document: &Document,
    file: &ImplementerPolicyFile,
) -> Result<Option<u32>, ConfigError> {
    match file.candidates {
        Some(asked) if !(1..=MOST).contains(&asked) => {
            Err(document.error("implementer.candidates", format!("must lie between 1 and {MOST}")))
        }
        asked => Ok(asked.and_then(|asked| u32::try_from(asked).ok())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Environment, RepositoryPolicy};

    fn loaded(section: &str) -> Result<(u32, u32, Vec<f64>), String> {
        let text = format!("implementer: {section}\n");
        let config = Config::from_text(
            Path::new("o.yaml"),
            &text,
            &Environment::from_iter([("HOME".to_owned(), "/h".to_owned())]),
        );
        let candidates = config.map_err(|error| error.to_string())?.candidates;
        Ok((candidates.count, candidates.most, candidates.temperatures))
    }

    #[test]
    fn one_candidate_is_written_unless_somebody_says_otherwise() {
        assert_eq!(loaded("{}"), Ok((1, 1, vec![])));
        assert_eq!(
            loaded("{ candidates: 3 }"),
            Ok((3, 3, vec![])),
            "and a repository can ask for fewer only"
        );
        let all = "{ candidates: 2, max_candidates: 4, temperatures: [0.2, 0.8] }";
        assert_eq!(loaded(all), Ok((2, 4, vec![0.2, 0.8])));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let cases = [
            ("{ candidates: 0 }", "implementer.candidates"),
            ("{ candidates: 6 }", "implementer.candidates"),
            ("{ candidates: 3, max_candidates: 2 }", "implementer.max_candidates"),
            ("{ temperatures: [0.2, 2.5] }", "implementer.temperatures[1]"),
        ];
        for (section, key) in cases {
            let error = loaded(section).expect_err(section);
            assert!(error.contains(key), "{section}: {error}");
        }
        let asked = |text: &str| RepositoryPolicy::parse(text).map(|policy| policy.candidates);
        assert_eq!(asked("implementer: { candidates: 5 }").expect("a policy"), Some(5));
        let error = asked("implementer: { candidates: 9 }").expect_err("too many").to_string();
        assert!(error.contains("implementer.candidates") && error.contains("between 1 and 5"), "{error}");
    }

    #[test]
    fn a_repository_names_severities_that_block_and_reviewers_by_files() {
        use crate::config::{SeverityName, reviewer_of_file};
        let severities = |text: &str| RepositoryPolicy::parse(text).map(|policy| policy.blocking_severities);
        assert_eq!(severities("blocking_severities: [high]").expect("a policy"), [SeverityName::High]);
        assert_eq!(severities("{}").expect("a policy"), []);
        let error = severities("blocking_severities: [HIHG]").expect_err("a slip").to_string();
        assert!(error.contains("blocking_severities[0]") && error.contains("HIGH"), "{error}");
        for (path, name) in [
            (".orchestrator/reviewers/sql.md", Some("sql")),
            (".orchestrator/reviewers/Sql.md", None),
            (".orchestrator/reviewers/a/sql.md", None),
            (".orchestrator/reviewers/.md", None),
            (".orchestrator/sql.md", None),
        ] {
            assert_eq!(reviewer_of_file(path), name, "{path}");
        }
    }
}
