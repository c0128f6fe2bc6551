//! Compilers and interpreters of the host that are made visible inside, on purpose.
//!
//! What lies below `/usr` is visible anyway; some of it, such as `/usr/local/go`, has only to be put on the
//! `PATH`. Version managers put a shim on the `PATH` and the real thing below a home folder: here the real
//! thing is found and mounted at its own path, the shim is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::arguments::USUAL_PATH;
use super::model::{Access, Mount};

/// One toolchain: what to mount, and where its programs then are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// For people, such as `rust` or `python 3`.
    pub name: String,
    pub mounts: Vec<Mount>,
    /// Folders added in front of the sandbox's `PATH`.
    pub path: Vec<PathBuf>,
    pub env: BTreeMap<String, String>,
}

impl Toolchain {
    /// A toolchain that lies below one folder and is used at the same path inside.
    pub fn at(name: &str, folder: &Path, programs: &Path) -> Self {
        let mount = Mount { host: folder.into(), inside: folder.into(), access: Access::ReadOnly };
        Self { name: name.into(), mounts: vec![mount], path: vec![programs.into()], env: BTreeMap::new() }
    }
}

/// Finds Rust, Python, Node, Go, Ruby and Java with its builders in a search path such as the value of `PATH`.
///
/// The toolchains' own programs are asked where they live. They run from `/`, so that no file of a project
/// chooses another version.
pub fn detect(search: &str) -> Vec<Toolchain> {
    let rust = find(search, "rustc")
        .and_then(|program| answer(&program, &["--print", "sysroot"]))
        .map(|folder| ("rust", folder));
    let python = find(search, "python3")
        .and_then(|program| answer(&program, &["-I", "-c", "import sys; print(sys.base_prefix)"]))
        .map(|folder| ("python", folder));
    let node = prefix_of(search, "node").map(|folder| ("node", folder));
    let go = find(search, "go")
        .and_then(|program| answer(&program, &["env", "GOROOT"]))
        .map(|folder| ("go", folder));
    let ruby = find(search, "ruby")
        .and_then(|program| answer(&program, &["-e", "print RbConfig::CONFIG['prefix']"]))
        .map(|folder| ("ruby", folder));
    let by_folder =
        ["java", "mvn", "gradle"].map(|name| prefix_of(search, name).map(|folder| (name, folder)));
    [rust, python, node, go, ruby]
        .into_iter()
        .chain(by_folder)
        .flatten()
        .filter_map(|(name, folder)| made_visible(name, &folder))
        .collect()
}

/// What has to be done for a toolchain in a folder, if anything.
fn made_visible(name: &str, folder: &Path) -> Option<Toolchain> {
    let programs = folder.join("bin");
    // One that claims to lie in `/` would make the whole machine visible.
    if folder.parent().is_none() || USUAL_PATH.iter().any(|usual| Path::new(usual) == programs) {
        return None;
    }
    let mut toolchain = Toolchain::at(name, folder, &programs);
    if folder.starts_with("/usr") {
        toolchain.mounts.clear();
    }
    Some(toolchain)
}

/// The first executable file of a name in a search path.
fn find(search: &str, name: &str) -> Option<PathBuf> {
    std::env::split_paths(search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file())
}

/// The folder above `bin` of the real file behind a program.
fn prefix_of(search: &str, name: &str) -> Option<PathBuf> {
    let real = find(search, name)?.canonicalize().ok()?;
    let programs = real.parent()?;
    if programs.file_name()? == "bin" { Some(programs.parent()?.to_path_buf()) } else { None }
}

/// The absolute path that a program prints.
fn answer(program: &Path, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).current_dir("/").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(text.trim()).canonicalize().ok()?;
    (output.status.success() && folder.is_dir()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_toolchain_behind_a_shim_is_found_where_it_really_is() {
        let home = tempfile::tempdir().expect("a folder");
        let (shims, real) = (home.path().join("shims"), home.path().join("versions/9/"));
        std::fs::create_dir_all(real.join("bin")).expect("real");
        std::fs::create_dir(&shims).expect("shims");
        let shim = shims.join("rustc");
        std::fs::write(&shim, format!("#!/bin/sh\necho {}\n", real.display())).expect("shim");
        std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).expect("mode");
        let found = detect(shims.to_str().expect("text"));
        let real = real.canonicalize().expect("there");
        assert_eq!(found, [Toolchain::at("rust", &real, &real.join("bin"))]);
    }

    #[test]
    fn what_lies_below_usr_needs_no_mount() {
        assert!(detect("/usr/bin:/bin").iter().all(|toolchain| toolchain.mounts.is_empty()));
        assert_eq!(made_visible("node", Path::new("/usr/local")), None);
    }

    #[test]
    fn a_toolchain_in_a_folder_of_its_own_below_usr_is_put_on_the_path() {
        let folder = Path::new("/usr/local/rustup/toolchains/stable");
        let found = made_visible("rust", folder).expect("not on the usual path");
        assert_eq!((found.mounts, found.path), (vec![], vec![folder.join("bin")]));
    }

    #[test]
    fn a_toolchain_that_claims_the_whole_machine_is_none() {
        assert_eq!(made_visible("python", Path::new("/")), None);
    }
}
