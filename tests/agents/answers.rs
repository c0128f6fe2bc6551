//! Those who answer questions, who judge answers, who route and who design: over HTTP, with looks at real files.

use orchestrator::agents::{
    AnswerInput, Desk, Draft, JudgedAnswer, Look, Solver, criticise, design, route, verify_answer,
};
use orchestrator::domain::{Citation, Computation, Route, RouteLimits, Verification, find_citation};

use super::*;

/// The real file tools on a folder, and a Python that knows one program.
struct Tree<'a>(&'a Path);

impl Desk for Tree<'_> {
    fn look<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>> {
        Box::pin(async move {
            Ok(match look {
                Look::Tree(request) => tools::execute(self.0, request),
                Look::Python(code) if code == "print(6 * 7)" => ToolAnswer::done("42"),
                Look::Python(_) => ToolAnswer::failed("NameError"),
            })
        })
    }
}

const ROUND: &str = "pub fn round(x: i64) -> i64 {\n    x / 10 * 10\n}\n";

/// What a solver says to a scripted model about a file, with what it did for it.
struct Solved {
    outcome: Result<Draft, AgentError>,
    /// What each of its steps called.
    steps: Vec<Vec<String>>,
    computations: Vec<Computation>,
    server: ModelServer,
}

async fn solved(workflow: Workflow, rules: &str) -> Solved {
    let (bench, dir) = (scripted(rules).await, folder_with(&[("round.rs", ROUND)]));
    let specification = TaskSpecification { workflow, ..specification() };
    let (source, nothing) = (source(), PromptText::default());
    let input = AnswerInput {
        specification: &specification,
        source: &source,
        overview: &nothing,
        snippets: &nothing,
    };
    let tree = Tree(dir.path());
    let mut solver = Solver::new(&bench.context, input, &tree);
    let outcome = solver.answer(None).await;
    let names = |step: &orchestrator::agents::Step| step.calls.iter().map(|call| call.name.clone()).collect();
    let steps = solver.transcript.iter().map(names).collect();
    Solved { outcome, steps, computations: solver.computations, server: bench.server }
}

#[tokio::test]
async fn a_solver_looks_reads_what_it_found_and_cites_it() {
    let solved = solved(
        Workflow::RagQa,
        r#"
  - name: it has read
    when: { system: ["You answer a question about a repository"], last_message: ["<data name=\"read round.rs lines 1-3\">", "x / 10 * 10"] }
    answer:
      json:
        look: []
        answer:
          text: "It cuts the last digit off [1]."
          citations: [{ number: 1, path: round.rs, start_line: 2, end_line: 2, quote: "x / 10 * 10" }]
  - name: it has searched
    when: { last_message: ["<data name=\"search fn round\">", "round.rs:1"] }
    answer: { json: { look: [{ tool: read, path: round.rs, start_line: 1, end_line: 3 }, { tool: list, path: null }], answer: null } }
  - name: it begins
    when: { last_message: ["(nothing yet)", "in 10 more turns"] }
    answer: { json: { look: [{ tool: search, pattern: "fn round" }], answer: null } }
"#,
    )
    .await;
    let draft = solved.outcome.expect("an answer");
    assert_eq!(draft.text, "It cuts the last digit off [1].");
    let [citation] = draft.citations.as_slice() else { panic!("{draft:?}") };
    let quote = "x / 10 * 10".to_owned();
    let expected = Citation { number: 1, path: "round.rs".into(), start_line: 2, end_line: 2, quote };
    assert_eq!((citation, find_citation(citation, Some(ROUND))), (&expected, Ok((2, 2))));
    assert_eq!(solved.steps, [vec!["search fn round"], vec!["read round.rs lines 1-3", "list ."]]);
    assert_eq!(solved.server.journal().len(), 3, "{:#?}", solved.server.journal());
}

