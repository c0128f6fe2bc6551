//! What each ecosystem runs to fetch its packages, and which files decide about them.

use super::NODE_SCRATCH;
use crate::gates::discover::{JavaTool, PackageManager, Project};
use crate::gates::log;
use crate::gates::model::{Ecosystem, Gate};
use crate::gates::run::quoted;
use crate::sandbox::{self, Command, Exit, Sandbox, SandboxError, WORK};
use crate::workspace::Snapshot;

/// Fetches sources only: no code of any package runs. A lock file that the tree lacks is kept.
pub(super) fn rust(project: &Project<'_>) -> String {
    if project.has("Cargo.lock") {
        return "cargo fetch --locked".into();
    }
    let folder = project.folder.as_ref().map_or(String::new(), |folder| format!("/{folder}"));
    let target = quoted(&format!("/deps/rust/generated{folder}"));
    format!("cargo fetch\nmkdir -p {target}\ncp Cargo.lock {target}")
}

/// Installs what the lock file says. The packages' own install scripts run after that, in the same sandbox;
/// one that fails, for want of a compiler or of a host that is not listed, is left to the tests to miss.
pub(super) fn javascript(project: &Project<'_>) -> String {
    let locked = ["package-lock.json", "npm-shrinkwrap.json"].iter().any(|lock| project.has(lock));
    let install = match PackageManager::of(project) {
        PackageManager::Npm if locked => "npm ci --no-audit --no-fund --ignore-scripts",
        PackageManager::Npm => "npm install --no-audit --no-fund --ignore-scripts --no-package-lock",
        PackageManager::Pnpm => {
            "pnpm install --frozen-lockfile --ignore-scripts --store-dir /deps/javascript/scratch/store \
             --package-import-method copy"
        }
        PackageManager::Yarn => {
            "yarn install --frozen-lockfile --ignore-scripts --non-interactive --cache-folder \
             /deps/javascript/scratch/yarn"
        }
    };
    let scratch = NODE_SCRATCH.join(" node_modules/");
    format!(
        "{install}\nnpm rebuild --ignore-scripts=false || echo 'some install scripts failed'\nmkdir -p node_modules/{scratch}\nchmod 1777 node_modules/{scratch}"
    )
}

/// Java does not read the variables that name a proxy.
const JAVA_PROXY: &str = "proxy=${https_proxy#http://}; of() { echo \"-D$1.proxyHost=${proxy%:*} -D$1.proxyPort=${proxy##*:}\"; }\n\
                          JAVA_TOOL_OPTIONS=\"$(of https) $(of http)\"; export JAVA_TOOL_OPTIONS\n";

/// What is installed in the sandbox counts as well: where the registry cannot be asked it may be enough.
pub(super) const RUBY: &str = "bundle install || bundle install --local";

/// What Gradle's and Maven's own resolvers ask for when they build and test: neither has a command that
/// fetches all of it. Whether the tests pass is no matter here, whether everything compiles is.
pub(super) fn java(project: &Project<'_>, gates: &[Gate]) -> String {
    let tool = JavaTool::of(project);
    let mut script = JAVA_PROXY.to_owned();
    script.push_str(&match tool {
        JavaTool::Gradle(program) => format!(
            "{program} --no-daemon testClasses\n{program} --no-daemon --continue test || echo 'tests failed, or packages that only they need are missing'"
        ),
        JavaTool::Maven(program) => {
            // It asks for every module of the build as if it were published, and so fails for many.
            format!(
                "{program} -B dependency:go-offline || echo 'not all of it was fetched ahead'\n\
                 {program} -B -Dmaven.test.failure.ignore=true test"
            )
        }
    });
    // The plug-ins of the other gates, and what those ask for, are fetched by running them.
    let (JavaTool::Gradle(program) | JavaTool::Maven(program)) = tool;
    let own = gates.iter().filter(|gate| gate.command.first().is_some_and(|first| first == program));
    for gate in own.filter(|gate| gate.command.last().is_some_and(|task| task != "test")) {
        let online = gate.command[1..].iter().filter(|word| !matches!(word.as_str(), "-o" | "--offline"));
        let words: Vec<String> = online.map(|word| quoted(word)).collect();
        script.push_str(&format!(
            "\n{program} {} || echo 'it found something, or what it needs is missing'",
            words.join(" ")
        ));
    }
    script
}

