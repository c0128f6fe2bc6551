//! What is installed for a Python project: what its files ask for, and the tools that its gates use.

use toml::{Table, Value};

use crate::gates::discover::{Project, python_declares, test_extras};
use crate::gates::model::Gate;
use crate::gates::policy::PythonSetup;
use crate::gates::run::quoted;

/// Tools that come as packages, by the words that run them.
const TOOLS: &[&str] = &[
    "pytest",
    "ruff",
    "mypy",
    "black",
    "flake8",
    "isort",
    "pylint",
    "pyright",
    "ty",
    "pyrefly",
    "interrogate",
    "validate-pyproject",
    "check-manifest",
    "vulture",
    "pydocstyle",
    "djlint",
    "codespell",
    "zizmor",
    "typos",
    "yamllint",
    "reuse",
    "cffconvert",
    "bandit",
    "pip-audit",
    "mkdocs",
    "sphinx",
];

/// Makes the virtual environment and goes into it.
pub(super) const ENVIRONMENT: &str =
    "python3 -m venv /deps/python/venv\nPATH=/deps/python/venv/bin:$PATH; export PATH";

/// The tools among a repository's gates.
pub(in crate::gates) fn tools(gates: &[Gate]) -> Vec<&'static str> {
    let runs = |gate: &Gate, tool: &str| {
        let words: Vec<&str> = gate.command.iter().map(String::as_str).collect();
        matches!(words.as_slice(), ["python3", "-m", module, ..] if *module == tool)
            || words.first() == Some(&tool)
    };
    TOOLS.iter().copied().filter(|tool| gates.iter().any(|gate| runs(gate, tool))).collect()
}

/// A virtual environment with everything in it. The project itself is installed in place, so that its gates
/// see the change's code and not the base branch's.
pub(super) fn script(project: &Project<'_>, gates: &[Gate], policy: Option<&PythonSetup>) -> String {
    let mut wanted = match policy {
        Some(policy) => policy.install.clone(),
        None => suggested(project),
    };
    let declared = python_declares(project);
    let missing = tools(gates).into_iter().filter(|tool| !declared.iter().any(|name| name == tool));
    wanted.extend(missing.map(str::to_owned));
    let mut script = ENVIRONMENT.to_owned();
    if !wanted.is_empty() {
        let words: Vec<String> = wanted.iter().map(|word| quoted(word)).collect();
        script.push_str(&format!("\npython3 -m pip install {}", words.join(" ")));
    }
    script
}

/// Arguments of `pip install` by the project's files.
fn suggested(project: &Project<'_>) -> Vec<String> {
    let mut arguments = vec![];
    for (path, _) in project.files().filter(|(path, _)| is_for_tests(path)) {
        arguments.extend(["-r".to_owned(), path.to_owned()]);
    }
    let pyproject = project.toml("pyproject.toml").unwrap_or_default();
    if is_installable(project, &pyproject) {
        let extras = extras(project, &pyproject);
        let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
        arguments.extend(["-e".to_owned(), format!(".{extras}")]);
    }
    arguments.extend(groups(&pyproject));
    arguments
}

/// The files of requirements that running and testing need: not those of documentation and releases.
fn is_for_tests(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.trim_end_matches(".txt").to_ascii_lowercase();
    let in_folder = path.strip_prefix("requirements/").is_some_and(|name| !name.contains('/'));
    let parts: Vec<&str> = stem.split(['-', '_', '.']).collect();
    let wanted = |part: &&str| {
        matches!(*part, "test" | "tests" | "testing" | "dev" | "develop" | "development" | "ci")
    };
    let named = parts.iter().any(wanted) || matches!(stem.as_str(), "requirements" | "base" | "main");
    let at_root = !path.contains('/') && stem.contains("requirements");
    path.ends_with(".txt") && (in_folder || at_root) && named
}

fn is_installable(project: &Project<'_>, pyproject: &Table) -> bool {
    let tool = |name| pyproject.get("tool").and_then(|tool| tool.get(name)).is_some();
    let metadata =
        project.text("setup.cfg").is_some_and(|text| text.lines().any(|line| line.trim() == "[metadata]"));
    pyproject.contains_key("project")
        || pyproject.contains_key("build-system")
        || tool("poetry")
        || tool("flit")
        || metadata
        || project.has("setup.py")
}

