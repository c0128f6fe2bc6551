//! Names that become paths, refs, addresses and hosts, and what a sandbox asks its way out for.

use orchestrator::domain::{BranchName, CommitSha};
use orchestrator::sandbox::{HostName, egress_target};
use orchestrator::workspace::{RemoteUrl, RepoPath};

use super::{Target, input};

pub const NAMES: Target = Target {
    name: "names",
    run: names,
    words: &[
        "/",
        ".",
        "..",
        ".git",
        ".GIT",
        "git~1",
        "\\",
        ":",
        "@",
        "@{",
        "~",
        "^",
        "*",
        "?",
        "[",
        " ",
        "-",
        "refs/heads/",
        "HEAD",
        ".lock",
        "auto/",
        "\u{200c}",
        "\u{feff}",
        "\u{202e}",
        "é",
        "日本",
        "\0",
        "\n",
        "\t",
        "a",
        "0123456789",
        "abcdef",
        "https://",
        "http://",
        "user:pw@",
        "[::1]",
        "localhost",
        ":443",
        "%2e",
        "#",
        "\u{7f}",
        "\u{130}",
        "ſ",
        "K",
    ],
    seeds: &[
        "src/lib.rs",
        "a/.GIT/config",
        ".g\u{200c}it/hooks",
        "auto/20261121T031500Z-42-fix",
        "0123456789abcdef0123456789abcdef01234567",
        "https://github.com",
        "http://[::1]:3000",
        "feature/x.lock",
        "https://user:pw@host",
    ],
    longest: 256,
    cap: 64 * 1024,
};

fn names(data: &[u8]) {
    let text = input::text(data, NAMES.words);
    if let Ok(path) = RepoPath::parse(text.as_str()) {
        assert_eq!(path.as_str(), text);
        let parts = || text.split('/');
        assert!(!text.starts_with('/') && parts().all(|part| !matches!(part, "" | "." | "..")));
        assert!(
            parts().all(|part| !part.eq_ignore_ascii_case(".git") && !part.eq_ignore_ascii_case("git~1"))
        );
        assert!(text.len() <= 4_096 && !text.contains(['\\', '\0', '\n']));
    }
    if let Ok(branch) = BranchName::parse(text.as_str()) {
        // git-check-ref-format(1)
        assert!(!text.is_empty() && !text.ends_with(['/', '.']) && !text.starts_with(['/', '-', '.']));
        assert!(!text.contains("..") && !text.contains("@{") && !text.contains("//") && !text.contains("/."));
        assert!(!text.contains(['~', '^', ':', '?', '*', '[', '\\', ' ', '\u{7f}']) && text != "@");
        assert!(text.split('/').all(|part| !part.ends_with(".lock")) && !text.chars().any(char::is_control));
        assert!(branch.to_ref().len() <= 255);
    }
    let at = chrono::DateTime::from_timestamp(1_795_230_900, 0).expect("a time");
    for issue in [None, Some(u64::MAX)] {
        let branch = BranchName::auto(at, issue, &text);
        assert_eq!(BranchName::parse(branch.as_str()).as_ref(), Ok(&branch), "made of {text:?}");
        assert!(branch.is_auto());
    }
    if let Ok(commit) = CommitSha::parse(text.as_str()) {
        assert!(commit.as_str().len() == 40 && commit.short().len() == 10);
    }
    if let Ok(host) = HostName::parse(&text) {
        assert_eq!(HostName::parse(&host.to_string()), Ok(host.clone()));
        assert!(host.name().parse::<std::net::IpAddr>().is_err() && host.port() > 0);
    }
    let (owner, name) = text.split_once('/').unwrap_or((&text, "b"));
    if let Ok(url) = RemoteUrl::new("https://github.com", owner, name) {
        let url = url.to_string();
        assert_eq!(url, format!("https://github.com/{owner}/{name}.git"));
    }
    match RemoteUrl::new(&text, "a", "b") {
        Ok(url) => {
            let url = url.to_string();
            assert!(url.starts_with("http") && url.ends_with("/a/b.git") && !url.contains('@'), "{url}");
        }
        Err(error) => assert!(!text.contains("pw@") || !error.to_string().contains("pw@"), "{error}"),
    }
}

pub const EGRESS: Target = Target {
    name: "egress-request",
    run: egress,
    words: &[
        "CONNECT ",
        "GET ",
        "connect ",
        "packages.example",
        "local.example",
        "PACKAGES.example",
        ":443",
        ":8443",
        ":80",
        " HTTP/1.1",
        "\r\n",
        "\n",
        " ",
        ".",
        "@",
        "[",
        "]",
        "::1",
        "127.0.0.1",
        "2130706433",
        "0x7f",
        "evil.example",
        "\0",
        "\t",
        "é",
        "%2e",
        "/",
        "+443",
    ],
    seeds: &[
        "CONNECT packages.example:443 HTTP/1.1\r\nHost: packages.example\r\n\r\n",
        "CONNECT local.example:8443 HTTP/1.1",
        "GET http://packages.example/ HTTP/1.1",
        "CONNECT [::1]:443 HTTP/1.1",
        "CONNECT packages.example@evil.example:443 HTTP/1.1",
    ],
    longest: 256,
    cap: 8 * 1024,
};

fn egress(data: &[u8]) {
    let head = input::text(data, EGRESS.words);
    let line = head.lines().next().unwrap_or_default();
    let hosts = ["packages.example", "local.example:8443"].map(|host| HostName::parse(host).expect("a host"));
    match egress_target(line, &hosts) {
        Ok((asked, host)) => {
            let (name, port) = asked.rsplit_once(':').expect("a port");
            assert!(name.eq_ignore_ascii_case(host.name()) && port.parse() == Ok(host.port()), "{line:?}");
            assert!(hosts.contains(host) && line.starts_with("CONNECT "));
        }
        Err((asked, why)) => assert!(line.contains(asked) && !why.is_empty()),
    }
}
