//! What a model answers: an object in its words, and calls of its tools.

use orchestrator::agents::tools::ToolRequest;
use orchestrator::agents::{Understood, object_in, understand};

use super::{Target, input};

pub const ANSWER: Target = Target {
    name: "model-answer",
    run: answer,
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\n",
        "```json\n",
        "```\n",
        "Here it is: ",
        "null",
        "true",
        "1",
        "-1",
        "4294967296",
        "1e999",
        "\"path\"",
        "\"start\"",
        "\"end\"",
        "\"pattern\"",
        "\"glob\"",
        "\"old\"",
        "\"new\"",
        "\"content\"",
        "\"command\"",
        "\"timeout_seconds\"",
        "\"summary\"",
        "\"commit_subject\"",
        "\"tool\"",
        "\"a.rs\"",
        "\"ls\"",
        "\\u0000",
        "\\ud800",
        "\\",
        "é",
        "{\"command\": \"make\", \"timeout_seconds\": 1}",
        "{\"a\":",
        "{{",
    ],
    seeds: &[
        "Here it is:\n```json\n{\"path\": \"src/a.rs\", \"start\": 1, \"end\": null}\n```\nDone.",
        "{\"command\": \"make test\", \"timeout_seconds\": 100000}",
        "{\"summary\": \"It rounds half to even.\", \"commit_subject\": \"fix: rounding\"}",
        "{\"path\": \"a\", \"old\": \"x\", \"new\": \"y\"} {\"path\": \"b\", \"content\": \"\\u00e9\"}",
    ],
    longest: 1_024,
    cap: 256 * 1024,
};

const TOOLS: [&str; 10] = [
    "list_files",
    "search",
    "read_file",
    "edit_file",
    "write_file",
    "apply_patch",
    "delete_file",
    "run_command",
    "finish",
    "other",
];

fn answer(data: &[u8]) {
    let text = input::text(data, ANSWER.words);
    let Some(object) = object_in(&text) else { return };
    assert!(object.is_object());
    // What was found is found again where it stands alone.
    assert_eq!(object_in(&object.to_string()).as_ref(), Some(&object));
    for tool in TOOLS {
        match understand(tool, &object) {
            Ok(Understood::Tool(ToolRequest::Run { command, timeout_seconds })) => {
                assert!(!command.trim().is_empty());
                assert!(timeout_seconds.is_none_or(|seconds| (1..=600).contains(&seconds)));
            }
            Ok(Understood::Tool(_)) => {}
            Ok(Understood::Finish(finish)) => {
                assert!((1..=4_000).contains(&finish.summary.chars().count()));
                assert!((1..=100).contains(&finish.commit_subject.chars().count()));
                assert!(!finish.commit_subject.contains('\n'));
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
