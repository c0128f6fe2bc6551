//! Gates of Java projects that Maven or Gradle build.

use super::Draft;
use super::ci::Ci;
use super::project::Project;
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

/// What builds a project, and the program to call: the wrapper that it carries where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gates) enum JavaTool {
    Maven(&'static str),
    Gradle(&'static str),
}

const GRADLE_FILES: &[&str] = &["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];

impl JavaTool {
    pub(in crate::gates) fn of(project: &Project<'_>) -> Self {
        let maven = Self::Maven(if project.has("mvnw") { "./mvnw" } else { "mvn" });
        match (project.first(GRADLE_FILES), project.has("pom.xml"), project.has("gradlew")) {
            (Some(_), _, true) => Self::Gradle("./gradlew"),
            (Some(_), false, false) => Self::Gradle("gradle"),
            _ => maven,
        }
    }
}

/// Plug-ins of both, by what names them in a build file.
const PLUGINS: &[(GateKind, &str, &str, &str)] = &[
    (GateKind::Format, "spotless", "spotless:check", "spotlessCheck"),
    (GateKind::Lint, "checkstyle", "checkstyle:check", "checkstyleMain"),
    (GateKind::Lint, "spotbugs", "spotbugs:check", "spotbugsMain"),
    (GateKind::Lint, "pmd", "pmd:check", "pmdMain"),
];

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let tool = JavaTool::of(project);
    let mut gates = vec![];
    let tests = match tool {
        // What CI runs may hold checks of its own, such as integration tests.
        JavaTool::Maven(_) if runs(ci, "mvn", "verify") => "verify",
        JavaTool::Gradle(_) if runs(ci, "gradlew", "check") || runs(ci, "gradlew", "build") => "check",
        _ => "test",
    };
    let build_file = match tool {
        JavaTool::Maven(_) => "pom.xml",
        JavaTool::Gradle(_) => project.first(GRADLE_FILES).unwrap_or("build.gradle"),
    };
    let from_ci = ["mvn", "mvnw", "./mvnw", "gradle", "gradlew", "./gradlew"];
    let source = from_ci.iter().find_map(|words| ci.mentions(words)).map(str::to_owned);
    let source = source.unwrap_or_else(|| project.path(build_file));
    gates.push(gate(project, tool, (GateKind::Test, tests, tests), source));
    let text = project.text(build_file).unwrap_or_default();
    for (kind, name, goal, task) in PLUGINS {
        let names_it = text.contains(&format!("{name}-maven-plugin"))
            || text.contains(&format!("maven-{name}-plugin"))
            || matches!(tool, JavaTool::Gradle(_)) && text.contains(name);
        // `check` and `verify` run those that are bound to them.
        let mentioned = ci.mentions(goal).or_else(|| ci.mentions(task));
        if names_it && (mentioned.is_some() || tests == "test") {
            let source = mentioned.map_or_else(|| project.path(build_file), str::to_owned);
            let mut found = gate(project, tool, (*kind, goal, task), source);
            found.requirement = super::required_if(mentioned.is_some());
            gates.push(found);
        }
    }
    gates
}

/// Whether CI calls this program for this goal or task, with whatever options in between.
fn runs(ci: &Ci, program: &str, goal: &str) -> bool {
    let programs = [program.to_owned(), format!("./{program}"), format!("./{program}w")];
    programs.iter().any(|program| ci.runs(program, goal))
}

fn gate(project: &Project<'_>, tool: JavaTool, what: (GateKind, &str, &str), source: String) -> Gate {
    let (kind, goal, task) = what;
    let (program, options, task) = match tool {
        JavaTool::Maven(program) => (program, ["-B", "-o"], goal),
        JavaTool::Gradle(program) => (program, ["--offline", "--no-daemon"], task),
    };
    let mut command = vec![program.to_owned()];
    command.extend(options.map(str::to_owned));
    command.push(task.to_owned());
    let name = format!("{} {task}", program.trim_start_matches("./"));
    let (requirement, needs_dependencies) = (Requirement::Required, true);
    Draft { kind, tool: &name, command, requirement, needs_dependencies, source }.gate(project)
}
