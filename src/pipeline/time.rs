//! How long a stage and the agent in it may take.

use std::time::{Duration, Instant};

use crate::agents::ToolLimits;
use crate::config::Limits;

/// Kept of a stage's time for what comes after its agent: reading the tree back, committing and keeping it.
const RESERVE: Duration = Duration::from_secs(120);

/// The time of one stage, which begins when it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageTime {
    began: Instant,
}

impl StageTime {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// The limits of an agent that begins now: it ends before its stage does, so that what it did can be
    /// kept.
    pub(super) fn tool_limits(&self, limits: &Limits) -> ToolLimits {
        let wall = agent_wall(limits.stage_wall, self.began.elapsed());
        ToolLimits { steps: limits.agent_steps, wall, ..ToolLimits::default() }
    }
}

/// What an agent gets of a stage of which `spent` is over. Of a short stage less is kept back; an agent that
/// begins late gets a part of what is kept, since none at all would be of no use.
fn agent_wall(stage: Duration, spent: Duration) -> Duration {
    let reserve = RESERVE.min(stage / 5);
    stage.saturating_sub(spent).saturating_sub(reserve).max(reserve / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn an_agent_ends_before_its_stage_does() {
        assert_eq!(agent_wall(minutes(30), minutes(0)), minutes(28));
        assert_eq!(agent_wall(minutes(30), minutes(10)), minutes(18), "what went before counts");
        assert_eq!(agent_wall(minutes(5), minutes(0)), minutes(4), "a short stage keeps back a fifth");
        assert_eq!(agent_wall(minutes(30), minutes(29)), minutes(1), "a late agent still gets something");
        for spent in 0..=28 {
            assert!(agent_wall(minutes(30), minutes(spent)) + minutes(spent) < minutes(30), "{spent}");
        }
    }
}
