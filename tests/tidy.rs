//! The house rules as tests: which room may know which, how long a file may be, what is not written.
//!
//! Each failure says what to do. A new rule is a line in a table here; an exception is one too, with its
//! reason, and an exception that is no longer needed fails as well.

#[path = "tidy/source.rs"]
mod source;

use source::{Source, rust_files, text_files};

/// The composition roots: they put the rooms together and may know them all.
const ROOTS: &[&str] = &["application", "cli", "lib", "main"];

/// What each room may use of the others: a room's name for all of it, `room::item` for that part only.
/// Design: `domain` and `speech` know nobody but the domain, stages never touch GitHub, effects never
/// think; `github` is called by effects, `ingest` and the read-only ports.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("speech", &["domain"]),
    ("telemetry", &[]),
    (
        "config",
        &[
            "domain::BudgetLimits",
            "domain::OptionalStage",
            "domain::Priority",
            "domain::Risk",
            "domain::Role",
            "domain::Size",
            "domain::SwitchedBy",
            "domain::SwitchedOff",
            "domain::TEXT_MAX_CHARS",
            "domain::Template",
            "domain::Workflow",
            "domain::WrittenTask",
            "telemetry::LogFormat",
        ],
    ),
    ("llm", &["domain", "telemetry::with_causes"]),
    ("workspace", &["domain", "telemetry::with_causes"]),
    ("guard", &["domain", "workspace"]),
    ("context", &["llm::boundary", "workspace"]),
    ("agents", &["context", "domain", "llm", "workspace"]),
    ("github", &["domain", "telemetry::with_causes"]),
    ("mail", &["config"]),
    ("store", &["config", "domain", "telemetry"]),
    ("queue", &["domain", "store", "telemetry"]),
    ("sandbox", &["workspace"]),
    ("gates", &["domain", "sandbox", "workspace"]),
    ("engines", &["domain", "llm", "sandbox", "telemetry::with_causes"]),
    ("checkout", &["config::RepositoryPolicy", "domain", "github", "store", "workspace"]),
    ("ingest", &["checkout", "domain", "github", "queue", "store", "telemetry"]),
    (
        "pipeline",
        &[
            "agents",
            "checkout",
            "config",
            "context",
            "domain",
            "engines",
            "gates",
            "github::GitHubError",
            "guard",
            "llm",
            "queue",
            "sandbox",
            "speech",
            "store",
            "telemetry",
            "workspace",
        ],
    ),
    (
        "effects",
        &[
            "checkout",
            "domain",
            "github",
            "guard",
            "mail",
            "queue",
            "speech",
            "store",
            "telemetry",
            "workspace",
        ],
    ),
    ("web", &["config", "domain", "store", "telemetry"]),
    // It stands in for GitHub, so it shares no code with the side that talks to GitHub.
    ("simulator", &["config::percent_decoded", "telemetry"]),
];

/// What is used in one place only.
struct Door {
    what: &'static str,
    /// Code that names it, as it would be written.
    written: &'static [&'static str],
    room: &'static str,
    instead: &'static str,
}