/// The same in the folders of gates that are projects of their own.
pub(super) fn in_other_folders(
    project: &Project<'_>,
    gates: &[Gate],
    script: &dyn Fn(&Project<'_>) -> String,
) -> String {
    let of_it = gates.iter().filter(|gate| gate.needs_dependencies == Some(project.ecosystem));
    let mut folders: Vec<_> = of_it.filter_map(|gate| gate.cwd.clone()).collect();
    folders.retain(|folder| project.folder.as_ref() != Some(folder));
    folders.sort();
    folders.dedup();
    let mut all = script(project);
    for folder in folders {
        let place = quoted(&format!("{WORK}/{folder}"));
        let other = Project { ecosystem: project.ecosystem, folder: Some(folder), base: project.base };
        all.push_str(&format!("\n(cd {place}\n{})", script(&other)));
    }
    all
}

/// Whether a file of the project decides which packages are fetched.
pub(super) fn is_input(ecosystem: Ecosystem, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match ecosystem {
        Ecosystem::Rust => {
            matches!(name, "Cargo.toml" | "Cargo.lock")
                || path == ".cargo/config.toml"
                || path == ".cargo/config"
        }
        Ecosystem::Python => {
            matches!(path, "pyproject.toml" | "setup.py" | "setup.cfg" | "tox.ini")
                || name.ends_with(".txt") && path.contains("requirement")
        }
        Ecosystem::JavaScript => {
            matches!(
                name,
                "package.json"
                    | "package-lock.json"
                    | "npm-shrinkwrap.json"
                    | "pnpm-lock.yaml"
                    | "yarn.lock"
                    | ".npmrc"
                    | ".yarnrc"
                    | ".yarnrc.yml"
                    | "pnpm-workspace.yaml"
            ) && !path.contains("node_modules/")
        }
        Ecosystem::Go => matches!(name, "go.mod" | "go.sum" | "go.work"),
        Ecosystem::Java => {
            matches!(name, "pom.xml" | "gradle.properties" | "libs.versions.toml" | "gradle.lockfile")
                || name.ends_with(".gradle")
                || name.ends_with(".gradle.kts")
                || path.contains("wrapper/")
        }
        Ecosystem::Ruby => {
            matches!(name, "Gemfile" | "Gemfile.lock" | ".ruby-version") || name.ends_with(".gemspec")
        }
    }
}

/// The versions of the tools in the sandbox, or why they cannot be used.
pub(in crate::gates) async fn versions(
    sandbox: &dyn Sandbox,
    ecosystem: Ecosystem,
) -> Result<Result<String, String>, SandboxError> {
    let argv: &[&str] = match ecosystem {
        Ecosystem::Rust => &["cargo", "--version"],
        Ecosystem::Python => &["python3", "-c", "import sys; print(sys.version, sys.base_prefix)"],
        Ecosystem::JavaScript => &["node", "--version"],
        Ecosystem::Go => &["go", "version"],
        Ecosystem::Java => &["java", "-version"],
        Ecosystem::Ruby => &["ruby", "--version"],
    };
    let session = sandbox.open(&Snapshot::default()).await?;
    let outcome = session.run(&Command::new(argv.iter().copied())).await;
    sandbox::close(session).await;
    let outcome = outcome?;
    if outcome.succeeded() {
        return Ok(Ok(format!("{}{}", outcome.stdout.text(), outcome.stderr.text())));
    }
    if outcome.exit == Exit::Code(127) {
        return Ok(Err(format!("`{}` is missing in the sandbox", argv[0])));
    }
    let said = log::last_lines(&log::plain(&outcome.stderr.text()), 1);
    Ok(Err(format!("`{}` does not work in the sandbox: {said}", argv[0])))
}
