//! Go, Ruby, Maven and Gradle for real: what is found in a small project, its set-up, and its gates, in the sandbox
//! and without network. The packages are those that the machine has.
//!
//! Java's tools take long to install, so its tests are run by `make test-java`.

use super::*;

/// Finds, sets up and runs the gates of a project. Its set-up may reach a host that has no packages.
async fn reports(files: &[(&str, &str)]) -> (Dependencies, Vec<GateReport>) {
    let place = place();
    let base = snapshot(files);
    let cache_root = place.path().join("cache");
    let limits = Limits::default();
    let egress = EgressPolicy { allow_hosts: vec![HostName::parse("packages.example").expect("a host")] };
    let stores =
        Stores { cache_root: &cache_root, repository: "test/1", egress: Some(&egress), limits: &limits };
    let dependencies = prepare(&place.sandbox, &base, None, stores).await.expect("prepared");
    let mut reports = vec![];
    for gate in discover(&base, None).expect("readable") {
        let session = place.sandbox.open(&base).await.expect("a session");
        reports.push(run(&*session, &gate, &dependencies).await.expect("ran"));
        session.close().await.expect("closed");
    }
    (dependencies, reports)
}

fn verdicts(reports: &[GateReport]) -> Vec<(&str, &Verdict)> {
    reports.iter().map(|report| (report.name.as_str(), &report.verdict)).collect()
}

const GO_CI: &str = "on: pull_request\njobs:\n  a:\n    steps:\n      - run: |\n          go vet ./...\n          go test -count=1 ./...\n          \
                     test -z \"$(gofmt -l .)\"\n";
const GO_TEST: &str = "package adder\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\t\
                       t.Error(\"1 + 2 is not 3\")\n\t}\n}\n";