const DOORS: &[Door] = &[
    Door {
        what: "octocrab",
        written: &["octocrab::", "use octocrab", "extern crate octocrab"],
        room: "github",
        instead: "add what is missing to `src/github/` and call that",
    },
    Door {
        what: "SQL",
        written: &["sqlx::query", "query_as!", "query_scalar!", "query!", "sqlx::raw_sql"],
        room: "store",
        instead: "write a method of `Store` in `src/store/`, in the file of its aggregate",
    },
    Door {
        what: "the process's environment",
        written: &["env::var", "env::set_var", "env::remove_var"],
        room: "config",
        instead: "read it in `src/config/` and hand the value down",
    },
    Door {
        what: "the container engine",
        written: &["bollard::", "use bollard"],
        room: "sandbox",
        instead: "go through `crate::sandbox`",
    },
    Door {
        what: "the cluster",
        written: &["kube::", "k8s_openapi::"],
        room: "sandbox",
        instead: "go through `crate::sandbox`",
    },
    Door {
        what: "SMTP",
        written: &["SmtpTransport", "lettre::transport"],
        room: "mail",
        instead: "send through `crate::mail`",
    },
    Door {
        what: "a turn of a conversation",
        written: &["Message::User {"],
        room: "llm",
        instead: "make it with `Message::user`, of text that went through `llm::boundary`",
    },
    Door {
        what: "what people are told on GitHub",
        written: &[
            ".create_comment(",
            ".create_pull_request(",
            ".create_review(",
            ".create_check_run(",
            ".annotate_check_run(",
            "mailer.send(",
        ],
        room: "effects",
        instead: "add an effect, whose words come out of `speech` and its gateway",
    },
    Door {
        what: "the App's key",
        written: &["EncodingKey"],
        room: "github",
        instead: "ask `crate::github` for a client of one repository and one purpose",
    },
    Door {
        what: "the models' client",
        written: &["genai::", "use genai"],
        room: "llm",
        instead: "call a model through `crate::llm`",
    },
];

/// Rooms in which the same values always give the same result.
const PURE: &[&str] = &["domain", "speech"];
/// What reads or changes the world.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio::",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "Uuid::now",
    "Uuid::new",
    "rand::",
    "println!",
    "eprintln!",
    "tracing::",
];

/// Longest file, in lines above its tests.
const MAX_LINES: usize = 450;
/// Files that are longer, and by how much they may be. Empty at best.
const LONGER: &[(&str, usize)] = &[("src/simulator/inbox.rs", 470)];

/// What is never left in the code.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Files that may unwrap outside of tests: how often, and why that cannot fail.
const UNWRAPS: &[(&str, usize, &str)] = &[
    ("src/gates/compare.rs", 1, "patterns that are literals, compiled in its tests"),
    ("src/gates/discover.rs", 1, "patterns that are literals, compiled in its room's tests"),
    ("src/gates/failed_tests.rs", 1, "patterns that are literals, compiled in its tests"),
    ("src/gates/findings.rs", 1, "patterns that are literals, compiled in its tests"),
    ("src/gates/log.rs", 1, "a pattern that is a literal, compiled in its tests"),
    ("src/guard/test_text.rs", 1, "patterns that are literals, compiled in its tests"),
    ("src/gates/signs.rs", 1, "patterns that are literals, compiled in its tests"),
    ("src/simulator/github/deliveries.rs", 2, "HMAC takes keys of any length"),
    ("src/simulator/github/repository.rs", 1, "the stand-in deletes no repository"),
];

/// Folders of people's machines.
const HOMES: &[&str] = &["/root/", "/home/", "/Users/", "/tmp/w/"];
/// Files that name such a folder for a reason.
const NAMES_HOMES: &[(&str, &str)] = &[
    ("src/config/tests.rs", "the default of the data folder below a made-up home"),
    ("tests/sandbox.rs", "the sandbox must not see root's home"),
];

/// Settings that lead a package client away from the public registry.
const OTHER_REGISTRIES: &[&str] =
    &["--index-url", "extra-index-url", "index-url =", "registry=http", "registry = \"http", "registry-auth"];

fn fail_on(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Rust that we ship as a file and do not compile in.
const FREIGHT: &[&str] = &["src/simulator/demo_project/"];

fn sources() -> Vec<Source> {
    let mut sources = rust_files("src");
    sources.retain(|source| !FREIGHT.iter().any(|folder| source.path.starts_with(folder)));
    sources
}

#[test]
fn rooms_know_only_the_rooms_below_them() {
    let mut faults = Vec::new();
    for source in sources() {
        let room = source.room();
        if ROOTS.contains(&room) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            faults.push(format!(
                "{}: the room `{room}` is not in MAY_USE of tests/tidy.rs; add it with what it may know",
                source.path
            ));
            continue;
        };
        for used in source.uses() {
            let other = used.path.split("::").next().unwrap_or_default();
            let covers = |entry: &&str| used.path == **entry || used.path.starts_with(&format!("{entry}::"));
            if other != room && !allowed.iter().any(covers) {
                faults.push(format!(
                    "{}:{}: `{room}` uses `{}`. It may use {allowed:?}: move the code to the room that may, \
                     or hand the value in (docs: ARCHITECTURE.md, Rooms)",
                    source.path, used.line, used.path
                ));
            }
        }
    }
    fail_on(faults);
}

