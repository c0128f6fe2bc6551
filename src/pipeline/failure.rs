//! Why a task stops where an agent came to no end.

use crate::agents::{AgentError, Interruption};
use crate::domain::Reason;
use crate::llm::LlmError;

/// Why an agent's failure stops its task. The client has waited, repeated and asked the role's other
/// models before it fails.
pub(super) fn agent_failure(role: &str, error: &AgentError) -> Reason {
    let detail = error.to_string();
    let of_model = |error: &LlmError| match error {
        LlmError::BudgetExhausted { scope, .. } => {
            Reason::BudgetReached { scope: *scope, detail: error.to_string() }
        }
        _ => Reason::ModelUnavailable { detail: detail.clone() },
    };
    match error {
        AgentError::Junk { last_fault, .. } => {
            Reason::ModelJunk { role: role.to_owned(), fault: last_fault.clone() }
        }
        AgentError::Model(error) => of_model(error),
        AgentError::Prompt(_) => Reason::Internal { detail },
        AgentError::Interrupted(interrupted) => match &interrupted.why {
            Interruption::Model(error) => of_model(error),
            Interruption::Toolbox(_) => Reason::SandboxUnavailable { detail },
            Interruption::SameCall(_)
            | Interruption::SameError(_)
            | Interruption::Alternating(_)
            | Interruption::NoToolCall(_) => Reason::ModelJunk { role: role.to_owned(), fault: detail },
            Interruption::Command { name, how, said } => {
                let (command, ended) = (name.clone(), how.clone());
                Reason::AgentFailed { command, ended, said: said.clone() }
            }
            Interruption::Steps(_)
            | Interruption::WallTime(_)
            | Interruption::CommandLimit { .. }
            | Interruption::Tokens { .. }
            | Interruption::Cost { .. } => Reason::LimitReached { limit: detail },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Interrupted;
    use crate::domain::Usage;

    #[test]
    fn an_agents_own_command_is_no_unusable_answer_of_a_model_and_a_limit_is_a_limit() {
        let of = |why| {
            let interrupted = Interrupted { why, transcript: vec![], usage: Usage::default() };
            agent_failure("implementer", &AgentError::Interrupted(Box::new(interrupted)))
        };
        let (name, said) = (|| "claude".to_owned(), || "no key".to_owned());
        for ended in ["exit code 3", "signal 11"] {
            let failed = Interruption::Command { name: name(), how: ended.into(), said: said() };
            assert_eq!(
                of(failed),
                Reason::AgentFailed { command: name(), ended: ended.into(), said: said() }
            );
        }
        let how = "signal 9 (the memory limit was hit)".to_owned();
        let Reason::LimitReached { limit } =
            of(Interruption::CommandLimit { name: name(), how, said: said() })
        else {
            panic!("no limit")
        };
        assert!(limit.contains("the agent's command claude: signal 9 (the memory limit was hit)"), "{limit}");
        assert!(limit.contains("no key"), "{limit}");
    }
}
