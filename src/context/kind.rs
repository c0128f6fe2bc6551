//! What a file is, by general rules on its path and its first bytes: no rule names a project.

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Source,
    Test,
    /// Examples, samples, benchmarks, demonstrations.
    Example,
    Docs,
    /// What builds, checks and configures.
    Config,
    /// Tables, drawings, translations.
    Data,
    /// What tests read.
    Fixture,
    Generated,
    /// Other people's code that was copied in.
    Vendored,
    Lock,
    Binary,
}

impl FileKind {
    /// A word for a person.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Test => "test",
            Self::Example => "example",
            Self::Docs => "docs",
            Self::Config => "config",
            Self::Data => "data",
            Self::Fixture => "fixture",
            Self::Generated => "generated",
            Self::Vendored => "vendored",
            Self::Lock => "lock",
            Self::Binary => "binary",
        }
    }

    /// Whether its words are worth an index. The others can be found by their paths alone.
    pub(super) fn is_read(self) -> bool {
        !matches!(self, Self::Generated | Self::Vendored | Self::Lock | Self::Binary)
    }
}

/// What the bytes of a file say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Generated,
    Binary,
    Oversized,
}

/// The largest file that is read, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;
/// Where generators put their mark.
const HEAD_BYTES: usize = 600;
/// Git looks for a NUL in as many bytes (`FIRST_FEW_BYTES` in xdiff-interface.c).
const BINARY_BYTES: usize = 8000;
/// Mean length of the lines of what was made by a machine, from this size on.
const MINIFIED_LINE: usize = 400;
const MINIFIED_BYTES: usize = 4000;
/// From this size on a file may be a table of constants; the sample is taken from its middle.
const TABLE_BYTES: usize = 16 * 1024;
const TABLE_SAMPLE: usize = 4096;

const VENDORED: [&str; 11] = [
    "node_modules",
    "vendor",
    "vendored",
    "_vendor",
    "third_party",
    "third-party",
    "thirdparty",
    ".venv",
    "site-packages",
    "bower_components",
    "Pods",
];
const BUILT: [&str; 6] = ["target", "dist", "__pycache__", ".git", ".tox", "_generated"];
const FIXTURES: [&str; 11] = [
    "fixtures",
    "fixture",
    "__fixtures__",
    "testdata",
    "test-data",
    "test_data",
    "__snapshots__",
    "snapshots",
    "cassettes",
    "golden",
    "goldens",
];
const TESTS: [&str; 13] = [
    "test",
    "tests",
    "__tests__",
    "spec",
    "specs",
    "e2e",
    "testsuite",
    "test-suite",
    "integration-tests",
    "integration_tests",
    "unittests",
    "androidTest",
    "__mocks__",
];
const EXAMPLES: [&str; 12] = [
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "bench",
    "benches",
    "benchmark",
    "benchmarks",
    "sandbox",
    "playground",
];
const DOCS: [&str; 5] = ["doc", "docs", "documentation", "site", "website"];
const API_DOCS: [&str; 3] = ["javadoc", "javadocs", "apidocs"];
const CONFIGS: [&str; 5] = [".github", ".circleci", ".gitlab", ".husky", ".vscode"];
const LOCKS: [&str; 13] = [
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "go.sum",
    "composer.lock",
    "Gemfile.lock",
];
const GENERATED_ENDINGS: [&str; 14] = [
    ".min.js",
    ".min.css",
    ".map",
    ".pb.go",
    ".pb.cc",
    ".pb.h",
    "_pb2.py",
    "_pb2_grpc.py",
    ".pb.rs",
    ".generated.ts",
    ".g.cs",
    ".g.dart",
    ".designer.cs",
    ".Designer.cs",
];
const SOURCE: &[&str] = &[
    "rs", "py", "pyi", "pyx", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "vue", "svelte", "astro",
    "go", "java", "kt", "kts", "scala", "groovy", "clj", "cljs", "cljc", "rb", "erb", "rake", "c", "h", "cc",
    "cpp", "cxx", "hh", "hpp", "hxx", "inl", "ipp", "m", "mm", "cs", "fs", "vb", "php", "phtml", "twig",
    "swift", "dart", "ex", "exs", "erl", "hrl", "hs", "ml", "mli", "elm", "lua", "pl", "pm", "t", "r", "jl",
    "nim", "zig", "v", "sv", "vhd", "d", "pas", "f90", "s", "S", "asm", "sh", "bash", "zsh", "fish", "ps1",
    "bat", "sql", "proto", "graphql", "thrift", "css", "scss", "sass", "less", "html", "htm", "hbs",
    "mustache", "ejs", "pug", "haml", "slim", "jinja", "j2", "tmpl", "tpl", "y", "l", "g4", "pest", "el",
    "lisp", "scm", "rkt", "tcl", "awk", "coffee", "cu", "glsl", "wgsl", "hlsl", "sol", "cr", "hx", "gd",
    "bzl", "nix", "tf", "dts", "dtsi", "rl",
];
const DOCS_ENDINGS: &[&str] =
    &["md", "mdx", "markdown", "rst", "adoc", "asciidoc", "txt", "org", "tex", "pod", "rdoc", "textile"];
