//! A candidate's own model: the next one of the role's list, perhaps at a temperature of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use crate::llm::{Answer, CallContext, LlmError, Model, ModelSettings, Request, Role};

pub(super) struct Varied {
    model: Arc<dyn Model>,
    temperature: Option<f64>,
    heard: Mutex<BTreeSet<String>>,
}

impl Varied {
    /// `number` counts candidates from 1: the first asks as the role is configured.
    pub(super) fn new(model: &Arc<dyn Model>, number: u32, temperature: Option<f64>) -> Self {
        let first = number.saturating_sub(1) as usize;
        let model = model.beginning_with(first).unwrap_or_else(|| Arc::clone(model));
        Self { model, temperature, heard: Mutex::default() }
    }

    /// The models that answered.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Model for Varied {
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        mut request: Request,
    ) -> BoxFuture<'a, Result<Answer, LlmError>> {
        request.temperature = request.temperature.or(self.temperature);
        Box::pin(async move {
            let answer = self.model.call(context, request).await?;
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(answer.model.to_string());
            Ok(answer)
        })
    }

    fn models_of(&self, role: Role) -> Vec<ModelSettings> {
        self.model.models_of(role)
    }

    fn first_choice(&self, role: Role) -> Option<ModelSettings> {
        self.model.first_choice(role)
    }
}
