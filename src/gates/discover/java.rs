//! Gates of Java projects that Maven or Gradle build.

use std::sync::LazyLock;

use regex::Regex;

use super::Draft;
use super::ci::Ci;
use super::pattern;
use super::project::Project;
use super::shell::is_literal;
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
    let build_file = match tool {
        JavaTool::Maven(_) => "pom.xml",
        JavaTool::Gradle(_) => project.first(GRADLE_FILES).unwrap_or("build.gradle"),
    };
    let asked = match tool {
        JavaTool::Maven(_) => maven_goals(project, ci),
        JavaTool::Gradle(_) => gradle_tasks(ci),
    };
    let tests: &[&str] = match tool {
        JavaTool::Maven(_) => &["verify", "install", "test", "package"],
        JavaTool::Gradle(_) => &["build", "check", "test"],
    };
    let mut gates = vec![];
    // What CI runs may hold checks of its own, such as integration tests; it never installs or deploys here.
    let by_ci =
        tests.iter().find_map(|name| asked.iter().find(|one| one.name == *name && one.options.is_empty()));
    let tested = match by_ci.map(|one| one.name.as_str()) {
        Some("verify" | "install") => "verify",
        Some("build" | "check") => "check",
        _ => "test",
    };
    let source = by_ci.map(|one| one.file.clone()).unwrap_or_else(|| project.path(build_file));
    gates.push(gate(project, tool, (GateKind::Test, &[tested.to_owned()]), source));
    for one in &asked {
        if one.options.is_empty() && tests.contains(&one.name.as_str()) {
            continue;
        }
        let Some(kind) = kind(&one.name) else { continue };
        gates.push(gate(project, tool, (kind, &one.words(tool)), one.file.clone()));
    }
    let text = project.text(build_file).unwrap_or_default();
    for (kind, name, goal, task) in PLUGINS {
        let names_it = text.contains(&format!("{name}-maven-plugin"))
            || text.contains(&format!("maven-{name}-plugin"))
            || matches!(tool, JavaTool::Gradle(_)) && text.contains(name);
        let word = if matches!(tool, JavaTool::Maven(_)) { goal } else { task };
        // `check` and `verify` run those that are bound to them.
        if names_it && tested == "test" && asked.iter().all(|one| one.name != **word) {
            let words = Asked::new(word, "").words(tool);
            let mut found = gate(project, tool, (*kind, &words), project.path(build_file));
            found.requirement = Requirement::Advisory;
            gates.push(found);
        }
    }
    gates
}

/// A goal of Maven or a task of Gradle that CI asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    name: String,
    /// What chooses a part of the build, as CI says it.
    options: Vec<String>,
    file: String,
}

impl Asked {
    fn new(name: &str, file: &str) -> Self {
        Self { name: name.to_owned(), options: vec![], file: file.to_owned() }
    }

    /// The goal with what it needs before it: a plug-in that looks at classes finds none in a fresh tree.
    fn words(&self, tool: JavaTool) -> Vec<String> {
        let mut words = self.options.clone();
        let is_plugin = self.name.contains(':');
        let by_source = ["spotless", "checkstyle", "rat", "license", "formatter", "fmt", "sortpom"];
        if matches!(tool, JavaTool::Maven(_))
            && is_plugin
            && !by_source.iter().any(|name| self.name.contains(name))
        {
            words.extend(["-DskipTests", "package"].map(str::to_owned));
        }
        words.push(self.name.clone());
        words
    }
}

