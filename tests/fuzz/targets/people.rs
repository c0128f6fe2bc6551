//! The way out to people: whatever a comment or a commit message quotes only shows and never acts.

use std::sync::LazyLock;

use orchestrator::domain::{
    Account, CommandFault, CommentId, GitHubPlace, InstallationId, IssueNumber, Notice, Origin, Plan,
    Priority, RepositoryId, Risk, Size, SourceComment, SourceText, State, Task, TaskId, TaskSpecification,
    UserId, Workflow, parse_command, plan_digest,
};
use orchestrator::speech::{
    BODY_MAX_CHARS, CommitView, Evidence, Gateway, Mode, NoticeView, PlanView, commit_message, has_marker,
    notice, plan_comment,
};
use orchestrator::telemetry::REDACTED;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{Target, input};

const SECRET: &str = "cOrrect-Horse_42+battery/Staple";
const KEY: &str = "task/1.0/plan";

pub const SPEECH: Target = Target {
    name: "speech",
    run: speech,
    words: &[
        "@bob",
        "@",
        "#99",
        "#",
        "GH-1",
        "o/r#3",
        "Fixes ",
        "closes: ",
        "\n",
        "\n\n",
        " ",
        "    ",
        "> ",
        "- ",
        "1. ",
        "```\n",
        "```mermaid\n",
        "~~~\n",
        "`",
        "``",
        "*",
        "_",
        "**",
        "[",
        "](",
        ")",
        "![c](https://e.example/p.png)",
        "[a](https://e.example)",
        "https://e.example/x",
        "https://docs.example/a",
        "http://",
        "www.e.example",
        "ftp://",
        "<b>",
        "</details>",
        "<details>",
        "<!--",
        "-->",
        "<!-- orchestrator:k -->",
        "/orchestrate approve",
        "/lgtm",
        "|",
        "|---|\n",
        "$x$",
        "&#64;",
        "&commat;",
        "\\",
        SECRET,
        "\u{200b}",
        "\u{202e}",
        "\u{1b}[31m",
        "\r",
        "\0",
        "=====\n",
        "\n=====\n",
        "---\n",
        "[a]: https://e.example\n",
        "<https://e.example>",
        "bob@e.example",
        "é",
        "日本",
        "~~",
        ":smile:",
        "+1",
    ],
    seeds: &[
        "Round half to even\n=====\nSee #7 and @ada, `round(2.5)`.\n\n- a\n- b\n\n=====\n```\nassert round(2.5) == 2\n```\n",
        "![x](https://e.example/p.png) [x](https://docs.example/a) <b>x</b> <!-- orchestrator:k -->\n=====\n> /lgtm\n\n/orchestrate approve\n",
        "1. a\n   > b\n   ```mermaid\n   graph\n   ```\n\n=====\nFixes #1, closes o/r#2; &#64;ada \\@ada\n",
    ],
    longest: 192,
    cap: 64 * 1024,
};

