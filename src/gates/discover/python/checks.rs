//! Checks of a Python project that are more than one tool's run: marked tests, a floor for what tests reach,
//! documentation, and the lock file.

use super::Facts;
use super::has_dependencies;
use crate::domain::{GateKind, Requirement};
use crate::gates::discover::project::at;
use crate::gates::discover::shell::is_literal;
use crate::gates::discover::{python_tasks, words};
use crate::gates::model::Gate;

impl Facts<'_, '_> {
    /// Tests with a mark that the others leave out.
    pub(super) fn marked_tests(&self) -> Vec<Gate> {
        let mut gates: Vec<Gate> = vec![];
        for (line, words) in self.ci.calls_of("pytest") {
            let mark = words.iter().position(|word| word == "-m").and_then(|at| words.get(at + 1));
            let Some(mark) = mark.filter(|mark| is_literal(mark) && !mark.contains("not ")) else { continue };
            let name = format!("pytest -m {mark}");
            if gates.iter().all(|gate| gate.name != name) {
                let command = ["python3", "-m", "pytest", "-m", mark].map(str::to_owned).to_vec();
                gates.push(self.gate(
                    GateKind::Test,
                    &name,
                    command,
                    Requirement::Required,
                    line.file.clone(),
                ));
            }
        }
        gates
    }

    /// A floor that the configuration sets.
    fn floor(&self) -> Option<String> {
        let in_pyproject =
            at(&self.pyproject, &["tool", "coverage", "report", "fail_under"]).map(|_| "pyproject.toml");
        let sets = |file: &&&str| {
            let text = self.project.text(file).unwrap_or_default();
            text.lines().any(|line| line.trim_start().starts_with("fail_under"))
        };
        let file =
            in_pyproject.or_else(|| [".coveragerc", "setup.cfg", "tox.ini"].iter().find(sets).copied())?;
        Some(self.project.path(file))
    }

    /// A floor that the tests' reach has to keep: `coverage report` fails below it.
    pub(super) fn coverage(&self) -> Option<Gate> {
        self.reported_coverage().or_else(|| {
            let file = self.floor()?;
            self.pytest()?;
            Some(self.coverage_gate("-m pytest", "", file))
        })
    }

    fn coverage_gate(&self, runs: &str, floor: &str, file: String) -> Gate {
        // Parts are put together where there are any.
        let script = format!(
            "python3 -m coverage run {runs} && {{ python3 -m coverage combine || true; }} && python3 -m coverage report{floor}"
        );
        let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
        let mut gate = self.gate(GateKind::Coverage, "coverage", command, Requirement::Required, file);
        gate.needs_dependencies = has_dependencies(self.project).then_some(self.project.ecosystem);
        gate
    }

    fn reported_coverage(&self) -> Option<Gate> {
        let report = self.ci.calls_of("coverage").find(|(_, words)| {
            words.first().is_some_and(|word| word == "report")
                && !words.iter().any(|word| word == "--format=markdown")
        });
        let (line, words) = report?;
        let floor = words.iter().find(|word| word.starts_with("--fail-under="));
        let run =
            self.ci.calls_of("coverage").find(|(_, words)| words.first().is_some_and(|word| word == "run"));
        let runs = run
            .map(|(_, words)| words[1..].iter().filter(|word| is_literal(word)).cloned().collect::<Vec<_>>());
        let runs = runs.filter(|words| words.len() > 1 && words.iter().any(|word| word == "pytest"));
        let runs = runs.map_or_else(|| "-m pytest".to_owned(), |words| words.join(" "));
        let floor = floor.map(|floor| format!(" {floor}")).unwrap_or_default();
        Some(self.coverage_gate(&runs, &floor, line.file.clone()))
    }

    /// Documentation that CI builds with warnings as errors, or whose examples it runs.
    pub(super) fn documentation(&self) -> Vec<Gate> {
        let mut gates: Vec<Gate> = vec![];
        for (line, said) in self.ci.calls_of("sphinx-build") {
            let after = |option: &str| {
                let at = said.iter().position(|word| word == option)?;
                said.get(at + 1).map(String::as_str)
            };
            let builder = after("-b").or_else(|| after("-M")).unwrap_or("html");
            let strict = said.iter().any(|word| word == "-W" || word == "--fail-on-warning");
            let folder = said.iter().find(|word| !word.starts_with('-') && self.is_folder(word));
            // An environment of tox builds it for whoever asks; CI's own step is a check.
            let strict =
                strict && builder.contains("html") && !python_tasks::FILES.contains(&line.file.as_str());
            let (Some(folder), true) = (folder, builder == "doctest" || strict) else {
                continue;
            };
            let (kind, name) = match builder {
                "doctest" => (GateKind::Test, "sphinx doctest".to_owned()),
                builder => (GateKind::Lint, format!("sphinx {builder}")),
            };
            if gates.iter().all(|gate| gate.name != name) {
                let command =
                    words(&format!("python3 -m sphinx -W -b {builder} {folder} /tmp/documentation"));
                gates.push(self.gate(kind, &name, command, Requirement::Required, line.file.clone()));
            }
        }
        let mut mkdocs = self.ci.calls_of("mkdocs");
        if let Some((line, _)) = mkdocs.find(|(_, words)| words.first().is_some_and(|word| word == "build")) {
            let command = words("python3 -m mkdocs build --site-dir /tmp/documentation");
            gates.push(self.gate(
                GateKind::Lint,
                "mkdocs",
                command,
                Requirement::Required,
                line.file.clone(),
            ));
        }
        for gate in &mut gates {
            gate.needs_dependencies = has_dependencies(self.project).then_some(self.project.ecosystem);
        }
        gates
    }

    fn is_folder(&self, word: &str) -> bool {
        let inside = format!("{}/", word.trim_start_matches("./").trim_end_matches('/'));
        self.project.files().any(|(file, _)| file.starts_with(&inside))
    }

    /// Whether the lock file says what the manifest asks. `uv lock --check` asks the registry, which gates do
    /// not reach.
    pub(super) fn lock_file(&self) -> Option<Gate> {
        let source = self.ci.mentions("poetry check")?.to_owned();
        let command = words("poetry check");
        Some(self.gate(GateKind::Custom, "poetry check", command, Requirement::Required, source))
    }
}
