//! Gates of Python projects.

use toml::{Table, Value};

use super::ci::Ci;
use super::project::{Project, at};
use super::{Draft, words};
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let facts = Facts::of(project, ci);
    let mut gates: Vec<Gate> = facts.pytest().or_else(|| facts.unittest()).into_iter().collect();
    let tools = [
        facts.tool(GateKind::Lint, "ruff check", "ruff", &["ruff.toml", ".ruff.toml"], "ruff check"),
        facts.ruff_format(),
        facts.tool(GateKind::Types, "mypy", "mypy", &["mypy.ini", ".mypy.ini"], facts.mypy_command()),
        facts.tool(GateKind::Format, "black", "black", &[], "python3 -m black --check ."),
        facts.tool(GateKind::Lint, "flake8", "flake8", &[".flake8"], "python3 -m flake8"),
    ];
    gates.extend(tools.into_iter().flatten());
    gates
}

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
        Some(self.gate(GateKind::Test, "pytest", "python3 -m pytest", Requirement::Required, source))
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
        let command = match folder {
            Some(folder) if !self.project.has(&format!("{folder}/__init__.py")) => {
                format!("python3 -m unittest discover -v -s {folder}")
            }
            _ => "python3 -m unittest discover -v".to_owned(),
        };
        let source = self.project.path(path);
        Some(self.gate(GateKind::Test, "unittest", &command, Requirement::Required, source))
    }

    fn tool(
        &self,
        kind: GateKind,
        name: &str,
        section: &str,
        files: &[&str],
        command: impl AsRef<str>,
    ) -> Option<Gate> {
        let mentioned = self.ci.mentions(section);
        let source = mentioned.map(str::to_owned).or_else(|| self.configured(section, files))?;
        // A type checker that is configured at all is meant; of style, what CI runs.
        let strict = mentioned.is_some() || kind == GateKind::Types;
        let requirement = if strict { Requirement::Required } else { Requirement::Advisory };
        Some(self.gate(kind, name, command.as_ref(), requirement, source))
    }

    /// ruff formats only where that is asked for: most who lint with it format with something else.
    fn ruff_format(&self) -> Option<Gate> {
        let configured =
            at(&self.pyproject, &["tool", "ruff", "format"]).map(|_| self.project.path("pyproject.toml"));
        let mentioned = self.ci.mentions("ruff format").or_else(|| self.ci.mentions("ruff-format"));
        let source = mentioned.map(str::to_owned).or(configured)?;
        let requirement = if mentioned.is_some() { Requirement::Required } else { Requirement::Advisory };
        Some(self.gate(GateKind::Format, "ruff format", "ruff format --check", requirement, source))
    }

    fn mypy_command(&self) -> &'static str {
        let names_files =
            |text: &str| text.lines().any(|l| l.starts_with("files") || l.starts_with("packages"));
        let section = at(&self.pyproject, &["tool", "mypy"]).and_then(Value::as_table);
        let in_section = section.is_some_and(|s| s.contains_key("files") || s.contains_key("packages"));
        let in_file =
            ["mypy.ini", ".mypy.ini"].iter().filter_map(|file| self.project.text(file)).any(names_files);
        if in_section || in_file { "python3 -m mypy" } else { "python3 -m mypy ." }
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
        command: &str,
        requirement: Requirement,
        source: String,
    ) -> Gate {
        // A linter reads the code and imports nothing.
        let needs_dependencies =
            matches!(kind, GateKind::Test | GateKind::Types) && has_dependencies(self.project);
        Draft { kind, tool, command: words(command), requirement, needs_dependencies, source }
            .gate(self.project)
    }
}

/// Whether the project asks for packages other than the tools that check it. Those are looked for by
/// running them.
pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    declares(project).iter().any(|name| !TOOLS.contains(&name.as_str()))
}

/// Packages that a project's code does not import.
const TOOLS: &[&str] =
    &["pytest", "ruff", "mypy", "black", "flake8", "tox", "nox", "pre-commit", "build", "twine"];

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
