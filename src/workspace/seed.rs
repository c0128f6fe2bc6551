//! The first copy of a person's repository: its packs and loose objects, file by file. A transfer would pack all of
//! its history anew, which takes minutes where a repository is large and hours where it is very large.

use std::fs;
use std::path::Path;

use git2::Repository;

use super::error::WorkspaceError;
use super::mirrors::io;

/// Copies all objects of `theirs` into `ours`, which is our new mirror of it and has no reference yet: nobody reads
/// in it before the transfer that follows has found everything there and sets the references. Nothing is
/// copied where some of their objects lie elsewhere; the transfer finds those, or says that they are missing.
pub(super) fn seed(ours: &Repository, theirs: &Repository) -> Result<(), WorkspaceError> {
    let (from, to) = (theirs.commondir().join("objects"), ours.path().join("objects"));
    if ours.references()?.next().is_some() || from.join("info/alternates").exists() {
        return Ok(());
    }
    let packs = files(&from.join("pack"))?;
    if packs.iter().any(|name| name.ends_with(".promisor")) {
        return Ok(());
    }
    let is_index = |name: &&String| name.ends_with(".idx");
    let is_pack = |name: &&String| name.ends_with(".pack");
    // The indexes last: a pack without one is not there for any reader.
    for name in packs.iter().filter(is_pack).chain(packs.iter().filter(is_index)) {
        copy(&from.join("pack").join(name), &to.join("pack"), name)?;
    }
    for folder in fs::read_dir(&from).map_err(io("cannot list", &from))?.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if name.len() != 2 || !is_hexadecimal(&name) {
            continue;
        }
        let folder = to.join(&name);
        fs::create_dir_all(&folder).map_err(io("cannot make the folder", &folder))?;
        for rest in files(&from.join(&name))?.iter().filter(|rest| rest.len() == 38 && is_hexadecimal(rest)) {
            copy(&from.join(&name).join(rest), &folder, rest)?;
        }
    }
    ours.odb()?.refresh()?;
    Ok(())
}

fn is_hexadecimal(name: &str) -> bool {
    name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The names of the files in a folder; links and other things are none.
fn files(folder: &Path) -> Result<Vec<String>, WorkspaceError> {
    let entries = fs::read_dir(folder).map_err(io("cannot list", folder))?.flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    Ok(files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Copies a file beside its place and moves it there, so that a half of it is never taken for the whole.
fn copy(file: &Path, folder: &Path, name: &str) -> Result<(), WorkspaceError> {
    let place = folder.join(name);
    if place.exists() {
        return Ok(());
    }
    // Named as what libgit2 leaves behind, which is swept.
    let beside = folder.join(format!("copy_git2_{name}"));
    fs::copy(file, &beside).map_err(io("cannot copy", file))?;
    fs::rename(&beside, &place).map_err(io("cannot make", &place))
}
