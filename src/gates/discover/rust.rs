//! Gates of Rust projects.

use toml::{Table, Value};

use super::ci::Ci;
use super::project::{Project, at};
use super::shell::is_literal;
use super::workflow::Line;
use super::{Draft, required_if, words};
use crate::domain::{GateKind, Requirement};
use crate::gates::model::Gate;

pub(super) fn gates(project: &Project<'_>, ci: &Ci) -> Vec<Gate> {
    let calls = Calls { project, found: calls(ci), needs_dependencies: has_dependencies(project) };
    let mut gates = vec![calls.test()];
    gates.extend(calls.parts());
    gates.extend(calls.format(ci));
    gates.extend(calls.clippy(ci));
    gates.extend(calls.check());
    gates.extend(calls.doc());
    gates.extend(calls.others());
    gates
}

/// What CI asks of cargo.
struct Calls<'a> {
    project: &'a Project<'a>,
    found: Vec<Call<'a>>,
    needs_dependencies: bool,
}

struct Call<'a> {
    line: &'a Line,
    sub: String,
    flags: Vec<String>,
}

/// Options that make a run say more, or that a sandbox without network has anyway, and those of one machine.
const DROPPED: &[&str] = &["--verbose", "-v", "-vv", "--quiet", "-q", "--locked", "--frozen", "--offline"];
/// What chooses a part of the workspace or of its tests.
const PARTS: &[&str] = &["-p", "--package", "--manifest-path", "--bin", "--test", "--bench", "--example"];

fn calls(ci: &Ci) -> Vec<Call<'_>> {
    let calls = ci.calls().filter_map(|call| {
        // A plug-in may be called by the name of its own program.
        let own = call.words[0].strip_prefix("cargo-").map(str::to_owned);
        if own.is_none() && call.words[0] != "cargo" {
            return None;
        }
        let mut words = call.words.into_iter().skip(1).skip_while(|word| word.starts_with('+'));
        let sub = own.or_else(|| words.next()).unwrap_or_default();
        Some(Call { line: call.line, sub, flags: without_dropped(words) })
    });
    // Another target needs a compiler of its own.
    calls.filter(|call| !call.flags.iter().any(|flag| flag == "--target")).collect()
}

fn without_dropped(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words.peekable();
    let mut ours = true;
    while let Some(word) = words.next() {
        ours = ours && word != "--";
        let host = |target: &String| target.contains("x86_64-unknown-linux-gnu") || !is_literal(target);
        if ours && word == "--target" && words.peek().is_some_and(host) {
            words.next();
        } else if !(ours && DROPPED.contains(&word.as_str())) {
            kept.push(word);
        }
    }
    kept
}

impl Call<'_> {
    fn is_known(&self) -> bool {
        self.flags.iter().all(|flag| is_literal(flag))
    }

    fn has_any(&self, wanted: &[&str]) -> bool {
        let is = |flag: &String| wanted.contains(&flag.split('=').next().unwrap_or_default());
        self.flags.iter().take_while(|flag| *flag != "--").any(is)
    }
}

