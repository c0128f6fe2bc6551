//! `orchestrator serve`.

use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::config::Config;

use super::{Exit, stop_signal};

pub(super) async fn serve(config: Config) -> anyhow::Result<Exit> {
    let mut told_to_stop = Box::pin(stop_signal()?);
    let application = tokio::select! {
        application = Application::build(&config) => application?,
        () = &mut told_to_stop => return Ok(Exit::Done),
    };
    tracing::info!(address = %application.address()?, dry_run = config.dry_run, "serving");
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        told_to_stop.await;
        tracing::info!("stopping");
        told.cancel();
    });
    application.run(stop).await?;
    Ok(Exit::Done)
}
