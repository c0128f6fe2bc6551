//! The command line of an agent: what an operator wrote, with its placeholders filled.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::sandbox::{Access, Command, Limits, Mount, Network, SERVICE_INSIDE};

/// Where the task stands as a file, which is also the command's standard input.
pub const PROMPT_FILE: &str = "/tmp/prompt.md";
/// Linux takes no argument of 128 KiB or more (`MAX_ARG_STRLEN`, execve(2)); UTF-8 and the line around it need room.
const LONGEST_ARGUMENT: usize = 120_000;
/// What stands for a key inside: agents insist on one, and none opens anything there.
const NO_KEY: &str = "no-key-inside-the-sandbox";
/// The names that may stand in braces.
const PLACEHOLDERS: [&str; 5] = ["prompt", "prompt_file", "model", "proxy_url", "key"];

/// An agent's command as an operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCommand {
    /// Program and arguments, with placeholders.
    pub argv: Vec<String>,
    /// Variables, with placeholders.
    pub env: BTreeMap<String, String>,
    /// Folders and files of the host that are visible inside at the same place, read-only.
    pub mounts: Vec<PathBuf>,
}

/// What the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    pub prompt: &'a str,
    /// As the provider calls it.
    pub model: &'a str,
    /// Folders that come before the sandbox's own `PATH`, each with a colon behind it; may be empty.
    pub path: &'a str,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCommand(pub String);

impl AgentCommand {
    /// Refuses a command that cannot work, or that would not be told its task.
    pub fn check(&self) -> Result<(), InvalidCommand> {
        let fault = |problem: String| Err(InvalidCommand(problem));
        match self.argv.first() {
            None => return fault("`argv` has to name a program".into()),
            Some(program) if program.is_empty() || program.starts_with('-') || program.contains('{') => {
                return fault(format!("{program:?} is not the name of a program"));
            }
            Some(_) => {}
        }
        for text in self.argv.iter().chain(self.env.values()) {
            unknown_placeholder(text).map_or(Ok(()), |name| {
                let names = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
                fault(format!("{{{name}}} is no placeholder; these are: {names}"))
            })?;
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return fault(format!("{name:?} is not the name of a variable"));
        }
        if let Some(place) = self.mounts.iter().find(|place| !place.is_absolute()) {
            return fault(format!("{} has to be an absolute path", place.display()));
        }
        Ok(())
    }

    /// The command for the sandbox. Its prompt is its standard input and stands in [`PROMPT_FILE`]; one that is too
    /// long for an argument is named there instead.
    pub fn command(&self, filled: Filled<'_>, limits: Limits, socket: PathBuf) -> Command {
        let in_the_file = format!("Read your task in the file {PROMPT_FILE} and carry out what it says.");
        let prompt = if filled.prompt.len() <= LONGEST_ARGUMENT && !filled.prompt.contains('\0') {
            filled.prompt
        } else {
            &in_the_file
        };
        let url = format!("http://{SERVICE_INSIDE}");
        let fill = |text: &String| {
            substitute(text, |name| match name {
                "prompt" => Some(prompt),
                "prompt_file" => Some(PROMPT_FILE),
                "model" => Some(filled.model),
                "proxy_url" => Some(&url),
                "key" => Some(NO_KEY),
                _ => None,
            })
        };
        // On every backend the one way to bring a text in without a mount is the standard input.
        let script = format!(
            "PATH=\"$1$PATH\"; export PATH; shift; cat > {PROMPT_FILE} && exec \"$@\" < {PROMPT_FILE}"
        );
        let shell = ["/bin/sh", "-c", &script, "agent", filled.path].map(str::to_owned);
        let mount =
            |place: &PathBuf| Mount { host: place.clone(), inside: place.clone(), access: Access::ReadOnly };
        Command {
            env: self.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
            stdin: Some(filled.prompt.as_bytes().to_vec()),
            limits,
            network: Network::Service(socket),
            mounts: self.mounts.iter().map(mount).collect(),
            ..Command::new(shell.into_iter().chain(self.argv.iter().map(fill)))
        }
    }
}

/// A name in braces that stands for nothing. Braces around anything but a plain word are text.
fn unknown_placeholder(text: &str) -> Option<String> {
    let mut unknown = None;
    substitute(text, |name| {
        if !PLACEHOLDERS.contains(&name) {
            unknown.get_or_insert_with(|| name.to_owned());
        }
        None
    });
    unknown
}

/// Replaces `{name}` by what `value` gives for the name; what was filled in is not looked at again.
fn substitute<'v>(text: &str, mut value: impl FnMut(&str) -> Option<&'v str>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        filled.push_str(before);
        let name = after[1..].split('}').next().filter(|name| after.len() > name.len() + 1);
        let name = name.filter(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        match name.and_then(|name| Some((name, value(name)?))) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &after[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &after[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(argv: &[&str], env: &[(&str, &str)]) -> AgentCommand {
        AgentCommand {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            mounts: vec![],
        }
    }

    fn filled(agent: &AgentCommand, prompt: &str) -> Command {
        agent.command(Filled { prompt, model: "m-1", path: "" }, Limits::default(), "/s".into())
    }

    #[test]
    fn placeholders_are_filled_once_and_what_they_bring_is_text() {
        let agent = agent(
            &["claude", "-p", "{prompt}", "--model={model}", "{\"a\": {}}", "{prompt_file}"],
            &[("BASE", "{proxy_url}/v1"), ("KEY", "{key}")],
        );
        agent.check().expect("a good command");
        let command = filled(&agent, "do {model}; rm -rf \"$HOME\"");
        let words: Vec<&str> = command.argv.iter().skip(5).map(String::as_str).collect();
        assert_eq!(
            words,
            ["claude", "-p", "do {model}; rm -rf \"$HOME\"", "--model=m-1", "{\"a\": {}}", "/tmp/prompt.md"]
        );
        assert_eq!(command.env["BASE"], "http://127.0.0.1:3128/v1");
        assert_eq!(command.env["KEY"], NO_KEY);
        assert_eq!(command.network, Network::Service("/s".into()));
    }

    #[test]
    fn a_prompt_that_is_too_long_for_an_argument_is_read_from_the_file() {
        let agent = agent(&["aider", "--message", "{prompt}"], &[]);
        let long = "ü".repeat(70_000);
        let command = filled(&agent, &long);
        assert!(command.argv.last().is_some_and(|word| word.contains(PROMPT_FILE) && word.len() < 200));
        assert_eq!(command.stdin.as_deref(), Some(long.as_bytes()));
    }

    #[test]
    fn a_command_that_cannot_work_is_refused() {
        let cases = [
            (agent(&[], &[]), "has to name a program"),
            (agent(&["{prompt}"], &[]), "is not the name of a program"),
            (agent(&["-p"], &[]), "is not the name of a program"),
            (agent(&["a", "{promt}"], &[]), "{promt} is no placeholder"),
            (agent(&["a"], &[("X", "{url}")]), "{url} is no placeholder"),
            (agent(&["a"], &[("X=", "1")]), "is not the name of a variable"),
            (AgentCommand { mounts: vec!["opt".into()], ..agent(&["a"], &[]) }, "an absolute path"),
        ];
        for (agent, part) in cases {
            let error = agent.check().expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
