//! `orchestrator doctor`: placeholder until the checks are in.
use super::Exit;
use crate::config::Environment;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {}

pub(super) async fn doctor(_: DoctorArguments, _: Option<PathBuf>, _: &Environment) -> anyhow::Result<Exit> {
    Ok(Exit::Failed)
}
