//! The engines that ask a model themselves: circles of the tool loop, long conversations, each family's edits, and one
//! answer with all edits.

use super::*;

#[tokio::test]
async fn the_same_call_that_fails_three_times_is_the_end() {
    let rules = r#"
  - name: again
    when: { tools_offered: [finish] }
    answer: { tool_calls: [{ name: edit_file, arguments: { path: a.txt, old: nothing like it, new: b } }] }
"#;
    let (why, steps) = interruption(run_loop(rules, ToolLimits::default(), &[("a.txt", "a\n")]).await.0);
    assert!(matches!(why, Interruption::SameError(3)), "{why}");
    assert_eq!(steps, 3);
}

#[tokio::test]
async fn two_turns_that_undo_each_other_six_times_are_the_end() {
    let rules = r#"
  - name: back
    when: { tools_offered: [finish], last_message: ["    1\tb"] }
    answer: { tool_calls: [{ name: edit_file, arguments: { path: a.txt, old: b, new: a } }] }
  - name: forth
    when: { tools_offered: [finish] }
    answer: { tool_calls: [{ name: edit_file, arguments: { path: a.txt, old: a, new: b } }] }
"#;
    let (why, steps) = interruption(run_loop(rules, ToolLimits::default(), &[("a.txt", "a\n")]).await.0);
    assert!(matches!(why, Interruption::Alternating(6)), "{why}");
    assert_eq!(steps, 12);
}

#[tokio::test]
async fn a_long_conversation_is_condensed_and_the_work_goes_on() {
    // Each file says which one to read next, and the last one that it is done.
    let rules = r#"
  - name: done
    when: { last_message: ["the end"] }
    answer: { tool_calls: [{ name: finish, arguments: { summary: "Read.", commit_subject: "Read" } }] }
  - name: edited
    when: { last_message: ["notes.txt was made"] }
    answer: { tool_calls: [{ name: read_file, arguments: { path: "0.txt" } }] }
NEXT  - name: begin
    when: { tools_offered: [finish], last_message: ["Begin"] }
    answer: { text: "PLAN: note, then read.", tool_calls: [{ name: write_file, arguments: { path: notes.txt, content: "n" } }] }
"#;
    const FILES: usize = 30;
    let next: String = (1..FILES)
        .map(|n| {
            format!(
                "  - name: read {n}\n    when: {{ last_message: [\"go on with {n}.\"] }}\n    \
                 answer: {{ tool_calls: [{{ name: read_file, arguments: {{ path: \"{n}.txt\" }} }}] }}\n"
            )
        })
        .collect();
    let filler = "a line of text that fills the page\n".repeat(150);
    let texts: Vec<(String, String)> = (0..FILES)
        .map(|n| {
            let end = if n + 1 == FILES { "the end".to_owned() } else { format!("go on with {}.", n + 1) };
            (format!("{n}.txt"), format!("{filler}{end}\n"))
        })
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let limits = ToolLimits { history_bytes: 60_000, ..ToolLimits::default() };
    let (outcome, _, server) = run_loop(&rules.replace("NEXT", &next), limits, &files).await;
    assert_eq!(outcome.expect("finished").steps as usize, FILES + 2);
    let requests: Vec<String> =
        server.journal().iter().map(|exchange| exchange.request["messages"].to_string()).collect();
    assert!(requests.iter().all(|request| request.len() < 100_000), "it stays short");
    let last = requests.last().expect("requests");
    for part in ["Round half to even", "PLAN: note, then read.", "notes.txt", "go on with 29."] {
        assert!(last.contains(part), "{part} is lost");
    }
    // Between two condensations nothing changes but the end, so that most of it comes from the cache.
    let (cached, anew) = server.journal().iter().fold((0, 0), |(cached, anew), exchange| {
        (cached + exchange.counted.cached, anew + exchange.counted.input)
    });
    assert!(cached > 2 * anew, "{cached} tokens from the cache, {anew} anew");
}

#[tokio::test]
async fn each_family_of_models_is_offered_its_own_edits_first() {
    let finish = r#"
  - name: finish
    when: { tools_offered: [finish] }
    answer: { tool_calls: [{ name: finish, arguments: { summary: "Nothing.", commit_subject: "Nothing" } }] }
"#;
    let order = async |name: &str| {
        let bench =
            bench_with(Scenario::parse(&format!("name: test\nrules:\n{finish}")).expect("parses"), name)
                .await;
        let dir = tempfile::tempdir().expect("dir");
        let folder = Folder::bare(dir.path());
        let (specification, instructions) = (specification(), tabs());
        let input = ImplementInput { instructions: &instructions, ..plain(&specification) };
        implement(&bench.context, &folder, ToolLimits::default(), input).await.expect("finished");
        let request = bench.server.journal()[0].request.clone();
        assert!(request.to_string().contains("Use tabs."), "the instructions are told");
        let names = request["tools"].as_array().expect("tools").iter().filter_map(|tool| {
            tool["name"].as_str().or(tool["function"]["name"].as_str()).map(str::to_owned)
        });
        names.filter(|name| matches!(name.as_str(), "apply_patch" | "edit_file")).collect::<Vec<_>>()
    };
    assert_eq!(order("openai:gpt-5").await, ["apply_patch", "edit_file"]);
    assert_eq!(order("anthropic:claude-sonnet-4-5").await, ["edit_file", "apply_patch"]);
}