impl Calls<'_> {
    fn of<'s>(&'s self, sub: &'s str) -> impl Iterator<Item = &'s Call<'s>> {
        self.found.iter().filter(move |call| call.sub == sub)
    }

    fn gate(&self, kind: GateKind, tool: &str, command: Vec<String>, source: &str) -> Gate {
        let (requirement, needs_dependencies) = (Requirement::Required, self.needs_dependencies);
        Draft { kind, tool, command, requirement, needs_dependencies, source: source.to_owned() }
            .gate(self.project)
    }

    fn test(&self) -> Gate {
        let whole =
            |call: &&Call<'_>| !call.has_any(PARTS) && !call.has_any(&["--no-run", "--doc", "--benches"]);
        let call = self.of("test").find(whole).or_else(|| self.of("nextest").find(whole));
        let call = call.or_else(|| self.of("test").next());
        let source = call.map_or_else(|| self.project.path("Cargo.toml"), |call| call.line.file.clone());
        // A failure that is old must not hide what comes after it.
        let mut command = words("cargo test --no-fail-fast");
        let flags =
            call.filter(|call| !call.has_any(PARTS)).map(|call| call.flags.as_slice()).unwrap_or_default();
        let taken =
            ["--workspace", "--all", "--all-features", "--no-default-features", "--all-targets", "--benches"];
        command.extend(known(flags, &taken));
        self.gate(GateKind::Test, "cargo test", command, &source)
    }

    /// Tests that CI asks of one package or with one feature, beside those of the whole.
    fn parts(&self) -> Vec<Gate> {
        let is_part = |call: &&Call<'_>| {
            call.has_any(&["-p", "--package", "--manifest-path"])
                && !call.has_any(&["--no-run", "--bin", "--lib"])
                && call.is_known()
                && !call.flags.iter().any(|flag| flag == "--nocapture")
        };
        // What ends in the same arguments but for features is the same part: the last asks for most.
        let mut gates: Vec<(String, Gate)> = vec![];
        for call in self.of("test").filter(is_part) {
            let package = after(&call.flags, &["-p", "--package", "--manifest-path"]).unwrap_or_default();
            let mut command = words("cargo test --no-fail-fast");
            command.extend(call.flags.iter().cloned());
            let gate = self.gate(GateKind::Test, &format!("cargo test {package}"), command, &call.line.file);
            gates.retain(|(other, _)| *other != package);
            gates.push((package, gate));
        }
        gates.into_iter().map(|(_, gate)| gate).take(MOST).collect()
    }

    fn format(&self, ci: &Ci) -> Option<Gate> {
        let configured = self.project.first(&["rustfmt.toml", ".rustfmt.toml"]);
        let configured = configured.map(|file| self.project.path(file));
        let call = self.of("fmt").next();
        let mentioned = call.map(|call| call.line.file.as_str()).or_else(|| ci.mentions("rustfmt"));
        let source = mentioned.map(str::to_owned).or(configured)?;
        let mut command = words("cargo fmt --check");
        command.extend(known(call.map(|call| call.flags.as_slice()).unwrap_or_default(), &["--all"]));
        let mut gate = self.gate(GateKind::Format, "cargo fmt", command, &source);
        (gate.needs_dependencies, gate.requirement) = (None, required_if(mentioned.is_some()));
        Some(gate)
    }

    fn clippy(&self, ci: &Ci) -> Option<Gate> {
        let manifest = self.project.toml("Cargo.toml").unwrap_or_default();
        let lints =
            at(&manifest, &["lints", "clippy"]).or_else(|| at(&manifest, &["workspace", "lints", "clippy"]));
        let configured = self.project.first(&["clippy.toml", ".clippy.toml"]).or(lints.map(|_| "Cargo.toml"));
        let whole = self.of("clippy").find(|call| !call.has_any(PARTS));
        let call = whole.or_else(|| self.of("clippy").next());
        let by_action =
            || ["actions-rs/clippy-check", "giraffate/clippy-action"].iter().find_map(|one| ci.mentions(one));
        let mentioned = call.map(|call| call.line.file.as_str()).or_else(by_action);
        let source = mentioned.map(str::to_owned).or(configured.map(|file| self.project.path(file)))?;
        let flags = call.map(|call| call.flags.as_slice()).unwrap_or_default();
        let mut command = words("cargo clippy");
        let taken = ["--workspace", "--all", "--all-features", "--all-targets", "--tests", "--lib", "--bins"];
        command.extend(known(flags, &taken));
        let denied = denied(flags);
        if !denied.is_empty() {
            command.push("--".into());
            command.extend(denied);
        }
        let mut gate = self.gate(GateKind::Lint, "cargo clippy", command, &source);
        gate.requirement = required_if(mentioned.is_some());
        Some(gate)
    }

    /// Builds that the tests do not do anyway: of other packages, and with other features.
    fn check(&self) -> Vec<Gate> {
        let tested = self.found.iter().any(|call| call.sub == "test" || call.sub == "nextest");
        let mut gates: Vec<(Option<String>, Gate)> = vec![];
        for call in self.of("check") {
            let flags: Vec<String> = call.flags.iter().filter(|flag| is_literal(flag)).cloned().collect();
            let complete = flags.len() == call.flags.len();
            let manifest = after(&flags, &["--manifest-path"]);
            if tested && flags.is_empty() || gates.iter().any(|(of, _)| *of == manifest) {
                continue;
            }
            let mut command = words("cargo check");
            let taken = ["--workspace", "--all", "--all-features", "--all-targets", "--no-default-features"];
            command.extend(if complete { flags } else { known(&flags, &taken) });
            let place = manifest.as_deref().map(|path| format!(" {path}")).unwrap_or_default();
            let gate = self.gate(GateKind::Custom, &format!("cargo check{place}"), command, &call.line.file);
            gates.push((manifest, gate));
        }
        gates.into_iter().map(|(_, gate)| gate).take(MOST).collect()
    }

    /// Documentation fails on a warning where CI says so: that is a variable there.
    fn doc(&self) -> Option<Gate> {
        let call = self.of("doc").chain(self.of("rustdoc")).next()?;
        let mut command = vec![];
        let variable = call.line.env.get("RUSTDOCFLAGS").map(|flags| flags.replace(' ', ""));
        if variable.is_some_and(|flags| flags.to_lowercase().contains("-dwarnings")) {
            command.extend(words("env RUSTDOCFLAGS=-Dwarnings"));
        }
        command.extend(words("cargo doc"));
        let taken =
            ["--workspace", "--all", "--all-features", "--no-deps", "--document-private-items", "--lib"];
        command.extend(known(&call.flags, &taken));
        Some(self.gate(GateKind::Lint, "cargo doc", command, &call.line.file))
    }

    /// Commands that come with cargo's plug-ins, as CI calls them.
    fn others(&self) -> Vec<Gate> {
        let mut gates = vec![];
        for (kind, sub) in OTHERS {
            let said = |call: &&Call<'_>| {
                // What brings the lock file up to date checks it only if it may not.
                let checks = *sub != "update" || call.line.text.contains("--locked");
                checks && call.is_known() && !call.flags.iter().any(|flag| flag == "setup")
            };
            // Another set of features is a variant, another thing to do with it is not.
            let mut done: Vec<Option<&String>> = vec![];
            for call in self.of(sub).filter(said) {
                let doing = call
                    .flags
                    .iter()
                    .find(|flag| !flag.starts_with('-') && SUBCOMMANDS.contains(&flag.as_str()));
                if done.contains(&doing) || done.len() == MOST {
                    continue;
                }
                done.push(doing);
                let mut command = words(&format!("cargo {sub}"));
                command.extend(call.flags.iter().cloned());
                if *sub == "update" {
                    command.push("--locked".into());
                }
                let mut gate = self.gate(*kind, &format!("cargo {sub}"), command, &call.line.file);
                gate.requirement = required_if(*kind != GateKind::Audit);
                gates.push(gate);
            }
        }
        gates
    }
}