fn go_module(code: &str) -> [(&'static str, &str); 4] {
    [
        ("go.mod", "module example.com/adder\n\ngo 1.19\n"),
        ("adder.go", code),
        ("adder_test.go", GO_TEST),
        (".github/workflows/ci.yml", GO_CI),
    ]
}

#[tokio::test]
async fn a_go_module_passes_its_gates_and_a_fault_fails_each() {
    let good = "// Package adder adds.\npackage adder\n\n// Add is the sum.\nfunc Add(a, b int) int { return a + b }\n";
    let (_, reports) = reports(&go_module(good)).await;
    let passed = &Verdict::Passed;
    assert_eq!(
        verdicts(&reports),
        [("go test", passed), ("gofmt", passed), ("go vet", passed)],
        "{reports:?}"
    );

    let bad = "package adder\n\nimport \"fmt\"\n\nfunc Add(a, b int) int {\n    fmt.Printf(\"%d\\n\", \"x\")\n\treturn a - b\n}\n";
    let (_, reports) = self::reports(&go_module(bad)).await;
    assert!(reports.iter().all(|report| report.verdict == Verdict::Failed), "{reports:?}");
    let place = |name: &str| {
        let report = reports.iter().find(|report| report.name == name).expect("the gate");
        report.findings.iter().map(|one| (one.path.as_str().to_owned(), one.line)).collect::<Vec<_>>()
    };
    assert_eq!(place("gofmt"), [("adder.go".to_owned(), Some(1))]);
    assert!(place("go vet").contains(&("adder.go".to_owned(), Some(6))), "{reports:?}");
}

const RUBY_CI: &str = "on: pull_request\njobs:\n  a:\n    steps:\n      - run: bundle exec rake\n";
const RAKEFILE: &str = "require 'rake/testtask'\nRake::TestTask.new { |task| task.pattern = 'test/*_test.rb' }\ntask default: :test\n";
const RUBY_TEST: &str = "require 'minitest/autorun'\nrequire_relative '../lib/adder'\nclass AdderTest < Minitest::Test\n  def test_adds\n    \
                         assert_equal 3, Adder.add(1, 2)\n  end\nend\n";

fn gem(code: &str) -> [(&'static str, &str); 5] {
    [
        ("Gemfile", "source 'https://rubygems.org'\ngem 'rake'\ngem 'minitest'\n"),
        ("Rakefile", RAKEFILE),
        ("lib/adder.rb", code),
        ("test/adder_test.rb", RUBY_TEST),
        (".github/workflows/ci.yml", RUBY_CI),
    ]
}

#[tokio::test]
async fn a_gem_whose_bundle_the_machine_has_is_tested_without_its_registry() {
    let (dependencies, reports) = reports(&gem("module Adder\n  def self.add(a, b) = a + b\nend\n")).await;
    assert_eq!(verdicts(&reports), [("rake", &Verdict::Passed)], "{reports:?} {:?}", dependencies.records);
    // The registry was asked first, and refused.
    assert!(!dependencies.records[0].egress.is_empty(), "{:?}", dependencies.records);

    let (_, reports) = self::reports(&gem("module Adder\n  def self.add(a, b) = a - b\nend\n")).await;
    assert_eq!(verdicts(&reports), [("rake", &Verdict::Failed)], "{reports:?}");
}

const JAVA: &str = "package adder;\n\npublic final class Adder {\n    public static int add(int a, int b) { return a + b; }\n}\n";
const JAVA_TEST: &str = "package adder;\n\nimport static org.junit.Assert.assertEquals;\n\nimport org.junit.Test;\n\npublic class AdderTest {\n    \
                         @Test\n    public void adds() { assertEquals(3, Adder.add(1, 2)); }\n}\n";
const POM: &str = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  <groupId>example</groupId>\n  \
    <artifactId>adder</artifactId>\n  <version>1</version>\n  <properties>\n    <maven.compiler.source>17</maven.compiler.source>\n    \
    <maven.compiler.target>17</maven.compiler.target>\n    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>\n  </properties>\n  \
    <dependencies>\n    <dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.x</version><scope>test</scope></dependency>\n  \
    </dependencies>\n</project>\n";
/// Debian's packages of Java libraries are a repository for Maven.
const SETTINGS: &str = "<settings><mirrors><mirror><id>local</id><mirrorOf>*</mirrorOf><url>file:///usr/share/maven-repo</url></mirror></mirrors></settings>\n";

fn maven(code: &str) -> Vec<(&'static str, &str)> {
    let mut files = maven_from_the_registry(code);
    files.extend([(".mvn/settings.xml", SETTINGS), (".mvn/maven.config", "-s\n.mvn/settings.xml\n")]);
    files
}

fn maven_from_the_registry(code: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("pom.xml", POM),
        ("src/main/java/adder/Adder.java", code),
        ("src/test/java/adder/AdderTest.java", JAVA_TEST),
        (".github/workflows/ci.yml", "on: pull_request\njobs:\n  a:\n    steps:\n      - run: mvn -B test\n"),
    ]
}

#[tokio::test]
#[ignore = "needs Java's tools: `make test-java` installs them and runs it"]
async fn a_maven_project_is_fetched_once_and_then_tested_offline() {
    let (dependencies, reports) = reports(&maven(JAVA)).await;
    assert_eq!(
        verdicts(&reports),
        [("mvn test", &Verdict::Passed)],
        "{reports:?} {:?}",
        dependencies.records
    );
    let (_, reports) = self::reports(&maven(&JAVA.replace("a + b", "a - b"))).await;
    assert_eq!(verdicts(&reports), [("mvn test", &Verdict::Failed)], "{reports:?}");
}

#[tokio::test]
#[ignore = "needs Java's tools: `make test-java` installs them and runs it"]
async fn maven_asks_for_its_packages_through_the_proxy() {
    let (_, reports) = reports(&maven_from_the_registry(JAVA)).await;
    let Verdict::CouldNotRun { reason } = &reports[0].verdict else { panic!("{reports:?}") };
    assert!(reason.contains("was refused repo.maven.apache.org:443"), "{reason}");
}

#[tokio::test]
#[ignore = "needs Java's tools: `make test-java` installs them and runs it"]
async fn a_gradle_project_is_tested_offline() {
    let build = "apply plugin: 'java'\ndependencies { testCompile files('/usr/share/java/junit4.jar', '/usr/share/java/hamcrest-core.jar') }\n";
    let files = |code| {
        [
            ("build.gradle", build),
            ("src/main/java/adder/Adder.java", code),
            ("src/test/java/adder/AdderTest.java", JAVA_TEST),
            (
                ".github/workflows/ci.yml",
                "on: pull_request\njobs:\n  a:\n    steps:\n      - run: gradle build\n",
            ),
        ]
    };
    let (dependencies, reports) = reports(&files(JAVA)).await;
    assert_eq!(
        verdicts(&reports),
        [("gradle check", &Verdict::Passed)],
        "{reports:?} {:?}",
        dependencies.records
    );
    let wrong = JAVA.replace("a + b", "a - b");
    let (_, reports) = self::reports(&files(&wrong)).await;
    assert_eq!(verdicts(&reports), [("gradle check", &Verdict::Failed)], "{reports:?}");
}