/// The goals that CI calls Maven with, each with the profiles and modules of its line. Where it names none,
/// the build file's default.
fn maven_goals(project: &Project<'_>, ci: &Ci) -> Vec<Asked> {
    let mut found: Vec<Asked> = vec![];
    for call in ci.calls().filter(|call| matches!(call.words[0].trim_start_matches("./"), "mvn" | "mvnw")) {
        let (mut goals, mut options) = (vec![], vec![]);
        let mut words = call.words[1..].iter();
        let mut known = true;
        while let Some(word) = words.next() {
            match word.as_str() {
                "-P" | "--activate-profiles" | "-pl" | "--projects" => {
                    let value = words.next().cloned().unwrap_or_default();
                    known &= is_literal(&value);
                    options.extend([word.clone(), value]);
                }
                "-am" | "--also-make" => options.push(word.clone()),
                "-f" | "--file" | "-s" | "--settings" | "-T" | "--threads" | "-D" => drop(words.next()),
                _ if word.starts_with("-P") => options.push(word.clone()),
                // It builds a part that other steps test.
                "-DskipTests" | "-Dmaven.test.skip" | "-Dmaven.test.skip=true" | "-DskipTests=true" => {}
                _ if word.starts_with('-') || !is_literal(word) => {}
                _ => goals.push(word.clone()),
            }
        }
        let by_default =
            goals.is_empty() && !call.words.iter().any(|word| word == "--version" || word == "-v");
        if by_default {
            goals.extend(default_goals(project));
        }
        // Another virtual machine is not there.
        let elsewhere = |word: &String| word.contains("native") && !word.starts_with('!');
        if !known || options.iter().any(elsewhere) {
            continue;
        }
        for goal in goals {
            // A plug-in named by its coordinates is known by its own name in the build.
            let one = Asked { name: goal, options: options.clone(), file: call.line.file.clone() };
            if !found.iter().any(|other| (&other.name, &other.options) == (&one.name, &one.options)) {
                found.push(one);
            }
        }
    }
    // A goal of the whole build is not asked for again of a part.
    let whole = |name: &str| found.iter().any(|one| one.name == name && one.options.is_empty());
    found
        .iter()
        .filter(|one| one.options.iter().all(|word| !is_module(word)) || !whole(&one.name))
        .cloned()
        .collect()
}

fn is_module(word: &str) -> bool {
    matches!(word, "-pl" | "--projects")
}

fn default_goals(project: &Project<'_>) -> Vec<String> {
    static GOAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"<defaultGoal>\s*([^<]+?)\s*</defaultGoal>"));
    let text = project.text("pom.xml").unwrap_or_default();
    let found = GOAL.captures(text).map(|found| super::words(&found[1])).unwrap_or_default();
    if found.is_empty() { vec!["verify".to_owned()] } else { found }
}

fn gradle_tasks(ci: &Ci) -> Vec<Asked> {
    let mut found: Vec<Asked> = vec![];
    let valued =
        ["-x", "--exclude-task", "--tests", "--init-script", "-I", "-b", "-p", "--project-dir", "-D", "-P"];
    for call in
        ci.calls().filter(|call| matches!(call.words[0].trim_start_matches("./"), "gradle" | "gradlew"))
    {
        let mut words = call.words[1..].iter();
        while let Some(word) = words.next() {
            if valued.contains(&word.as_str()) {
                words.next();
            } else if !word.starts_with('-') && is_literal(word) && found.iter().all(|one| one.name != *word)
            {
                found.push(Asked::new(word, &call.line.file));
            }
        }
    }
    found
}

/// What a goal or task is for, by its name. `None`: it checks nothing.
fn kind(name: &str) -> Option<GateKind> {
    let lower = name.to_ascii_lowercase();
    // Of `:module:task` and `plugin:goal@execution` the words count alike.
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match () {
        () if says(&[
            "publish", "release", "deploy", "upload", "install", "clean", "assemble", "emulator",
        ]) =>
        {
            None
        }
        // Another virtual machine or a device is not there.
        () if says(&["native", "connected", "android", "ios", "sonar"]) && !says(&["animal-sniffer"]) => None,
        () if says(&["spotless", "ktfmt", "formatter", "fmt:check"]) => Some(GateKind::Format),
        () if says(&["coverage", "jacoco", "kover"]) => Some(GateKind::Coverage),
        () if says(&[
            "checkstyle",
            "pmd",
            "spotbugs",
            "detekt",
            "lint",
            "javadoc",
            "rat:check",
            "enforce",
            "dokka",
        ]) =>
        {
            Some(GateKind::Lint)
        }
        () if says(&["test", "verify", "jmh"]) => Some(GateKind::Test),
        () if says(&["check", "compare", "cmp", "validate", "analyze"]) => Some(GateKind::Custom),
        () => None,
    }
}

fn gate(project: &Project<'_>, tool: JavaTool, what: (GateKind, &[String]), source: String) -> Gate {
    let (kind, words) = what;
    let (program, options) = match tool {
        JavaTool::Maven(program) => (program, ["-B", "-o"]),
        JavaTool::Gradle(program) => (program, ["--offline", "--no-daemon"]),
    };
    let mut command = vec![program.to_owned()];
    command.extend(options.map(str::to_owned));
    command.extend(words.iter().cloned());
    let name = format!("{} {}", program.trim_start_matches("./"), words.last().map_or("", String::as_str));
    let (requirement, needs_dependencies) = (Requirement::Required, true);
    Draft { kind, tool: &name, command, requirement, needs_dependencies, source }.gate(project)
}