#[tokio::test]
async fn a_solver_of_science_computes_and_what_it_ran_is_kept() {
    let rules = r#"
  - name: it has computed
    when: { last_message: ["<data name=\"python program\">\nprint(6 * 7)", "<data name=\"python\">\n42"] }
    answer: { json: { look: [], answer: { text: "It is 42.", citations: [] } } }
  - name: it computes
    when: { last_message: ["(nothing yet)"] }
    answer: { json: { look: [{ tool: python, code: "print(6 * 7)" }], answer: null } }
"#;
    let science = solved(Workflow::Science, rules).await;
    assert_eq!(science.outcome.expect("an answer").text, "It is 42.");
    let computed = Computation { code: "print(6 * 7)".into(), output: "42".into() };
    assert_eq!(science.computations, [computed]);
    // Elsewhere there is no such tool, and the model is told so.
    let reasoning = solved(Workflow::Reasoning, rules).await;
    let asked = reasoning.server.journal().iter().map(|it| it.request.to_string()).collect::<String>();
    assert!(reasoning.outcome.is_err() && reasoning.computations.is_empty());
    assert!(asked.contains("the tools are list, search, read"), "{asked}");
}

/// An answer that cannot be used, once; then what `answer` says. `fault` is what the model is told.
fn junk_once(fault: &str, junk: &str, answer: &str) -> String {
    format!(
        r#"
  - name: mended
    when: {{ last_message: ["This answer cannot be used", "{fault}"] }}
    answer: {answer}
  - name: junk
    when: {{ system: ["You"] }}
    answer: {junk}
"#
    )
}

/// The same junk for whatever it is asked.
const JUNK: &str = "  - { name: junk, when: { system: [You] }, answer: { text: 'I would rather not.' } }";

fn is_junk(error: &AgentError) -> bool {
    matches!(error, AgentError::Junk { attempts: 3, last_fault } if last_fault.contains("no JSON object"))
}

#[tokio::test]
async fn a_solver_mends_one_junk_answer_and_is_given_up_after_the_last() {
    let citation = "{ number: 1, path: round.rs, start_line: 1, end_line: 1, quote: fn round }";
    let twice = format!("{{ json: {{ answer: {{ text: Yes., citations: [{citation}, {citation}] }} }} }}");
    let once = format!("{{ json: {{ answer: {{ text: Yes., citations: [{citation}] }} }} }}");
    let rules = junk_once("two citations have the same `number`", &twice, &once);
    for workflow in [Workflow::RagQa, Workflow::Reasoning] {
        let mended = solved(workflow, &rules).await;
        assert_eq!(mended.outcome.expect("mended").citations.len(), 1);
        assert_eq!(mended.server.journal().len(), 2);
        let given_up = solved(workflow, JUNK).await;
        let error = given_up.outcome.expect_err("junk");
        assert!(is_junk(&error), "{error}");
        assert_eq!(given_up.server.journal().len(), 3, "a bounded number of times");
    }
}

#[tokio::test]
async fn a_solver_that_only_looks_has_to_answer_in_the_end() {
    let rules = r#"
  - name: it has to
    when: { last_message: ["there are no looks left"] }
    answer: { json: { answer: { text: "I did not find it.", citations: [] } } }
  - name: it looks and looks
    when: { system: ["You answer a question"] }
    answer: { json: { look: [{ tool: list }] } }
"#;
    let solved = solved(Workflow::RagQa, rules).await;
    assert_eq!(solved.outcome.expect("an answer").text, "I did not find it.");
    assert_eq!((solved.steps.len(), solved.server.journal().len()), (10, 12));
}

/// What the critic and the verifier say of an answer with a computation.
async fn judged(rules: &str) -> (Result<Vec<String>, AgentError>, Result<Verification, AgentError>, usize) {
    let (bench, specification) = (scripted(rules).await, specification());
    let computations = [Computation { code: "print(6 * 7)".into(), output: "42".into() }];
    let judged = JudgedAnswer {
        specification: &specification,
        text: "It is 42 [1].",
        evidence: "[1] round.rs, line 2: x / 10 * 10",
        computations: &computations,
    };
    let said = (criticise(&bench.context, judged).await, verify_answer(&bench.context, judged).await);
    (said.0, said.1, bench.server.journal().len())
}

