//! GitHub's published description, read once for a binary.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use orchestrator::simulator::github::Contract;

pub fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/contract")
}

pub fn contract() -> Arc<Contract> {
    static CONTRACT: OnceLock<Arc<Contract>> = OnceLock::new();
    let installed = || {
        let contract = Contract::installed(&folder());
        Arc::new(contract.expect("GitHub's description is installed: run scripts/contract"))
    };
    Arc::clone(CONTRACT.get_or_init(installed))
}
