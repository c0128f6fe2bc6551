//! The table of commands: what each does and who may give it, from the same types that decide it.

use super::page::{Block, Page};
use super::text::{code, line_of};
use crate::domain::{Amount, BudgetChange, Command, Permission, Question};

/// One of each command; the text of `fix` stands for any text, the amount for any amount.
pub(super) fn commands() -> [Command; 9] {
    [
        Command::Help,
        Command::Status,
        Command::Approve,
        Command::Reject,
        Command::Retry,
        Command::Fix("<text>".to_owned()),
        Command::Cancel,
        Command::Budget(BudgetChange::Set(Amount::MicroUsd(5_000_000))),
        Command::Ask(Question { workflow: None, text: "<question>".to_owned() }),
    ]
}

/// What to type, and what follows.
pub(super) fn usage(command: &Command) -> (&'static str, &'static str) {
    match command {
        Command::Help => ("/orchestrate help", "Lists the commands."),
        Command::Status => {
            ("/orchestrate status", "Shows the state of the task, what it cost, and what it waits for.")
        }
        Command::Approve => {
            ("/orchestrate approve", "Approves the plan as it stands, like 👍 on its comment.")
        }
        Command::Reject => {
            ("/orchestrate reject", "Rejects the plan, like 👎 on its comment; the task ends.")
        }
        Command::Retry => {
            ("/orchestrate retry", "Goes on where the task stopped; a cancelled task reads the issue anew.")
        }
        Command::Fix(_) => (
            "/orchestrate fix <text>",
            "Works one more round by this instruction, and pushes on top of what is there.",
        ),
        Command::Cancel => ("/orchestrate cancel", "Stops the work. An open pull request stays as it is."),
        Command::Ask(_) => (
            "/orchestrate ask <question>",
            "Answers a question in a comment, on any issue or pull request, and changes nothing. \
             `ask rag_qa: …` answers from the repository, `ask reasoning: …` thinks it through, `ask science: …` \
             computes; without such a word it is `rag_qa`, or what the router says where one is asked.",
        ),
        Command::Budget(_) => (
            "/orchestrate budget 5",
            "Lets the task spend 5 US dollars in all on models; `+5` lets it spend 5 more, `500k tokens` counts \
             tokens. A task that stopped for its budget goes on.",
        ),
    }
}

/// Who may give a command.
pub(super) fn who(permission: Permission) -> &'static str {
    match permission {
        Permission::None => "anyone",
        Permission::Read => "people with read permission",
        Permission::Write => "people with write permission",
        Permission::Admin => "administrators",
    }
}

pub(super) fn table() -> Page {
    let mut page = Page::default();
    let rows = commands().into_iter().map(|command| {
        let (typed, effect) = usage(&command);
        vec![line_of![code(typed)], line_of![effect], line_of![who(command.needs())]]
    });
    page.push(Block::Table { head: vec!["Command", "What it does", "Who may"], rows: rows.collect() });
    page.paragraph(line_of![
        "A command stands at the start of a line of a new comment, outside of quotes and code, one in each ",
        "comment. Editing a comment gives no command.",
    ]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_command;

    #[test]
    fn what_the_table_says_to_type_is_the_command() {
        for command in commands() {
            let (typed, _) = usage(&command);
            assert_eq!(parse_command(typed), Some(Ok(command)));
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let gateway = crate::speech::tests::samples::gateway();
        let table = crate::speech::markdown::page(&gateway, &table());
        let rows = table.lines().filter(|line| line.starts_with('|'));
        let documentation = include_str!("../../docs/commands.md");
        for row in rows {
            assert!(documentation.contains(row), "docs/commands.md lacks the row\n{row}");
        }
    }

    #[test]
    fn every_verb_is_in_the_table_once() {
        // Exhaustive, so that a new command does not compile until this and the table know it.
        let place = |command: &Command| match command {
            Command::Help => 0,
            Command::Status => 1,
            Command::Approve => 2,
            Command::Reject => 3,
            Command::Retry => 4,
            Command::Fix(_) => 5,
            Command::Cancel => 6,
            Command::Budget(_) => 7,
            Command::Ask(_) => 8,
        };
        let places: Vec<usize> = commands().iter().map(place).collect();
        assert_eq!(places, (0..places.len()).collect::<Vec<_>>());
    }
}