#[tokio::test]
async fn critic_and_verifier_read_the_answer_with_its_evidence() {
    let rules = r#"
  - name: the critic
    when: { system: ["You are the critic of an answer"], last_message: ["It is 42 [1].", "round.rs, line 2", "it came to\n42"] }
    answer: { json: { objections: ["The file says nothing of 42.", " "] } }
  - name: the verifier
    when: { last_message: ["It is 42 [1].", "round.rs, line 2", "it came to\n42"] }
    answer: { json: { holds: false, why: "The cited line says something else." } }
"#;
    let (objections, verification, asked) = judged(rules).await;
    assert_eq!(objections.expect("objections"), ["The file says nothing of 42."]);
    let why = "The cited line says something else.".into();
    assert_eq!(verification.expect("a word"), Verification { holds: false, why });
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn critic_and_verifier_mend_one_junk_answer_and_are_given_up_after_the_last() {
    let rules = r#"
  - name: the critic has mended
    when: { system: ["You are the critic"], last_message: ["This answer cannot be used", "9 at most"] }
    answer: { json: { objections: [] } }
  - name: the critic is beside himself
    when: { system: ["You are the critic"] }
    answer: { json: { objections: [a, b, c, d, e, f, g, h, i] } }
  - name: the verifier has mended
    when: { last_message: ["This answer cannot be used", "`why` is empty"] }
    answer: { text: "Of course: {\"holds\": true, \"why\": \"It does.\"}" }
  - name: the verifier says no reason
    when: { last_message: ["It is 42"] }
    answer: { json: { holds: true, why: " " } }
"#
    .replace("9 at most", "`objections` has 9 entries");
    let (objections, verification, asked) = judged(&rules).await;
    assert_eq!(objections.expect("mended"), [""; 0]);
    assert_eq!(verification.expect("mended"), Verification { holds: true, why: "It does.".into() });
    assert_eq!(asked, 4);
    let (objections, verification, asked) = judged(JUNK).await;
    assert!(is_junk(&objections.expect_err("junk")) && is_junk(&verification.expect_err("junk")));
    assert_eq!(asked, 6);
}

async fn routed(rules: &str) -> (Route, usize) {
    let bench = scripted(rules).await;
    let names = ["anthropic:large", "anthropic:small"].map(str::to_owned).to_vec();
    let models = BTreeMap::from([(Role::Implementer, names)]);
    let workflows = [Workflow::RagQa, Workflow::Coding];
    let limits =
        RouteLimits { workflows: &workflows, planned: Workflow::Coding, models: &models, top_models: 1 };
    let route = route(&bench.context, &specification(), limits).await;
    (route, bench.server.journal().len())
}

#[tokio::test]
async fn a_route_is_what_the_router_says_mended_once_and_else_the_default() {
    let answer = "{ json: { workflow: rag_qa, workers: [{ role: implementer, model: 'anthropic:small' }], controls: { use_debate: true, max_rounds: 2 } } }";
    let chosen = |route: &Route| {
        assert_eq!((route.workflow, route.controls.most_rounds()), (Workflow::RagQa, 2));
        assert_eq!(route.models[&Role::Implementer], ["anthropic:small"]);
        assert!(route.corrected.is_empty(), "{route:?}");
    };
    let rules = format!(
        "  - name: router\n    when: {{ last_message: [\"rag_qa, coding\", \"anthropic:large, anthropic:small\"] }}\n    answer: {answer}\n"
    );
    let (route, asked) = routed(&rules).await;
    chosen(&route);
    assert_eq!(asked, 1);
    let (route, asked) = routed(&junk_once("no JSON object", "{ text: Hm. }", answer)).await;
    chosen(&route);
    assert_eq!(asked, 2);
    let (route, asked) = routed(JUNK).await;
    assert_eq!((route.workflow, route.models.len(), asked), (Workflow::Coding, 0, 2));
    let [why] = route.corrected.as_slice() else { panic!("{route:?}") };
    assert!(why.contains("the defaults hold") && why.contains("no JSON object"), "{why}");
}

#[tokio::test]
async fn a_design_is_mended_once_and_given_up_after_the_last_answer() {
    let places = PromptText::data("places", ROUND, Written::AsCode, 500);
    let answer = "{ json: { design: 'One function, one test.' } }";
    let bench = scripted(&junk_once("`design` has to have", "{ json: { design: ' ' } }", answer)).await;
    let specification = specification();
    let designed = design(&bench.context, &specification, (&places, &places)).await;
    assert_eq!(designed.expect("mended"), "One function, one test.");
    let journal = bench.server.journal();
    assert!(journal.len() == 2 && journal[0].request.to_string().contains("x / 10 * 10"), "{journal:#?}");
    let bench = scripted(JUNK).await;
    let error = design(&bench.context, &specification, (&places, &places)).await.expect_err("junk");
    assert!(is_junk(&error), "{error}");
}