/// Gates of one sort at most.
const MOST: usize = 4;

/// What `cargo hack` and its like do with each choice.
const SUBCOMMANDS: &[&str] = &["check", "test", "clippy", "build", "doc", "check-external-types"];

const OTHERS: &[(GateKind, &str)] = &[
    (GateKind::Lint, "docs-rs"),
    (GateKind::Test, "miri"),
    (GateKind::Custom, "hack"),
    (GateKind::Lint, "machete"),
    (GateKind::Lint, "udeps"),
    (GateKind::Lint, "shear"),
    (GateKind::Lint, "sort"),
    (GateKind::Lint, "msrv"),
    (GateKind::Custom, "minimal-versions"),
    (GateKind::Custom, "update"),
    // They ask the registry, which gates do not reach.
    (GateKind::Audit, "semver-checks"),
    (GateKind::Audit, "outdated"),
    (GateKind::Audit, "vet"),
];

/// The value of an option.
fn after(flags: &[String], options: &[&str]) -> Option<String> {
    let at = flags.iter().position(|flag| options.contains(&flag.as_str()))?;
    flags.get(at + 1).cloned()
}

/// The flags that we take over from CI, before a `--`.
fn known(flags: &[String], taken: &[&str]) -> Vec<String> {
    flags
        .iter()
        .take_while(|flag| *flag != "--")
        .filter(|flag| taken.contains(&flag.as_str()))
        .cloned()
        .collect()
}

/// `-D lint` and `-Dlint` after the `--`.
fn denied(flags: &[String]) -> Vec<String> {
    let mut rest = flags.iter().skip_while(|flag| *flag != "--").skip(1);
    let mut denied = vec![];
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "-D" | "--deny" | "-W" | "-A" => {
                denied.extend([Some(flag), rest.next()].into_iter().flatten().cloned())
            }
            _ if flag.starts_with("-D") || flag.starts_with("-A") => denied.push(flag.clone()),
            _ => {}
        }
    }
    denied
}

/// Whether any crate of the project comes from outside the tree. Crates that the tree carries and its
/// `.cargo/config.toml` points to are inside.
pub(super) fn has_dependencies(project: &Project<'_>) -> bool {
    let config = project.toml(".cargo/config.toml").or_else(|| project.toml(".cargo/config"));
    if config.is_some_and(|config| at(&config, &["source", "crates-io", "replace-with"]).is_some()) {
        return false;
    }
    match project.toml("Cargo.lock").as_ref().and_then(|lock| lock.get("package")).and_then(Value::as_array) {
        Some(packages) => packages.iter().any(|package| package.get("source").is_some()),
        None => project
            .files()
            .filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml"))
            .filter_map(|(path, _)| project.toml(path))
            .any(|manifest| names_dependencies(&manifest)),
    }
}

fn names_dependencies(manifest: &Table) -> bool {
    manifest.iter().any(|(key, value)| match (key.as_str(), value) {
        ("dependencies" | "dev-dependencies" | "build-dependencies", Value::Table(dependencies)) => {
            dependencies.values().any(|d| d.get("path").is_none() && d.get("workspace").is_none())
        }
        ("target", Value::Table(targets)) => {
            targets.values().filter_map(Value::as_table).any(names_dependencies)
        }
        ("workspace", Value::Table(workspace)) => names_dependencies(workspace),
        _ => false,
    })
}
