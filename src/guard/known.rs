//! Which files this room has a rule for, so that what gates are found by and what is guarded stay the same.

use super::globs::Loose;
use super::manifests::{is_manifest, manifests};
use super::protected::BY_DEFAULT;
use super::settings;
use super::shadows::shadows;
use super::test_files::is_gate_setting;

/// Files that say which packages are fetched, which set-up reads from the base branch, or what an action of
/// the repository does, whose steps are read from there too. At run time they decide nothing about a gate.
const READ_FROM_THE_BASE: &[&str] =
    &["requirements.txt", "setup.py", "action.yml", "action.yaml", "modules.txt"];

/// Whether a file is protected by default, sets a gate, is looked into, or is known to decide nothing while
/// gates run.
pub fn has_rule_for(path: &str) -> bool {
    let globs = BY_DEFAULT.iter().flat_map(|(_, globs)| globs.iter().copied());
    let is_protected = Loose::new(globs).is_ok_and(|set| set.first_match(path).is_some());
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    is_protected
        || is_gate_setting(path)
        || settings::is_looked_into(path)
        || shadows(path)
        || manifests(&lower).is_some()
        || is_manifest(&lower)
        || READ_FROM_THE_BASE.contains(&name)
}
