//! The project of the demo and its issue: a small library with tests, and a real bug.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "src/simulator/demo_project/"]
struct Project;

const ISSUE: &str = "issue.md";

/// The files of the repository by their paths, and the issue that people opened about it.
#[derive(Debug, Clone)]
pub struct DemoProject {
    pub files: BTreeMap<String, Vec<u8>>,
    pub issue_title: String,
    pub issue_body: String,
}

impl DemoProject {
    pub fn embedded() -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = Project::iter()
            .filter(|path| !path.starts_with("target/"))
            .filter_map(|path| Some((path.to_string(), Project::get(&path)?.data.into_owned())))
            .collect();
        let issue = files.remove(ISSUE).unwrap_or_default();
        let issue = String::from_utf8_lossy(&issue).into_owned();
        let (title, body) = issue.split_once('\n').unwrap_or((&issue, ""));
        Self {
            issue_title: title.trim_start_matches('#').trim().to_owned(),
            issue_body: body.trim().to_owned(),
            files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_whole() {
        let project = DemoProject::embedded();
        let paths: Vec<_> = project.files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                ".gitignore",
                "Cargo.lock",
                "Cargo.toml",
                "README.md",
                "src/ledger.rs",
                "src/lib.rs",
                "src/split.rs"
            ]
        );
        assert_eq!(project.issue_title, "split() loses cents");
        assert!(project.issue_body.starts_with("We use"));
    }
}