/// The project's extras for tests; the ones for development where there are none.
fn extras(project: &Project<'_>, pyproject: &Table) -> Vec<String> {
    let listed = pyproject.get("project").and_then(|project| project.get("optional-dependencies"));
    let mut names: Vec<String> =
        listed.and_then(Value::as_table).map(|table| table.keys().cloned().collect()).unwrap_or_default();
    let poetry =
        pyproject.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("extras"));
    names.extend(poetry.and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned());
    if let Some(text) = project.text("setup.cfg") {
        let section = text.lines().skip_while(|line| line.trim() != "[options.extras_require]").skip(1);
        let section = section.take_while(|line| !line.trim_start().starts_with('['));
        let keys = section
            .filter(|line| !line.starts_with([' ', '\t', '#']))
            .filter_map(|line| line.split_once('='));
        names.extend(keys.map(|(key, _)| key.trim().to_owned()));
    }
    chosen(&names)
}

fn chosen(names: &[String]) -> Vec<String> {
    let among = |wanted: &[&str]| -> Vec<String> {
        names.iter().filter(|name| wanted.contains(&name.to_ascii_lowercase().as_str())).cloned().collect()
    };
    let (tests, development) = test_extras().split_at(3);
    let for_tests = among(tests);
    if for_tests.is_empty() { among(development) } else { for_tests }
}

/// The requirements of `[dependency-groups]` (PEP 735), the groups that they include followed.
fn groups(pyproject: &Table) -> Vec<String> {
    let Some(groups) = pyproject.get("dependency-groups").and_then(Value::as_table) else { return vec![] };
    let names: Vec<String> = groups.keys().cloned().collect();
    let mut open = chosen(&names);
    let mut seen: Vec<String> = vec![];
    let mut requirements = vec![];
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        for entry in groups.get(&name).and_then(Value::as_array).into_iter().flatten() {
            match entry {
                // A requirement never begins with a hyphen, which pip would take for an option.
                Value::String(text) if !text.starts_with('-') => requirements.push(text.clone()),
                Value::Table(table) => {
                    open.extend(table.get("include-group").and_then(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
        }
        seen.push(name);
    }
    requirements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::discover::{discover, projects};
    use crate::gates::model::Ecosystem;
    use crate::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

    fn installs(files: &[(&str, &str)], policy: Option<&PythonSetup>) -> String {
        let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().into() };
        let files = files.iter().map(|(path, text)| (RepoPath::parse(*path).expect("a path"), entry(text)));
        let base = Snapshot { files: files.collect() };
        let projects = projects(&base);
        let project = projects.iter().find(|p| p.ecosystem == Ecosystem::Python).expect("a project");
        let script = script(project, &discover(&base, None).expect("in memory"), policy);
        script
            .lines()
            .find_map(|line| line.strip_prefix("python3 -m pip install "))
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn the_projects_own_files_decide_what_is_installed() {
        let pyproject = "[project]\nname = \"x\"\n[project.optional-dependencies]\ntest = [\"pytest\"]\ndocs = [\"sphinx\"]\ndev = [\"tox\"]\n\
                         [dependency-groups]\nlint = [\"ruff\"]\ndev = [\"pytest-cov\", {include-group = \"lint\"}]\n";
        let files = [
            ("pyproject.toml", pyproject),
            ("requirements.txt", "six\n"),
            ("requirements-docs.txt", "x\n"),
            ("requirements/test.txt", "y\n"),
        ];
        assert_eq!(
            installs(&files, None),
            "'-r' 'requirements.txt' '-r' 'requirements/test.txt' '-e' '.[test]' 'pytest-cov' 'ruff'"
        );
    }

    #[test]
    fn a_tool_that_only_the_gates_use_is_installed_too() {
        let files = [("setup.py", ""), ("conftest.py", "")];
        assert_eq!(installs(&files, None), "'-e' '.' 'pytest'");
        assert_eq!(installs(&[("tox.ini", "[pytest]\n")], None), "'pytest'");
    }

    #[test]
    fn a_policy_says_it_all_itself() {
        let policy = PythonSetup { install: vec!["-e".into(), ".[a b]".into()] };
        assert_eq!(installs(&[("pytest.ini", "")], Some(&policy)), "'-e' '.[a b]' 'pytest'");
    }
}
