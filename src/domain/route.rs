//! How a task is worked on where a router was asked: the workflow, the models of each role, and the controls.
//!
//! What a router says is a wish: it holds as far as the deployment allows, and what was corrected is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::role::Role;
use super::specification::Workflow;

/// How solver and critic speak with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// Whether the critic is heard more than once.
    pub debate: bool,
    /// How often it is heard then: 1..=4.
    pub rounds: u8,
}

impl Default for Controls {
    fn default() -> Self {
        Self { debate: false, rounds: 1 }
    }
}

impl Controls {
    /// How often the solver mends its answer at most.
    pub fn most_rounds(self) -> u8 {
        if self.debate { self.rounds.clamp(1, MOST_ROUNDS) } else { 1 }
    }
}

const MOST_ROUNDS: u8 = 4;
/// Longest wrong name that a correction quotes, in characters.
const QUOTED_MAX_CHARS: usize = 80;
/// Most corrections that are kept: an answer of nothing but junk needs no more.
const MOST_CORRECTIONS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub workflow: Workflow,
    /// The models that are asked first, by role. A role that is not named keeps its own list.
    #[serde(default)]
    pub models: BTreeMap<Role, Vec<String>>,
    #[serde(default)]
    pub controls: Controls,
    /// What of the router's answer was not taken as it came, one sentence each.
    #[serde(default)]
    pub corrected: Vec<String>,
}

/// What a router may say.
#[derive(Debug, Clone, Copy)]
pub struct RouteLimits<'a> {
    /// Never empty; the first stands in for one that is not allowed, unless `planned` is.
    pub workflows: &'a [Workflow],
    /// The workflow without a router.
    pub planned: Workflow,
    /// The configured models of each role, written `provider:model`.
    pub models: &'a BTreeMap<Role, Vec<String>>,
    /// Models kept for each role.
    pub top_models: usize,
}

impl Route {
    /// The route without a router's word, and why.
    pub fn default_because(limits: RouteLimits<'_>, why: String) -> Self {
        let planned = limits.workflows.contains(&limits.planned).then_some(limits.planned);
        let workflow = planned.or(limits.workflows.first().copied()).unwrap_or(limits.planned);
        Self { workflow, models: BTreeMap::new(), controls: Controls::default(), corrected: vec![why] }
    }

    /// What a router's answer comes to within the limits, whatever it is.
    pub fn checked(answer: &Value, limits: RouteLimits<'_>) -> Self {
        let mut route = Self::default_because(limits, String::new());
        route.corrected.clear();
        let named = answer["workflow"].as_str().and_then(Workflow::named);
        match named.filter(|workflow| limits.workflows.contains(workflow)) {
            Some(workflow) => route.workflow = workflow,
            None => {
                let fallen_back = route.workflow.as_str();
                route.correct(format!(
                    "the workflow {} is not allowed here; `{fallen_back}` is used",
                    quoted(&answer["workflow"])
                ));
            }
        }
        match answer["workers"].as_array() {
            Some(workers) => workers.iter().for_each(|worker| route.take_worker(worker, limits)),
            None => route.correct("there is no list of workers; each role keeps its own models".to_owned()),
        }
        route.take_controls(&answer["controls"]);
        route
    }

    fn take_worker(&mut self, worker: &Value, limits: RouteLimits<'_>) {
        let Some(role) = worker["role"].as_str().and_then(Role::named) else {
            return self
                .correct(format!("there is no role {}; its worker is dropped", quoted(&worker["role"])));
        };
        let known = limits.models.get(&role).map_or(&[] as &[String], Vec::as_slice);
        let model = worker["model"].as_str().and_then(|name| known.iter().find(|model| *model == name));
        let Some(model) = model else {
            let named = quoted(&worker["model"]);
            return self.correct(format!("{named} is no model of the role `{role}`; it is dropped"));
        };
        let models = self.models.entry(role).or_default();
        if !models.contains(model) && models.len() < limits.top_models.max(1) {
            models.push(model.clone());
        }
    }

