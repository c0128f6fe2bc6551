//! Gates of Python projects.

use toml::{Table, Value};

use super::ci::Ci;
use super::project::{Project, at};
use super::{Draft, words};
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

/// A tool that looks at the code: what it is for, its name, the words that run it, the files that configure it,
/// and how it is run here where CI names no paths.
struct Tool {
    kind: GateKind,
    name: &'static str,
    words: &'static [&'static str],
    files: &'static [&'static str],
    command: &'static [&'static str],
    /// What it looks at where neither CI nor its configuration says.
    everything: &'static [&'static str],
}

const fn tool(
    kind: GateKind,
    words: &'static [&'static str],
    files: &'static [&'static str],
    command: &'static [&'static str],
    everything: &'static [&'static str],
) -> Tool {
    Tool { kind, name: words[0], words, files, command, everything }
}

const TOOLS_BY_CI: &[Tool] = &[
    tool(
        GateKind::Lint,
        &["ruff check", "ruff", "astral-sh/ruff-action", "chartboost/ruff-action"],
        &["ruff.toml", ".ruff.toml"],
        &["ruff", "check"],
        &[],
    ),
    tool(GateKind::Types, &["mypy"], &["mypy.ini", ".mypy.ini"], &["python3", "-m", "mypy"], &["."]),
    tool(GateKind::Format, &["black", "psf/black"], &[], &["python3", "-m", "black", "--check"], &["."]),
    tool(GateKind::Lint, &["flake8"], &[".flake8"], &["python3", "-m", "flake8"], &[]),
    tool(
        GateKind::Types,
        &["pyright", "basedpyright", "jakebailey/pyright-action"],
        &["pyrightconfig.json"],
        &["pyright"],
        &[],
    ),
    tool(GateKind::Types, &["ty check"], &["ty.toml"], &["ty", "check"], &[]),
    tool(GateKind::Types, &["pyrefly check"], &["pyrefly.toml"], &["pyrefly", "check"], &[]),
    tool(GateKind::Format, &["isort"], &[".isort.cfg"], &["python3", "-m", "isort", "--check-only"], &["."]),
    tool(GateKind::Lint, &["pylint"], &[".pylintrc"], &["python3", "-m", "pylint", "--recursive=y"], &["."]),
    tool(GateKind::Lint, &["interrogate"], &[], &["interrogate"], &["."]),
    tool(GateKind::Lint, &["validate-pyproject"], &[], &["validate-pyproject"], &["pyproject.toml"]),
    tool(GateKind::Lint, &["check-manifest"], &[], &["check-manifest"], &[]),
    tool(GateKind::Lint, &["vulture"], &[], &["vulture"], &["."]),
    tool(GateKind::Lint, &["pydocstyle"], &[], &["pydocstyle"], &[]),
    tool(GateKind::Lint, &["djlint"], &[], &["djlint", "--check"], &["."]),
];

/// Tools whose configuration alone shows that they are meant.
const CONFIGURED: &[&str] =
    &["ruff check", "mypy", "black", "flake8", "pyright", "isort", "pylint", "ty check"];

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let facts = Facts::of(project, ci);
    let mut gates: Vec<Gate> = facts.pytest().or_else(|| facts.unittest()).into_iter().collect();
    for (at, tool) in TOOLS_BY_CI.iter().enumerate() {
        gates.extend(facts.tool(tool));
        if at == 0 {
            gates.extend(facts.ruff_format());
        }
    }
    gates.extend(facts.marked_tests());
    gates.extend(facts.coverage());
    gates.extend(facts.documentation());
    gates.extend(facts.lock_file());
    gates
}

mod checks;

struct Facts<'p, 'b> {
    project: &'p Project<'b>,
    ci: &'p Ci,
    pyproject: Table,
    /// Names of packages that the project asks for in any of its files.
    declared: Vec<String>,
}

impl<'p, 'b> Facts<'p, 'b> {
    fn of(project: &'p Project<'b>, ci: &'p Ci) -> Self {
        let pyproject = project.toml("pyproject.toml").unwrap_or_default();
        Self { project, ci, pyproject, declared: declares(project) }
    }

    fn pytest(&self) -> Option<Gate> {
        let conftest = || {
            let mut files = self.project.files().map(|(path, _)| path);
            files.find(|path| path.rsplit('/').next() == Some("conftest.py"))
        };
        let source = self
            .configured("pytest", &["pytest.ini", ".pytest.ini", "pytest.toml"])
            .or_else(|| self.ci.mentions("pytest").map(str::to_owned))
            .or_else(|| self.declared_in("pytest"))
            .or_else(|| conftest().map(|path| self.project.path(path)))?;
        let command = words("python3 -m pytest");
        Some(self.gate(GateKind::Test, "pytest", command, Requirement::Required, source))
    }