#[test]
fn every_rule_about_a_room_has_its_room() {
    let rooms: Vec<String> = sources().iter().map(|source| source.room().to_owned()).collect();
    let named = MAY_USE.iter().map(|(room, _)| *room).chain(DOORS.iter().map(|door| door.room));
    let gone: Vec<String> = named
        .filter(|room| !rooms.iter().any(|known| known == room))
        .map(|room| format!("tests/tidy.rs has rules for `{room}`, which is no longer there: remove them"))
        .collect();
    fail_on(gone);
}

#[test]
fn what_has_a_door_is_used_behind_it_only() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        for door in DOORS.iter().filter(|door| door.room != source.room()) {
            for (line, word) in source.lines_with(door.written) {
                faults.push(format!(
                    "{}:{line}: `{word}` is {}, which only `src/{}/` uses: {}",
                    source.path, door.what, door.room, door.instead
                ));
            }
        }
    }
    fail_on(faults);
}

#[test]
fn pure_rooms_do_nothing_but_compute() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test && PURE.contains(&source.room())) {
        for (line, word) in source.lines_with(IMPURE) {
            faults.push(format!(
                "{}:{line}: `{word}` in `{}`, which is pure: take the value as an argument, or do it in a room \
                 that acts",
                source.path,
                source.room()
            ));
        }
    }
    fail_on(faults);
}

#[test]
fn files_fit_in_a_head() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let allowed = LONGER.iter().find(|(path, _)| *path == source.path).map(|(_, lines)| *lines);
        let lines = source.lines_above_tests();
        match allowed {
            None if lines > MAX_LINES => faults.push(format!(
                "{}: {lines} lines above its tests, {MAX_LINES} at most: part it by what it is about",
                source.path
            )),
            Some(_) if lines <= MAX_LINES => {
                faults.push(format!("{} fits now: take it out of LONGER in tests/tidy.rs", source.path));
            }
            Some(most) if lines > most => faults.push(format!(
                "{}: {lines} lines, and even its exception allows {most}: part it by what it is about",
                source.path
            )),
            _ => {}
        }
    }
    fail_on(faults);
}

/// The rooms that find gates and set them up, whose files the guard has to know.
const READS_SETTINGS: &[&str] = &["src/gates/discover", "src/gates/setup"];

/// Files without an ending that a tool looks for.
const FILES: &[&str] =
    &["mvnw", "gradlew", "justfile", ".justfile", "makefile", "sorbet/config", ".cargo/config"];

/// Whether a literal is the name of a file that a tool looks for: `setup.cfg`, `.flake8`, `Makefile`.
fn is_file_name(text: &str) -> bool {
    const ENDS: &[&str] = &[
        "toml",
        "json",
        "yml",
        "yaml",
        "cfg",
        "ini",
        "txt",
        "xml",
        "gradle",
        "kts",
        "mod",
        "sum",
        "work",
        "lock",
        "properties",
        "baseline",
        "py",
        "js",
        "cjs",
        "rc",
        "lockb",
    ];
    let name = text.rsplit('/').next().unwrap_or(text);
    let is_word = !name.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._-/".contains(c));
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_plain = name.ends_with("file") && name.starts_with(char::is_uppercase) || FILES.contains(&text);
    // `.py` alone is an ending; `.flake8` and `.pylintrc` are files.
    let is_hidden =
        stem.is_empty() && !ENDS.contains(&end) && end.len() > 3 && end != "gemspec" && end != "snap";
    is_word
        && !text.starts_with(".gradle")
        && (is_plain || is_hidden || !stem.is_empty() && ENDS.contains(&end))
}

