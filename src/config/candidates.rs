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