    fn unittest(&self) -> Option<Gate> {
        let mut files = self.project.files();
        let (path, _) = files.find(|(path, bytes)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_test = name.starts_with("test") && name.ends_with(".py");
            is_test && String::from_utf8_lossy(bytes).contains("unittest")
        })?;
        // A folder of tests that is no package has to be named; a package is found from the root.
        let folder = path.split_once('/').map(|(folder, _)| folder);
        let command = words(&match folder {
            Some(folder) if !self.project.has(&format!("{folder}/__init__.py")) => {
                format!("python3 -m unittest discover -v -s {folder}")
            }
            _ => "python3 -m unittest discover -v".to_owned(),
        });
        let source = self.project.path(path);
        Some(self.gate(GateKind::Test, "unittest", command, Requirement::Required, source))
    }

    fn tool(&self, tool: &Tool) -> Option<Gate> {
        let mentioned =
            tool.words.iter().find_map(|words| self.ci.mentions(words).map(|file| (*words, file)));
        let section = tool.name.split(' ').next().unwrap_or(tool.name);
        let configured =
            || CONFIGURED.contains(&tool.name).then(|| self.configured(section, tool.files)).flatten();
        let source = mentioned.map(|(_, file)| file.to_owned()).or_else(configured)?;
        // A type checker that is configured at all is meant; of style, what CI runs.
        let strict = mentioned.is_some() || tool.kind == GateKind::Types;
        let requirement = if strict { Requirement::Required } else { Requirement::Advisory };
        let mut paths = mentioned.map(|(words, _)| self.paths_after(words)).unwrap_or_default();
        if paths.is_empty() && !(section == "mypy" && self.mypy_knows_its_files()) {
            paths.extend(tool.everything.iter().map(|path| (*path).to_owned()));
        }
        let mut command: Vec<String> = tool.command.iter().map(|word| (*word).to_owned()).collect();
        command.extend(paths);
        let name = if tool.name == "ruff check" { "ruff check" } else { section };
        Some(self.gate(tool.kind, name, command, requirement, source))
    }

    /// What CI lets a tool look at: the words after it that are paths of the tree.
    fn paths_after(&self, words: &str) -> Vec<String> {
        let flags = self.ci.flags_after(words).unwrap_or_default();
        let mut paths: Vec<String> = flags.iter().filter(|word| self.project.holds(word)).cloned().collect();
        paths.dedup();
        paths
    }

    /// ruff formats only where that is asked for: most who lint with it format with something else.
    fn ruff_format(&self) -> Option<Gate> {
        let configured =
            at(&self.pyproject, &["tool", "ruff", "format"]).map(|_| self.project.path("pyproject.toml"));
        let mentioned = self.ci.mentions("ruff format");
        let source = mentioned.map(str::to_owned).or(configured)?;
        let requirement = if mentioned.is_some() { Requirement::Required } else { Requirement::Advisory };
        let mut command = words("ruff format --check");
        command.extend(self.paths_after("ruff format"));
        Some(self.gate(GateKind::Format, "ruff format", command, requirement, source))
    }

    fn mypy_knows_its_files(&self) -> bool {
        let names_files =
            |text: &str| text.lines().any(|l| l.starts_with("files") || l.starts_with("packages"));
        let section = at(&self.pyproject, &["tool", "mypy"]).and_then(Value::as_table);
        let in_section = section.is_some_and(|s| s.contains_key("files") || s.contains_key("packages"));
        let in_file =
            ["mypy.ini", ".mypy.ini"].iter().filter_map(|file| self.project.text(file)).any(names_files);
        in_section || in_file
    }

    /// The file in which a tool is configured.
    fn configured(&self, tool: &str, files: &[&str]) -> Option<String> {
        let own = self.project.first(files);
        let in_pyproject = at(&self.pyproject, &["tool", tool]).map(|_| "pyproject.toml");
        let section = |file: &'static str| {
            let text = self.project.text(file)?;
            let heads = [format!("[{tool}]"), format!("[tool:{tool}]")];
            text.lines().any(|line| heads.iter().any(|head| line.trim() == head)).then_some(file)
        };
        let file = own.or(in_pyproject).or_else(|| section("setup.cfg")).or_else(|| section("tox.ini"))?;
        Some(self.project.path(file))
    }

    fn declared_in(&self, package: &str) -> Option<String> {
        let file = self.project.first(&["pyproject.toml", "setup.cfg", "setup.py", "requirements.txt"]);
        self.declared
            .iter()
            .any(|name| name == package)
            .then(|| self.project.path(file.unwrap_or("requirements files")))
    }

    fn gate(
        &self,
        kind: GateKind,
        tool: &str,
        command: Vec<String>,
        requirement: Requirement,
        source: String,
    ) -> Gate {
        // A linter reads the code and imports nothing.
        let needs_dependencies =
            matches!(kind, GateKind::Test | GateKind::Types) && has_dependencies(self.project);
        Draft { kind, tool, command, requirement, needs_dependencies, source }.gate(self.project)
    }
}

