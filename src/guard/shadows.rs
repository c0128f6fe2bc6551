//! New files that decide by being there: a tool takes them before what it took so far, or no longer looks at
//! what lies in their folder.

/// Whether a file that was not there before comes in the way of what a gate uses. That it is changed later says
/// nothing; [`super::settings`] looks into it then.
pub fn shadows(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_lowercase();
    let at_root = !path.contains('/');
    let before_others = match lower.as_str() {
        // GNU make looks for GNUmakefile, makefile, Makefile in this order (its manual, "Makefile Names"), rake
        // for rakefile first.
        "gnumakefile" | "go.work" => true,
        "makefile" | "rakefile" => name.starts_with(char::is_lowercase),
        // Gradle takes these before their Kotlin forms, Task the first of its names, Bundler its new name.
        "build.gradle" | "settings.gradle" | "taskfile.yml" | "gems.rb" => at_root,
        // A module of its own takes its folder out of the `./...` of the one around it.
        "go.mod" => !at_root,
        _ => false,
    };
    before_others || path.to_lowercase().starts_with("node_modules/") || shadows_module(path)
}

/// `python3 -m` looks for modules in its working folder first. A project is at most two folders deep.
fn shadows_module(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let module = |part: &str| {
        let stem = part.strip_suffix(".py").unwrap_or(part);
        // Compiled modules carry the interpreter in their name: `pytest.cpython-312-x86_64-linux-gnu.so`.
        let stem = stem.strip_suffix(".so").and_then(|stem| stem.split('.').next()).unwrap_or(stem);
        stem.to_owned()
    };
    let is_python = [".py", ".so", ".pyc"].iter().any(|end| path.ends_with(end));
    let runs = |part: &&str| RUNNERS.contains(&module(part).as_str());
    // A folder is a module by what lies in it.
    is_python
        && (parts.iter().take(3).any(runs)
            || parts.first().is_some_and(|part| STANDARD.contains(&module(part).as_str())))
}

/// Modules that run tests and linters, or that Python itself loads when it begins.
const RUNNERS: &[&str] = &[
    "unittest",
    "pytest",
    "_pytest",
    "pluggy",
    "iniconfig",
    "coverage",
    "pytest_cov",
    "xdist",
    "mypy",
    "ruff",
    "black",
    "flake8",
    "pycodestyle",
    "pyflakes",
    "pylint",
    "isort",
    "bandit",
    "tox",
    "nox",
    "sitecustomize",
    "usercustomize",
];

/// Modules of the standard library that these load in turn.
const STANDARD: &[&str] = &[
    "abc",
    "argparse",
    "ast",
    "asyncio",
    "atexit",
    "bdb",
    "bisect",
    "builtins",
    "cmd",
    "code",
    "codecs",
    "collections",
    "concurrent",
    "configparser",
    "contextlib",
    "contextvars",
    "copy",
    "copyreg",
    "csv",
    "dataclasses",
    "datetime",
    "difflib",
    "dis",
    "doctest",
    "enum",
    "errno",
    "faulthandler",
    "fnmatch",
    "functools",
    "gc",
    "genericpath",
    "getpass",
    "gettext",
    "glob",
    "hashlib",
    "heapq",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "math",
    "numbers",
    "opcode",
    "operator",
    "os",
    "pathlib",
    "pdb",
    "pickle",
    "pkgutil",
    "platform",
    "posixpath",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "runpy",
    "select",
    "selectors",
    "shlex",
    "shutil",
    "signal",
    "site",
    "socket",
    "sre_compile",
    "sre_parse",
    "ssl",
    "stat",
    "string",
    "struct",
    "subprocess",
    "sys",
    "sysconfig",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "token",
    "tokenize",
    "tomllib",
    "traceback",
    "types",
    "typing",
    "uuid",
    "warnings",
    "weakref",
    "zipfile",
    "zipimport",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_that_comes_before_another_is_told_from_one_that_does_not() {
        for path in [
            "GNUmakefile",
            "makefile",
            "rakefile",
            "build.gradle",
            "pkg/inner/go.mod",
            "go.work",
            "unittest.py",
            "unittest/__init__.py",
            "web/api/pytest.py",
            "pytest.cpython-312-x86_64-linux-gnu.so",
            "traceback.py",
            "sitecustomize.py",
            "node_modules/.bin/jest",
        ] {
            assert!(shadows(path), "{path}");
        }
        for path in [
            "Makefile",
            "Rakefile",
            "go.mod",
            "app/build.gradle",
            "src/pkg/types.py",
            "pkg/logging.py",
            "docs/pytest.md",
            "docs/unittest/intro.md",
            "tests/node_modules/x.js",
        ] {
            assert!(!shadows(path), "{path}");
        }
    }
}