const BINARY_ENDINGS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "ico", "webp", "bmp", "pdf", "zip", "gz", "tgz", "bz2", "xz", "zst", "jar",
    "war", "class", "so", "dll", "exe", "dylib", "a", "o", "woff", "woff2", "ttf", "otf", "eot", "mp3",
    "mp4", "wasm", "pyc", "psd", "p12", "keystore", "jks", "bin", "dat",
];
const DATA_ENDINGS: &[&str] =
    &["csv", "tsv", "svg", "po", "pot", "ipynb", "ndjson", "xlf", "resx", "pem", "crt"];
/// Names without ending that are about the project, not the program.
const DOCS_NAMES: [&str; 11] = [
    "readme",
    "changelog",
    "changes",
    "history",
    "news",
    "license",
    "licence",
    "copying",
    "authors",
    "contributing",
    "contributors",
];

/// What the folders of a path say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Folders {
    vendored: bool,
    built: bool,
    fixtures: bool,
    tests: bool,
    examples: bool,
    docs: bool,
    configs: bool,
}

impl Folders {
    /// `folders` without a slash at its end.
    pub(super) fn of(folders: &str) -> Self {
        // Maven's layout says it outright: `src/main` is source whatever the project is about.
        let main = folders.contains("src/main/");
        let mut found = Self::default();
        for (at, part) in folders.split('/').enumerate() {
            found.vendored |= VENDORED.contains(&part);
            found.built |= BUILT.contains(&part);
            found.fixtures |= FIXTURES.contains(&part);
            found.tests |= !main && TESTS.contains(&part);
            found.examples |= !main && EXAMPLES.contains(&part);
            found.docs |= (at == 0 && DOCS.contains(&part)) || API_DOCS.contains(&part);
            found.configs |= CONFIGS.contains(&part);
        }
        found
    }

    /// What a file of that name in these folders is.
    pub(super) fn kind_of(self, name: &str) -> FileKind {
        of_name(self, name)
    }
}

/// What the path says. A file that counts as source can still turn out to be generated or binary by its bytes.
pub(super) fn of_path(path: &str) -> FileKind {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    of_name(Folders::of(folders), name)
}

fn of_name(folders: Folders, name: &str) -> FileKind {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let ending_lower = ending.to_ascii_lowercase();
    let ends = |list: &[&str]| list.contains(&ending_lower.as_str());
    if LOCKS.contains(&name) {
        return FileKind::Lock;
    }
    if folders.vendored {
        return FileKind::Vendored;
    }
    if ends(BINARY_ENDINGS) {
        return FileKind::Binary;
    }
    if folders.built || GENERATED_ENDINGS.iter().any(|end| name.ends_with(end)) {
        return FileKind::Generated;
    }
    if folders.fixtures || ending == "snap" {
        return FileKind::Fixture;
    }
    let source = SOURCE.contains(&ending) || ends(SOURCE);
    if folders.tests || (source && is_test_name(name, stem)) {
        return if source { FileKind::Test } else { FileKind::Fixture };
    }
    if ends(DATA_ENDINGS) {
        return FileKind::Data;
    }
    if folders.examples {
        return FileKind::Example;
    }
    let plain = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let docs =
        (ends(DOCS_ENDINGS) && !is_build_text(name)) || (DOCS_NAMES.contains(&plain.as_str()) && !source);
    if folders.docs || docs {
        return FileKind::Docs;
    }
    if folders.configs || is_configuration(name) {
        return FileKind::Config;
    }
    if source { FileKind::Source } else { FileKind::Config }
}

/// How many parts of a path lead to the first folder of what was installed or built.
pub(super) fn skipped_folder(parts: &[&str]) -> Option<usize> {
    let folders = &parts[..parts.len().saturating_sub(1)];
    let skipped = |part: &&str| VENDORED.contains(part) || BUILT.contains(part);
    folders.iter().position(skipped).map(|index| index + 1)
}

/// Whether a file is not worth a model's reading: installed, generated, locked, binary, too large.
pub(super) fn is_skipped(path: &str, bytes: &[u8]) -> bool {
    !of_path(path).is_read() || of_content(bytes) != Content::Text
}

/// Whether definitions are looked for in it.
pub(super) fn is_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_some_and(|(_, ending)| SOURCE.contains(&ending))
}

fn is_test_name(name: &str, stem: &str) -> bool {
    const MARKS: [&str; 5] = [".test", ".spec", "_test", "_spec", "-test"];
    name.starts_with("test_")
        || name == "conftest.py"
        || MARKS.iter().any(|mark| stem.ends_with(mark))
        || name.contains(".test-d.")
        || ["Test", "Tests", "IT", "TestCase", "Spec"].iter().any(|end| {
            stem.strip_suffix(end).is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_lowercase()))
        })
}