fn tabs() -> PromptText {
    PromptText::data("the maintainers' AGENTS.md", "Use tabs.", Written::ForPeople, 100)
}

async fn at_once(
    rules: &str,
    files: &[(&str, &str)],
) -> (Result<Implemented, AgentError>, tempfile::TempDir, ModelServer) {
    let bench = scripted(rules).await;
    let (dir, specification) = (folder_with(files), specification());
    let shown = PromptText::joined(files.iter().map(|(path, text)| file_text(path, text, 10_000)), "\n");
    let (folder, input, limits) = (Folder::bare(dir.path()), plain(&specification), ToolLimits::default());
    let outcome = implement_at_once(&bench.context, &folder, limits, input, &shown).await;
    (outcome, dir, bench.server)
}

#[tokio::test]
async fn one_answer_changes_code_and_tests_all_or_none() {
    let rules = r#"
  - name: repaired
    when: { last_message: ["This is not right yet", "None of the edits was applied", "b.txt"] }
    answer:
      json:
        summary: Done.
        commit_subject: Change both
        code: [{ path: a.txt, old: "one", new: "uno" }, { path: c.txt, old: null, new: null }]
        tests: [{ path: test.txt, old: null, new: "checks\n" }]
  - name: one does not fit
    when: { first_message: ["Round half to even", "<data name=\"a.txt\">\none\n</data>"] }
    answer:
      json:
        summary: Done.
        commit_subject: Change both
        code: [{ path: a.txt, old: "one", new: "uno" }, { path: b.txt, old: "eins", new: "uno" }]
        tests: [{ path: test.txt, old: null, new: "checks\n" }]
"#;
    let (outcome, dir, server) =
        at_once(rules, &[("a.txt", "one\n"), ("b.txt", "two\n"), ("c.txt", "three\n")]).await;
    let implemented = outcome.expect("finished");
    assert_eq!((implemented.commit_subject.as_str(), implemented.steps), ("Change both", 2));
    assert_eq!(server.journal().len(), 2);
    let read = |name: &str| fs::read_to_string(dir.path().join(name));
    assert_eq!((read("a.txt").expect("a"), read("b.txt").expect("b")), ("uno\n".into(), "two\n".into()));
    assert_eq!(read("test.txt").expect("the test"), "checks\n");
    assert!(read("c.txt").is_err(), "deleted");
}

#[tokio::test]
async fn answers_that_never_fit_are_given_up_and_change_nothing() {
    let rules = r#"
  - name: never
    when: { system: ["in a single answer"] }
    answer:
      json:
        summary: Done.
        commit_subject: Change it
        code: [{ path: new.txt, old: null, new: "x" }, { path: a.txt, old: "nothing like it", new: "uno" }]
        tests: []
"#;
    let (outcome, dir, server) = at_once(rules, &[("a.txt", "one\n")]).await;
    let error = outcome.expect_err("given up").to_string();
    assert!(error.contains("no usable answer in 3 attempts") && error.contains("a.txt"), "{error}");
    assert_eq!(server.journal().len(), 3, "a bounded number of times");
    assert!(!dir.path().join("new.txt").exists());
}

/// What a scenario's model is asked first, as it is written down for review.
#[tokio::test]
async fn every_prompt_of_the_other_engines_is_as_it_was_reviewed() {
    let rules = r#"
  - name: nothing
    when: { system: ["in a single answer"] }
    answer: { json: { summary: "Nothing.", commit_subject: "Nothing", code: [], tests: [] } }
"#;
    let bench = scripted(rules).await;
    let dir = tempfile::tempdir().expect("dir");
    let folder = Folder::bare(dir.path());
    let specification = specification();
    let instructions = tabs();
    let file = file_text("src/round.rs", "pub fn round(x: i64) -> i64 {\n    x / 10 * 10\n}\n", 1_000);
    let input = ImplementInput {
        instructions: &instructions,
        overview: &PromptText::own("src/round.rs"),
        earlier_failures: "The test `half` failed: left 30, right 20.",
        ..plain(&specification)
    };
    implement_at_once(&bench.context, &folder, ToolLimits::default(), input, &file).await.expect("answers");
    insta::assert_snapshot!("single_shot", prompt_of(&bench.server));
    let prompts = &bench.context.prompts;
    insta::assert_snapshot!("command", command_prompt(prompts, &input).expect("rendered").0.as_str());

    let change = small_change();
    let wrong =
        [Wrong::Instruction { by: "ada".into(), text: "Please keep it short.<!-- not me -->".into() }];
    let input = FixInput {
        specification: &specification,
        rules: RULES,
        instructions: &instructions,
        change: &change,
        places: &PromptText::default(),
        wrong: &wrong,
    };
    fix_at_once(&bench.context, &folder, ToolLimits::default(), input, &file).await.expect("answers");
    insta::assert_snapshot!("single_shot_fix", prompt_of(&bench.server));
    insta::assert_snapshot!("command_fix", command_fix_prompt(prompts, &input).expect("rendered").0.as_str());
}