    fn take_controls(&mut self, controls: &Value) {
        self.controls.debate = controls["use_debate"].as_bool().unwrap_or(false);
        let Some(asked) = controls["max_rounds"].as_i64() else {
            if !controls["max_rounds"].is_null() {
                self.correct(format!(
                    "{} is no number of rounds; 1 is used",
                    quoted(&controls["max_rounds"])
                ));
            }
            return;
        };
        let rounds = asked.clamp(1, i64::from(MOST_ROUNDS));
        if rounds != asked {
            self.correct(format!("{asked} rounds became {rounds}: 1 to {MOST_ROUNDS} are possible"));
        }
        self.controls.rounds = u8::try_from(rounds).unwrap_or(1);
    }

    fn correct(&mut self, what: String) {
        if self.corrected.len() < MOST_CORRECTIONS {
            self.corrected.push(what);
        }
    }
}

fn quoted(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cut: String = text.chars().filter(|c| !c.is_control()).take(QUOTED_MAX_CHARS).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn models() -> BTreeMap<Role, Vec<String>> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([
            (Role::Implementer, names(&["anthropic:large", "ollama:small", "openai:middle"])),
            (Role::Reviewer, names(&["openai:middle"])),
        ])
    }

    fn checked(answer: &Value) -> Route {
        let models = models();
        let workflows = [Workflow::Coding, Workflow::Science];
        let (workflows, planned) = (&workflows[..], Workflow::Coding);
        Route::checked(answer, RouteLimits { workflows, planned, models: &models, top_models: 2 })
    }

    #[test]
    fn a_good_answer_is_taken_as_it_is() {
        let route = checked(&json!({
            "workflow": "science",
            "workers": [
                {"role": "solver", "model": "ollama:small"},
                {"role": "implementer", "model": "anthropic:large"},
                {"role": "critic", "model": "openai:middle"},
            ],
            "controls": {"use_debate": true, "max_rounds": 3},
        }));
        assert_eq!((route.workflow, route.controls.most_rounds()), (Workflow::Science, 3));
        assert_eq!(route.models[&Role::Implementer], ["ollama:small", "anthropic:large"]);
        assert_eq!(route.models[&Role::Reviewer], ["openai:middle"]);
        assert_eq!(route.corrected, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_allowed_is_dropped_and_told() {
        let route = checked(&json!({
            "workflow": "reasoning",
            "workers": [
                {"role": "king", "model": "openai:middle"},
                {"role": "critic", "model": "evil:model"},
                {"role": "judge", "model": "openai:middle"},
                "junk",
            ],
            "controls": {"use_debate": true, "max_rounds": 99},
        }));
        assert_eq!((route.workflow, route.controls.rounds), (Workflow::Coding, 4));
        assert_eq!(route.models, BTreeMap::new(), "each role keeps its own");
        assert_eq!(route.corrected.len(), 6, "{:#?}", route.corrected);
        for (index, part) in
            ["\"reasoning\"", "\"king\"", "\"evil:model\"", "`judge`", "null", "99 rounds"].iter().enumerate()
        {
            assert!(route.corrected[index].contains(part), "{part}: {:#?}", route.corrected);
        }
    }

    #[test]
    fn junk_falls_back_to_the_defaults() {
        for junk in
            [json!({}), json!(null), json!([1]), json!({"workflow": 7, "workers": {}, "controls": []})]
        {
            let route = checked(&junk);
            assert_eq!(
                (route.workflow, route.models.len(), route.controls),
                (Workflow::Coding, 0, Controls::default())
            );
            assert!(!route.corrected.is_empty());
        }
        let many = checked(&json!({"workflow": "coding", "workers": vec![json!({"role": "x"}); 500]}));
        assert_eq!(many.corrected.len(), MOST_CORRECTIONS);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("solver".to_owned()),
            Just("critic".to_owned()),
            Just("science".to_owned()),
            Just("openai:middle".to_owned()),
            "\\PC{0,12}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        let key = proptest::sample::select(vec![
            "workflow",
            "workers",
            "role",
            "model",
            "controls",
            "use_debate",
            "max_rounds",
        ]);
        leaf.prop_recursive(3, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_router_says_stays_within_the_limits(answer in any_json()) {
            let route = checked(&answer);
            prop_assert!([Workflow::Coding, Workflow::Science].contains(&route.workflow));
            prop_assert!((1..=4).contains(&route.controls.rounds) && (1..=4).contains(&route.controls.most_rounds()));
            for (role, chosen) in &route.models {
                prop_assert!((1..=2).contains(&chosen.len()));
                prop_assert!(chosen.iter().all(|model| models()[role].contains(model)));
            }
        }
    }
}
