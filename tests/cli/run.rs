//! `orchestrator run` on real repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use orchestrator::simulator::model::{Answer, ModelServer, Scenario};
use serde_json::{Value, json};

use super::harness::*;

async fn note_model() -> ModelServer {
    model(Scenario::parse(include_str!("note.yaml")).expect("a script")).await
}

fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// A checkout in the middle of a person's work: changes that are staged and not, a file that git does
/// not know, one that is gone, and traps that go off when git's own programs look at it.
fn disturb(repository: &Repository) {
    repository.write("README.md", b"half-written");
    repository.write("src/lib.rs", b"// staged");
    repository.git(&["add", "src/lib.rs"]);
    repository.write("src/lib.rs", b"// staged, and changed again");
    repository.write("scratch.txt", b"\0\xff nobody's");
    std::fs::remove_file(repository.0.join("Cargo.lock")).expect("it was there");
    let trap = format!("#!/bin/sh\ntouch {}/sprung\n", repository.path());
    for hook in ["reference-transaction", "post-checkout", "post-commit", "update", "fsmonitor"] {
        repository.write(&format!(".git/hooks/{hook}"), trap.as_bytes());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(repository.0.join(".git/hooks").join(hook), mode).expect("executable");
    }
    repository.git(&["config", "core.fsmonitor", ".git/hooks/fsmonitor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_in_a_branch_and_touches_nothing_else() {
    let (machine, model) = (Machine::new().await, demo_model().await);
    let repository = machine.demo();
    let main = repository.git(&["rev-parse", "main"]);
    disturb(&repository);
    let before = repository.everything();
    let (repo, issue) = (repository.path(), machine.issue());

    let said = machine.say(&["run", "--repo", &repo, "--issue", &issue], &anthropic(&model)).await;

    assert_eq!(said.code, Some(0), "{said:#?}\n{:#?}", refusals(&model));
    assert_eq!(refusals(&model), [""; 0]);
    assert_eq!(changed(&before, &repository.everything()), BTreeSet::new(), "something else was touched");
    let branches = repository.auto_branches();
    let [branch] = branches.as_slice() else { panic!("{branches:?}") };
    assert!(said.stdout.contains(branch.as_str()), "{}", said.stdout);
    assert_eq!(repository.git(&["merge-base", "main", branch]), main);
    let split = repository.git(&["show", &format!("{branch}:src/split.rs")]);
    assert!(split.contains("if people == 0 {") && split.contains("*odd += 1;"), "{split}");
    let changed = repository.git(&["diff", "--name-only", &format!("main...{branch}")]);
    assert_eq!(changed, "src/ledger.rs\nsrc/split.rs");
    repository.git(&["fsck", "--strict", "--no-dangling"]);
    for line in ["running the gates", "failed, exit code 101", "passed, exit code 0", "reviewing the change"]
    {
        assert!(said.stderr.contains(line), "no {line:?} in\n{}", said.stderr);
    }
    let path = said.stdout.lines().find_map(|line| line.strip_prefix("report   ")).expect("a report");
    let report = std::fs::read_to_string(path).expect("a report");
    for line in ["**Done.**", branch, "| `cargo test` | passed | 0 |", "1 open (1 LOW), 1 fixed"] {
        assert!(report.contains(line), "no {line:?} in\n{report}");
    }
}

/// The story of the note with a router.
async fn routed_model() -> ModelServer {
    let router = r#"
  - name: the router chooses
    when: { system: ["You decide how a task is worked on"] }
    answer: { json: { workflow: rag_qa, workers: [], controls: { use_debate: false, max_rounds: 1 } } }
"#;
    let script = format!("{}{router}", include_str!("note.yaml"));
    model(Scenario::parse(&script).expect("a script")).await
}

/// The names of the rules that answered.
fn answered(model: &ModelServer) -> Vec<String> {
    model.journal().into_iter().filter_map(|exchange| exchange.rule).collect()
}

const TASK: &str = "title: Write the note\nobjective: The note is there.\nrequirements: [NOTE.md says something]\n\
                    acceptance_criteria: [NOTE.md is there]\ntemplate: notes\nsize: small\n";

fn note_repository(machine: &Machine) -> Repository {
    let notes = "when: Notes.\nworkflow: coding\nacceptance_criteria: [The note is in plain words.]\nreviewers: [safety]\n";
    let in_repository = [
        (".orchestrator/config.yaml", "gates:\n  - { name: note, run: test -e NOTE.md }\n"),
        (".orchestrator/templates/notes.yaml", notes),
    ];
    machine.repository("written", &files(&in_repository))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_written_as_a_file_is_not_read_out_of_an_issue() {
    let (machine, model) = (Machine::new().await, routed_model().await);
    let repository = note_repository(&machine);
    let router = machine.write("router.yaml", "router: { enabled: true }\n").display().to_string();
    let mut command =
        machine.command(&["--config", &router, "run", "--repo", &repository.path(), "--task", "-", "--json"]);
    let file = std::fs::File::open(machine.write("task.yaml", format!("{TASK}workflow: coding\n")));

    let said = ended(command.envs(anthropic(&model)).stdin(file.expect("a file")).output().await);

    assert_eq!(said.code, Some(0), "{said:#?}\n{:#?}", refusals(&model));
    assert_eq!(refusals(&model), [""; 0]);
    assert_eq!(answered(&model), ["write it", "it is written", "nothing is found"], "nothing else is asked");
    let answer = said.json();
    let branch = answer["tasks"][0]["branch"].as_str().expect("a branch");
    assert_eq!(repository.git(&["show", &format!("{branch}:NOTE.md")]), "Here it is.");
    let report = std::fs::read_to_string(answer["report"].as_str().expect("a path")).expect("a report");
    for line in ["- The note is in plain words.", "**Template**: `notes`", "Reviewed by `safety`."] {
        assert!(report.contains(line), "no {line:?} in\n{report}");
    }
    assert!(said.stderr.contains("reading the task: Write the note"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_task_that_leaves_the_workflow_open_is_routed_within_its_template() {
    let (machine, model) = (Machine::new().await, routed_model().await);
    let repository = note_repository(&machine).path();
    let router = machine.write("router.yaml", "router: { enabled: true }\n").display().to_string();
    let task = machine.write("task.yaml", TASK).display().to_string();

    let line = ["--config", &router, "run", "--repo", &repository, "--task", &task];
    let said = machine.say(&line, &anthropic(&model)).await;

    assert_eq!(said.code, Some(0), "{said:#?}\n{:#?}", refusals(&model));
    assert_eq!(answered(&model).first().map(String::as_str), Some("the router chooses"));
    assert!(said.stdout.contains("branch"), "the template is for changes: {}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_one_object_with_everything() {
    let (machine, model) = (Machine::new().await, demo_model().await);
    let (repo, issue) = (machine.demo().path(), machine.issue());
    let config = "models:\n  providers:\n    local: { protocol: openai, base_url: URL, api_key: KEY }\n  default:\n    - { model: 'local:anything' }\n";
    let config = config.replace("URL", &model.openai_url()).replace("KEY", model.api_key());
    let config = machine.write("own.yaml", config).display().to_string();
    let report = machine.path("my report.md").display().to_string();

    let line =
        ["--config", &config, "run", "--repo", &repo, "--issue", &issue, "--json", "--report", &report];
    let said = machine.say(&line, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}\n{:#?}", refusals(&model));
    assert_eq!(said.stdout.lines().count(), 1);
    let answer = said.json();
    assert_eq!(answer["outcome"], "done");
    assert_eq!(answer["report"], report);
    assert!(std::fs::read_to_string(&report).expect("a report").contains("**Done.**"));
    let task = &answer["tasks"][0];
    let branch = task["branch"].as_str().expect("a branch");
    let repository = Repository(repo.into());
    assert_eq!(task["head"], repository.git(&["rev-parse", branch]));
    assert_eq!(task["base"], repository.git(&["rev-parse", "main"]));
    assert_eq!(
        (&task["files_changed"], &task["gate_rounds"], &task["review_rounds"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(task["gates"][0]["exit"], 0);
    assert_eq!(task["usage"]["calls"], json!(model.journal().len()), "every call is accounted for");
    let severities: Vec<&Value> =
        task["findings"].as_array().expect("findings").iter().map(|f| &f["finding"]["severity"]).collect();
    assert_eq!(severities, ["LOW", "CRITICAL"]);
    exported(&machine, &repository, task).await;
}

/// A local run as a folder: of the same data folder, without any configuration of models.
async fn exported(machine: &Machine, repository: &Repository, task: &Value) {
    let to = machine.path("exported").display().to_string();
    let id = task["id"].as_str().expect("a number");
    let said = machine.say(&["export", "run", id, "--to", &to], &[]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let calls = std::fs::read_to_string(machine.path("exported/calls.jsonl")).expect("calls");
    assert_eq!(json!(calls.lines().count()), task["usage"]["calls"]);
    repository.git(&["fetch", "--quiet", &format!("{to}/work.bundle"), "refs/heads/work"]);
    assert_eq!(task["head"], repository.git(&["rev-parse", "FETCH_HEAD"]));
}

/// The second process has another model: a job of the first that it took would ask the wrong one.
#[tokio::test(flavor = "multi_thread")]
async fn runs_at_the_same_time_in_one_data_folder_keep_to_themselves() {
    let machine = Machine::without_a_server();
    let models = [demo_model().await, demo_model().await, demo_model().await];
    let (repository, issue) = (machine.demo(), machine.issue());
    let repo = repository.path();
    let runs = models.iter().map(|model| {
        let line = ["run", "--repo", &repo, "--issue", &issue, "--json"];
        let mut command = machine.command(&line);
        command.envs(anthropic(model));
        async move { ended(command.output().await) }
    });

    let said = futures::future::join_all(runs).await;

    let mut branches = Vec::new();
    for (said, model) in said.iter().zip(&models) {
        assert_eq!(said.code, Some(0), "{said:#?}\n{:#?}", refusals(model));
        assert_eq!(refusals(model), [""; 0]);
        let answer = said.json();
        let task = &answer["tasks"][0];
        assert_eq!(task["usage"]["calls"], json!(model.journal().len()), "a run asked another run's model");
        branches.extend(task["branch"].as_str().map(str::to_owned));
    }
    branches.sort();
    assert_eq!(repository.auto_branches(), branches, "each has a branch of its own");
    let pid = machine.data().join("postgres/cluster/postmaster.pid");
    assert!(!pid.exists(), "the last run left the private server behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stopped_goes_on_where_it_was() {
    let (machine, model) = (Machine::new().await, demo_model().await);
    let repository = machine.demo();
    let (repo, issue, environment) = (repository.path(), machine.issue(), anthropic(&model));
    let refused =
        Answer::Error { status: 401, retry_after: None, message: "invalid x-api-key".into(), code: None };
    model.inject([refused]);

    let stopped = machine.say(&["run", "--repo", &repo, "--issue", &issue, "--json"], &environment).await;

    assert_eq!(stopped.code, Some(3), "{stopped:#?}");
    let answer = stopped.json();
    assert_eq!(answer["tasks"][0]["state"]["reason"]["kind"], "model_unavailable");
    assert_eq!(repository.auto_branches(), [""; 0]);
    let task = answer["tasks"][0]["id"].as_str().expect("an id");
    assert_eq!(answer["resume"], format!("orchestrator run --resume {task}"));
    // The issue's text is kept with the run, whatever became of the file.
    std::fs::remove_file(&issue).expect("it was there");

    let done = machine.say(&["run", "--resume", task, "--json"], &environment).await;

    assert_eq!(done.code, Some(0), "{done:#?}\n{:#?}", refusals(&model));
    assert_eq!(repository.auto_branches().len(), 1);
    let again = machine.say(&["run", "--resume", task, "--json"], &environment).await;
    assert_eq!((again.code, repository.auto_branches().len()), (Some(0), 1), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_keeps_the_work_and_says_how_to_go_on() {
    let (machine, model) = (Machine::new().await, demo_model().await);
    let repository = machine.demo();
    let (repo, issue, environment) = (repository.path(), machine.issue(), anthropic(&model));
    let mut command = machine.command(&["run", "--repo", &repo, "--issue", &issue]);
    let mut child = command.envs(environment.clone()).stdout(Stdio::null()).spawn().expect("it starts");
    // The discussion has ended and the implementer is at work.
    let begun = std::time::Instant::now();
    while model.journal().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the work did not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = nix::unistd::Pid::from_raw(child.id().expect("it runs") as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("a pipe");
    tokio::io::AsyncReadExt::read_to_string(&mut pipe, &mut stderr).await.expect("UTF-8");
    assert_eq!(child.wait().await.expect("it ends").code(), Some(3), "{stderr}");

    let resume = stderr.lines().find_map(|line| line.split_once("go on with: orchestrator "));
    let (_, resume) = resume.unwrap_or_else(|| panic!("{stderr}"));
    let done = machine.say(&resume.split(' ').collect::<Vec<_>>(), &environment).await;

    assert_eq!(done.code, Some(0), "{done:#?}\n{:#?}", refusals(&model));
    assert_eq!(repository.auto_branches().len(), 1);
    assert_eq!(done.stderr.matches("reading the issue").count(), 0, "what was done is not done again");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_gates_fail_is_kept_and_put_on_no_branch() {
    let (machine, model) = (Machine::new().await, note_model().await);
    let policy = "gates:\n  - { name: no notes, run: '! test -e NOTE.md' }\n";
    let repository = machine.repository("strict", &files(&[(".orchestrator/config.yaml", policy)]));
    let issue = machine.write("issue.md", "Write the note").display().to_string();

    let line = ["run", "--repo", &repository.path(), "--issue", &issue, "--json"];
    let said = machine.say(&line, &anthropic(&model)).await;

    assert_eq!(said.code, Some(3), "{said:#?}\n{:#?}", refusals(&model));
    let answer = said.json();
    let task = &answer["tasks"][0];
    assert_eq!(repository.auto_branches(), [""; 0]);
    assert_eq!((&task["gates"][0]["exit"], &task["branch"]), (&json!(1), &Value::Null));
    let patch = task["patch"].as_str().expect("the work as a patch");
    repository.git(&["apply", patch]);
    assert_eq!(std::fs::read_to_string(repository.0.join("NOTE.md")).expect("a note"), "Here it is.\n");
    let report = std::fs::read_to_string(answer["report"].as_str().expect("a path")).expect("a report");
    for line in ["**Not done.**", "I cannot mend this.", "orchestrator run --resume"] {
        assert!(report.contains(line), "no {line:?} in\n{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_why_an_earlier_one_in_the_same_repository_stopped() {
    let (machine, model) = (Machine::new().await, note_model().await);
    let policy = "gates:\n  - { name: no notes, run: '! test -e NOTE.md' }\n";
    let strict = || files(&[(".orchestrator/config.yaml", policy)]);
    let repositories = [machine.repository("strict", &strict()), machine.repository("other", &strict())];
    let issue = machine.write("issue.md", "Write the note").display().to_string();
    let told = "Another task of this repository, \\\"Write the note\\\", stopped: nothing was changed";
    // The first of each repository knows of nothing; the second of one knows of the one before it there.
    for (repository, is_told) in [(0, false), (1, false), (0, true)] {
        let asked = model.journal().len();
        let repo = repositories[repository].path();
        let said = machine.say(&["run", "--repo", &repo, "--issue", &issue], &anthropic(&model)).await;
        assert_eq!(said.code, Some(3), "{said:#?}");
        let journal = model.journal();
        let prompts = journal[asked..].iter().map(|exchange| exchange.request.to_string());
        let written: Vec<String> =
            prompts.filter(|asked| asked.contains("who carries out one task")).collect();
        let found = written.iter().any(|asked| asked.contains(told));
        assert!(!written.is_empty() && found == is_told, "{repo}: {written:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_leaves_questions_is_asked_about() {
    let (machine, model) = (Machine::new().await, note_model().await);
    let repository = machine.repository("empty", &files(&[("README.md", "Nothing yet.\n")]));
    let mut command = machine.command(&["run", "--repo", &repository.path(), "--issue", "-"]);
    let issue = std::fs::File::open(machine.write("issue.md", "Do something")).expect("a file");

    let said = ended(command.envs(anthropic(&model)).stdin(issue).output().await);

    assert_eq!(said.code, Some(4), "{said:#?}");
    assert!(said.stdout.contains("- What is it that is wanted?\n         - By when?"), "{}", said.stdout);
    assert_eq!(repository.auto_branches(), [""; 0]);
}

/// Packages are not fetched where no host is allowed, so `cargo test` cannot run: that is no pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_no_required_gate_could_look_at_is_unverified() {
    let (machine, model) = (Machine::new().await, note_model().await);
    let manifest = "[package]\nname = \"x\"\nedition = \"2024\"\n[dependencies]\nitoa = \"1\"\n";
    let repository = machine.repository("needy", &files(&[("Cargo.toml", manifest), ("src/lib.rs", "")]));
    let issue = machine.write("issue.md", "Write the note").display().to_string();

    let line = ["run", "--repo", &repository.path(), "--issue", &issue];
    let said = machine.say(&line, &anthropic(&model)).await;

    assert_eq!(said.code, Some(5), "{said:#?}\n{:#?}", refusals(&model));
    assert_eq!(repository.auto_branches().len(), 1);
    assert!(said.stdout.contains("could not run: "), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_no_model_and_changes_nothing() {
    let (machine, model) = (Machine::new().await, demo_model().await);
    let repository = machine.demo();
    let before = repository.everything();
    let mut environment = anthropic(&model);
    environment.push(("DRY_RUN", "true".to_owned()));

    let line = ["run", "--repo", &repository.path(), "--issue", &machine.issue()];
    let said = machine.say(&line, &environment).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("dry run  answers were simulated, nothing was changed"), "{}", said.stdout);
    let path = said.stdout.lines().find_map(|line| line.strip_prefix("report   ")).expect("a report");
    assert!(std::fs::read_to_string(path).expect("a report").contains("**Dry run.**"));
    assert_eq!(changed(&before, &repository.everything()), BTreeSet::new());
    assert_eq!(repository.auto_branches(), [""; 0]);
    assert!(model.journal().is_empty(), "a model was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_inside_a_linked_work_tree_or_a_bare_repository_will_do() {
    let machine = Machine::new().await;
    let repository = machine.demo();
    let (bare, tree) = (machine.path("bare.git"), machine.path("tree"));
    repository.git(&["clone", "--quiet", "--bare", ".", &bare.display().to_string()]);
    repository.git(&["worktree", "add", "--quiet", "--detach", &tree.display().to_string()]);
    let (issue, dry) = (machine.issue(), [("DRY_RUN", "true".to_owned())]);
    let cases: [&[&str]; 3] = [
        &["--repo", &repository.0.join("src").display().to_string()],
        &["--repo", &bare.display().to_string()],
        &["--repo", &tree.display().to_string(), "--branch", "main"],
    ];
    for case in cases {
        let line = [&["run", "--issue", &issue], case].concat();
        let said = machine.say(&line, &dry).await;
        assert_eq!(said.code, Some(0), "{case:?}: {said:#?}");
    }
}
