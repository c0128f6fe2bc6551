//! Model calls are written down in the database as they end.

use futures::future::BoxFuture;

use crate::llm::{CallRecord, Ledger, LedgerError};
use crate::store::{ModelCall, Store};

/// The ledger of a deployment.
pub struct StoreLedger(pub Store);

impl Ledger for StoreLedger {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let call = ModelCall {
                task: record.label.task,
                stage: record.label.stage.clone(),
                role: record.role.as_str().to_owned(),
                model: record.model.to_string(),
                usage: record.usage,
                latency: record.latency,
                stop_reason: record.stop.as_ref().map(|stop| format!("{stop:?}")),
                error: record.error.as_ref().map(|(kind, message)| format!("{kind}: {message}")),
            };
            self.0.record_model_call(&call).await.map_err(|error| LedgerError(error.to_string()))
        })
    }
}
