//! `orchestrator simulate`: the stand-ins alone, for a person to play with.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::simulator::model::Scenario;
use crate::simulator::surroundings::{
    MAINTAINER, READER, REPOSITORY, STRANGER, Surroundings, SurroundingsOptions, token,
};

use super::{Exit, quiet_log, stop_signal};

#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// Where repositories and mails are kept. Default: a folder that is removed at the end.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The script of the model server: the name of one that is built in, or a file.
    #[arg(long, default_value = "demo", value_name = "NAME|FILE")]
    scenario: String,
    /// Where webhooks go, such as http://127.0.0.1:8080/webhooks/github.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Write the environment of a deployment to this file.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

pub(super) async fn simulate(arguments: SimulateArguments) -> anyhow::Result<Exit> {
    quiet_log(false)?;
    let told_to_stop = stop_signal()?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.data.unwrap_or_else(|| temporary.path().to_owned());
    let scenario = scenario(&arguments.scenario)?;
    let surroundings = Surroundings::start(SurroundingsOptions::new(&folder, scenario)).await?;
    let address = match &arguments.webhook {
        Some(url) => url.clone(),
        None => "http://127.0.0.1:8080/webhooks/github".to_owned(),
    };
    surroundings.github.set_webhook(Some(crate::simulator::github::WebhookTarget {
        url: address.clone(),
        secret: crate::simulator::surroundings::WEBHOOK_SECRET.to_owned(),
    }));
    let env_file = arguments.env_file.unwrap_or_else(|| folder.join("deployment.env"));
    let environment: String = surroundings
        .environment()
        .iter()
        .map(|(name, value)| format!("{name}='{}'\n", value.trim().replace('\n', "\\n")))
        .collect();
    std::fs::write(&env_file, environment)?;
    println!("GitHub      {}", surroundings.github.api_url());
    println!("repository  {}/{REPOSITORY}", surroundings.github.server_url());
    println!("webhooks    {address}");
    println!("models      {} and {}", surroundings.model.anthropic_url(), surroundings.model.openai_url());
    println!("mails       {}", folder.join("mails").display());
    println!("people      {MAINTAINER} (admin), {READER} (read), {STRANGER} (no seat)\n");
    println!("Start a deployment beside it, in another terminal:");
    println!("  set -a; . {}; set +a; orchestrator serve\n", env_file.display());
    println!("Then act as a person:");
    let curl = format!("curl -s -H 'Authorization: Bearer {}'", token(MAINTAINER));
    let api = format!("{}/repos/{REPOSITORY}", surroundings.github.api_url());
    println!("  {curl} {api}/issues -d '{{\"title\": \"…\", \"body\": \"…\"}}'");
    println!("  {curl} {api}/issues/1/labels -d '{{\"labels\": [\"auto\"]}}'");
    println!("  {curl} {api}/issues/1/comments\n");
    println!("Ctrl-C ends it and leaves what was said to the models in model.json of the data folder.");
    told_to_stop.await;
    let journal = serde_json::to_vec_pretty(&surroundings.model.journal())?;
    std::fs::write(folder.join("model.json"), journal).context("the models' journal cannot be kept")?;
    Ok(Exit::Done)
}

/// A name has neither a slash nor an ending.
fn scenario(name: &str) -> anyhow::Result<Scenario> {
    if !name.contains(['/', '.']) {
        let known = || format!("built in are {}; for a file, write its path", Scenario::names().join(", "));
        return Scenario::embedded(name).with_context(known);
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("cannot read the scenario {name}"))?;
    Scenario::parse(&text).with_context(|| format!("the scenario {name} cannot be used"))
}