/// Text files that tools read.
fn is_build_text(name: &str) -> bool {
    name == "CMakeLists.txt" || (name.contains("requirements") && name.ends_with(".txt"))
}

/// Tools' own files that are written in a programming language.
fn is_configuration(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    ["config.js", "config.ts", "config.mjs", "config.cjs", "rc.js", "rc.cjs"]
        .iter()
        .any(|end| name.strip_suffix(end).is_some_and(|tool| tool.ends_with('.') || end.starts_with("rc")))
        || matches!(
            name,
            "setup.py"
                | "noxfile.py"
                | "gulpfile.js"
                | "Gruntfile.js"
                | "Rakefile"
                | "Gemfile"
                | "Makefile"
                | "Dockerfile"
                | "build.gradle"
                | "build.gradle.kts"
                | "settings.gradle"
        )
}

/// What the first bytes of a file of `size` bytes say.
pub(super) fn of_content(bytes: &[u8]) -> Content {
    if bytes.len() as u64 > LARGEST {
        return Content::Oversized;
    }
    let beginning = &bytes[..bytes.len().min(BINARY_BYTES)];
    if memchr::memchr(0, beginning).is_some() {
        return Content::Binary;
    }
    let lines = 1 + memchr::memchr_iter(b'\n', beginning).count();
    if beginning.len() >= MINIFIED_BYTES && beginning.len() / lines > MINIFIED_LINE {
        return Content::Generated;
    }
    if bytes.len() >= TABLE_BYTES && is_table(&bytes[bytes.len() / 2..][..TABLE_SAMPLE]) {
        return Content::Generated;
    }
    if is_marked_generated(&bytes[..bytes.len().min(HEAD_BYTES)]) {
        Content::Generated
    } else {
        Content::Text
    }
}

/// Whether a stretch of a large file has nothing but constants, as the registers of a device: nobody writes that.
fn is_table(sample: &[u8]) -> bool {
    let lines = sample.split(|&byte| byte == b'\n').skip(1).filter(|line| !line.trim_ascii().is_empty());
    let (mut all, mut constants) = (0, 0);
    for line in lines {
        all += 1;
        constants += usize::from(line.starts_with(b"#define "));
    }
    constants * 10 >= all * 9
}

fn is_marked_generated(head: &[u8]) -> bool {
    let mut lower = [0; HEAD_BYTES];
    let lower = &mut lower[..head.len()];
    lower.copy_from_slice(head);
    lower.make_ascii_lowercase();
    let has = |words: &str| memchr::memmem::find(lower, words.as_bytes()).is_some();
    if !has("generated") {
        return false;
    }
    has("@generated")
        || has("generated by javadoc")
        || has("generated by doxygen")
        || has("do not edit")
        || has("code generated by")
        || has("auto-generated by")
        || has("autogenerated by")
        || has("automatically generated by")
        || has("don't edit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_files_are() {
        use FileKind::*;
        for (path, kind) in [
            ("src/lib.rs", Source),
            ("lib/rack/utils.rb", Source),
            ("src/main/java/org/test/Runner.java", Source),
            ("src/test/java/org/FooTest.java", Test),
            ("src/requests/testing.py", Source),
            ("pkg/latest.go", Source),
            ("pkg/server_test.go", Test),
            ("test_app.py", Test),
            ("app/user.spec.ts", Test),
            ("tests/data.json", Fixture),
            ("pkg/testdata/in.go", Fixture),
            ("examples/hello.rs", Example),
            ("README.md", Docs),
            ("docs/conf.py", Docs),
            ("LICENSE", Docs),
            (".github/workflows/ci.yml", Config),
            ("package.json", Config),
            ("webpack.config.js", Config),
            ("setup.py", Config),
            ("CMakeLists.txt", Config),
            ("yarn.lock", Lock),
            ("vendor/a/b.go", Vendored),
            ("dist/app.js", Generated),
            ("api/v1.pb.go", Generated),
            ("logo.png", Binary),
            ("logo.svg", Data),
        ] {
            assert_eq!(of_path(path), kind, "{path}");
        }
    }

    #[test]
    fn bytes_say_what_files_are() {
        assert_eq!(of_content(b"fn a() {}\n"), Content::Text);
        assert_eq!(of_content(b""), Content::Text);
        assert_eq!(of_content(b"a\0b"), Content::Binary);
        assert_eq!(of_content(b"// Code generated by protoc-gen-go. DO NOT EDIT.\n"), Content::Generated);
        assert_eq!(of_content(b"// the generated report is kept\n"), Content::Text);
        assert_eq!(of_content("x=1;".repeat(2_000).as_bytes()), Content::Generated);
        assert_eq!(of_content("#define REGISTER__SHIFT 0x1\n".repeat(4_000).as_bytes()), Content::Generated);
        assert_eq!(of_content("#define A 1\nint f(void);\n".repeat(4_000).as_bytes()), Content::Text);
        assert_eq!(of_content(&vec![b'\n'; LARGEST as usize + 1]), Content::Oversized);
    }
}