/// Whether the project asks for packages other than the tools that check it. Those are looked for by
/// running them.
pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    declares(project).iter().any(|name| !TOOLS.contains(&name.as_str()))
}

/// Packages that a project's code does not import.
const TOOLS: &[&str] = &[
    "pytest",
    "ruff",
    "mypy",
    "black",
    "flake8",
    "tox",
    "nox",
    "pre-commit",
    "build",
    "twine",
    "coverage",
    "codespell",
];

/// The names of the packages that a project's files ask for, normalised (PEP 503).
pub(in crate::gates) fn declares(project: &Project<'_>) -> Vec<String> {
    let mut found = vec![];
    for (_, bytes) in project.files().filter(|(path, _)| is_requirements_file(path)) {
        found.extend(String::from_utf8_lossy(bytes).lines().filter_map(requirement_name));
    }
    let pyproject = project.toml("pyproject.toml").unwrap_or_default();
    let strings = |value: Option<&Value>| -> Vec<String> {
        let array = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        array.iter().filter_map(Value::as_str).filter_map(requirement_name).collect()
    };
    found.extend(strings(at(&pyproject, &["project", "dependencies"])));
    for groups in [&["project", "optional-dependencies"][..], &["dependency-groups"]] {
        let groups = at(&pyproject, groups).and_then(Value::as_table);
        found.extend(groups.into_iter().flat_map(Table::values).flat_map(|group| strings(Some(group))));
    }
    for keys in [&["tool", "poetry", "dependencies"][..], &["tool", "poetry", "dev-dependencies"]] {
        found.extend(names(at(&pyproject, keys)));
    }
    let groups = at(&pyproject, &["tool", "poetry", "group"]).and_then(Value::as_table);
    found.extend(
        groups.into_iter().flat_map(Table::values).flat_map(|group| names(group.get("dependencies"))),
    );
    if let Some(text) = project.text("setup.cfg") {
        let listed = text.lines().filter(|line| line.starts_with([' ', '\t'])).filter_map(requirement_name);
        let takes = ["install_requires", "tests_require", "options.extras_require"];
        found.extend(listed.filter(|_| takes.iter().any(|key| text.contains(key))));
    }
    if project.text("setup.py").is_some_and(|text| text.contains("install_requires")) {
        found.push("setup.py".into());
    }
    found.retain(|name| name != "python");
    found.sort();
    found.dedup();
    found
}

/// The names of tables by which poetry lists packages.
fn names(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_table)
        .map(|table| table.keys().map(|key| normalised(key)).collect())
        .unwrap_or_default()
}

/// `requirements*.txt` at the root, and all of a `requirements` folder.
fn is_requirements_file(path: &str) -> bool {
    let in_folder = path.strip_prefix("requirements/").is_some_and(|name| !name.contains('/'));
    let at_root = !path.contains('/') && path.contains("requirements");
    (in_folder || at_root) && path.ends_with(".txt")
}

/// The package that a line of requirements names (PEP 508), without version, extras and markers.
fn requirement_name(line: &str) -> Option<String> {
    let line = line.trim();
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let ends_well =
        rest.is_empty() || rest.starts_with(['<', '>', '=', '!', '~', ';', '[', '@', '(', '#', ',']);
    (name.starts_with(|c: char| c.is_ascii_alphanumeric()) && ends_well).then(|| normalised(name))
}

fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The names under which projects list what their tests need, in `[project.optional-dependencies]`,
/// `[dependency-groups]` and `[options.extras_require]`.
pub(in crate::gates) fn test_extras() -> &'static [&'static str] {
    &["test", "tests", "testing", "dev", "develop", "development"]
}