fn speech(data: &[u8]) {
    static LINKS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["docs.example".to_owned()]);
    // Disguised secrets are the redactor's own target; here it matters that each text passes it.
    let redact = |text: &str| text.replace(SECRET, REDACTED);
    let gateway = Gateway::new(&redact, &LINKS);
    let text = input::text(data, SPEECH.words);
    let [one, two, three] = input::parts::<3>(&text);
    let task = task(one, two, three);
    let (plan, source) = (task.plan.as_ref().expect("a plan"), task.source.as_ref().expect("a source"));
    let titles = [one.to_owned(), three.to_owned()];
    let view = PlanView {
        key: KEY,
        plan,
        source,
        ordinal: 1,
        revision: 1,
        titles: &titles,
        estimate: None,
        budget_micro_usd: None,
        wait_days: 14,
        mode: Mode::Live,
    };
    harmless(plan_comment(&gateway, &view).as_str());
    let view = NoticeView {
        key: KEY,
        task: Some(&task),
        label: "auto",
        evidence: Evidence::default(),
        gate_rounds: 3,
        review_rounds: 2,
        patch: None,
        mode: Mode::Live,
    };
    for told in [
        Notice::NotACommand { fault: CommandFault::UnknownVerb(one.chars().take(40).collect()) },
        Notice::NotDone { what: one.to_owned(), detail: two.to_owned() },
    ] {
        harmless(notice(&gateway, &told, &view).as_str());
    }
    let message = commit_message(&gateway, &CommitView { task: &task, subject: Some(one), done: two });
    let subject = message.lines().next().unwrap_or_default();
    assert!((1..=110).contains(&subject.chars().count()), "{message:?}");
    assert!(
        !message.contains(SECRET) && !message.contains('\0') && !message.contains('\u{202e}'),
        "{message:?}"
    );
    let closes = message.replace("Refs: #12\n", "");
    let numbered =
        closes.match_indices('#').any(|(at, _)| closes[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    assert!(!numbered, "{message:?} names an issue that is not its own");
    assert!(!message.contains("Signed-off-by: @"), "{message:?}");
}

fn task(one: &str, two: &str, three: &str) -> Task {
    let place = GitHubPlace {
        installation: InstallationId(1),
        repository: RepositoryId(2),
        full_name: "acme/ledger".into(),
        issue: IssueNumber(12),
    };
    let ada = || Account { id: UserId(7), login: "ada".into() };
    let at = chrono::DateTime::from_timestamp(1_795_230_900, 0).expect("a time");
    let mut task = Task::new(TaskId(uuid::Uuid::from_u128(12)), Origin::GitHub(place), ada(), at);
    let comment = SourceComment { id: CommentId(501), author: ada(), body: three.to_owned() };
    let source = SourceText { title: one.to_owned(), body: two.to_owned(), comments: vec![comment] };
    let specification = TaskSpecification {
        title: one.to_owned(),
        objective: two.to_owned(),
        requirements: vec![two.to_owned(), three.to_owned()],
        constraints: vec![],
        acceptance_criteria: vec![three.to_owned()],
        likely_files: vec![one.to_owned()],
        protected_files: vec![two.to_owned()],
        altered_tests: vec![three.to_owned()],
        workflow: Workflow::Coding,
        risk: Risk::Low,
        size: Size::Small,
        priority: Priority::Normal,
        depends_on: vec![],
        prepared: orchestrator::domain::Preparation::default(),
    };
    let digest = plan_digest(source.digest(), &specification);
    task.plan =
        Some(Plan { understood: two.to_owned(), digest, specification, tasks_in_plan: 2, comment: None });
    task.source = Some(source);
    task.state = State::AwaitingApproval;
    task
}

/// Nothing that GitHub would link, load, run or hide is in the text outside of code or in its structure.
fn harmless(body: &str) {
    assert!(body.chars().count() <= BODY_MAX_CHARS && has_marker(body, KEY));
    assert_eq!(parse_command(body), None, "a command in {body}");
    assert!(body.lines().all(|line| !line.starts_with('/')), "a command in {body}");
    assert!(!body.contains(SECRET), "a secret in {body}");
    assert!(!body.contains(['\u{202e}', '\u{200b}', '\u{1b}', '\0', '\u{feff}', '\u{2066}']), "{body:?}");
    let above = body.trim_end().rsplit_once('\n').map_or(body, |(above, _)| above);
    assert!(!above.contains("<!--"), "a comment in {body}");
    let text = text_outside_of_code(body);
    for (at, sign) in text.match_indices(['@', '#']) {
        let rest = &text[at + 1..];
        let links = match sign {
            "@" => rest.starts_with(char::is_alphanumeric),
            _ => rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with("12"),
        };
        assert!(!links, "{:?} links in {body}", text[at..].chars().take(20).collect::<String>());
    }
    let lower = text.to_lowercase();
    for acts in ["gh-1", "www.e", "http://", "https://", "ftp://"] {
        assert!(!lower.contains(acts), "{acts} in {body}");
    }
    structure(body);
}

fn structure(body: &str) {
    let mut depth = 0_i32;
    for event in Parser::new_ext(body, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => panic!("image {dest_url} in {body}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(dest_url.starts_with("https://docs.example"), "link {dest_url} in {body}");
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let html = html.trim();
                let folds = html.starts_with("<details><summary>") && html.ends_with("</summary>");
                let ours = folds
                    || html == "</details>"
                    || html.starts_with("<!-- orchestrator:")
                    || html.is_empty();
                assert!(ours, "HTML {html:?} in {body}");
                depth += i32::from(folds) - i32::from(html == "</details>");
                assert!(depth >= 0, "{body}");
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                assert!(!["mermaid", "math", "suggestion"].contains(&&*info), "{info} in {body}");
            }
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an open section in {body}");
}

fn text_outside_of_code(body: &str) -> String {
    let mut out = String::new();
    let mut code = 0;
    for event in Parser::new_ext(body, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::Link { .. }) => code += 1,
            Event::End(TagEnd::CodeBlock | TagEnd::Link) => code -= 1,
            Event::Text(text) if code == 0 => out.push_str(&text),
            Event::Code(_) => out.push('\u{fffc}'),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => out.push('\n'),
            _ => {}
        }
    }
    out
}
