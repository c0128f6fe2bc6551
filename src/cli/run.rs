//! `orchestrator run`
use super::Exit;
use crate::config::Config;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct RunArguments {}

pub(super) async fn run(_: RunArguments, _: Config) -> anyhow::Result<Exit> {
    Ok(Exit::Failed)
}