#[test]
fn every_file_that_decides_which_gates_there_are_is_known_to_the_guard() {
    let mut faults = Vec::new();
    let mut seen = 0;
    let read = READS_SETTINGS.iter().flat_map(|folder| rust_files(folder));
    let read =
        read.chain(rust_files("src/gates").into_iter().filter(|file| file.path.ends_with("/discover.rs")));
    for source in read.filter(|source| !source.is_test) {
        for (line, name) in source.literals().into_iter().filter(|(_, text)| is_file_name(text)) {
            seen += 1;
            if !orchestrator::guard::has_rule_for(name) {
                faults.push(format!(
                    "{}:{line}: {name} is read and the guard has no rule for it: protect it, list it as a gate's \
                     setting, look into it, or say in src/guard/known.rs that it decides nothing while gates run",
                    source.path
                ));
            }
        }
    }
    assert!(seen > 60, "only {seen} names were found: the rule would hold for nothing");
    fail_on(faults);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut faults = Vec::new();
    for source in sources().iter().chain(&rust_files("tests")) {
        for (line, word) in source.lines_with(UNFINISHED) {
            faults.push(format!("{}:{line}: `{word}`: finish it or take it out", source.path));
        }
    }
    fail_on(faults);
}

#[test]
fn nothing_outside_of_tests_unwraps() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let found = source.lines_with(&[".unwrap()", ".expect("]);
        let allowed =
            UNWRAPS.iter().find(|(path, ..)| *path == source.path).map_or(0, |(_, times, _)| *times);
        if found.len() > allowed {
            for (line, word) in found {
                faults.push(format!(
                    "{}:{line}: `{word}` ends the program where it is wrong: return an error that says what \
                     to do, or list it in UNWRAPS of tests/tidy.rs with the reason why it cannot fail",
                    source.path
                ));
            }
        } else if found.len() < allowed {
            faults.push(format!(
                "{}: {} unwraps are left: lower UNWRAPS in tests/tidy.rs",
                source.path,
                found.len()
            ));
        }
    }
    fail_on(faults);
}

#[test]
fn what_is_tested_is_what_ships() {
    let mut faults = Vec::new();
    for source in sources() {
        for line in source.test_switches_that_are_no_test_module() {
            faults.push(format!(
                "{}:{line}: `cfg(test)` on something other than `mod tests`: tests run the code that ships, so \
                 hand the difference in as a parameter",
                source.path
            ));
        }
    }
    fail_on(faults);
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    let here = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for file in text_files() {
        if file.path == "tests/tidy.rs" || NAMES_HOMES.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            if let Some(found) = HOMES.iter().copied().chain([here.as_str()]).find(|home| names(line, home)) {
                faults.push(format!(
                    "{}:{}: `{found}` is a folder of one machine: use a path below the repository, the data \
                     folder or a temporary folder",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    fail_on(faults);
}

/// Whether the folder stands there as an absolute path, not as the end of another (`/tmp/home/`).
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-}".contains(c)))
            && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
    })
}

#[test]
fn packages_come_from_the_public_registries() {
    let mut faults = Vec::new();
    for file in text_files() {
        if file.path == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            let source = line.strip_prefix("source = ").filter(|_| file.path == "Cargo.lock");
            let foreign =
                source.is_some_and(|at| at != "\"registry+https://github.com/rust-lang/crates.io-index\"");
            if foreign || OTHER_REGISTRIES.iter().any(|setting| line.contains(setting)) {
                faults.push(format!(
                    "{}:{}: packages of this repository come from the public registries; set another one in \
                     your own configuration",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    fail_on(faults);
}
