//! Files that are not worth a model's reading: installed, generated, locked, binary.

const FOLDERS: [&str; 10] = [
    "node_modules",
    "vendor",
    "third_party",
    "target",
    "dist",
    ".venv",
    "__pycache__",
    ".git",
    ".tox",
    "bower_components",
];
const NAMES: [&str; 10] = [
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "go.sum",
    "composer.lock",
];
const ENDINGS: [&str; 5] = [".min.js", ".min.css", ".map", ".svg", ".snap"];
const LARGEST: usize = 512 * 1024;
/// Where generators put their mark.
const HEAD_BYTES: usize = 600;

/// How many parts of the path lead to the first folder that is skipped.
pub(super) fn skipped_folder(parts: &[&str]) -> Option<usize> {
    let folders = &parts[..parts.len().saturating_sub(1)];
    folders.iter().position(|part| FOLDERS.contains(part)).map(|index| index + 1)
}

pub(super) fn is_skipped(path: &str, bytes: &[u8]) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts.last().copied().unwrap_or_default();
    skipped_folder(&parts).is_some()
        || NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || bytes.len() > LARGEST
        || bytes.iter().take(8_000).any(|&byte| byte == 0)
        || is_generated(bytes)
}

fn is_generated(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD_BYTES)]).to_lowercase();
    head.contains("@generated") || (head.contains("generated") && head.contains("do not edit"))
}
