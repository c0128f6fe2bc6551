//! Commits as bytes, so that another machine can go on with them: a git bundle (gitformat-bundle(5),
//! version 2), which a person can also read with `git fetch FILE`.

use std::collections::BTreeSet;
use std::io::Write;

use git2::{Buf, ObjectType, Oid, Repository};

use super::error::WorkspaceError;
use super::libgit2;
use super::mirror::{Mirror, find_commit};
use super::mirrors::{aside, sha};
use super::refs::CommitSha;

const SIGNATURE: &str = "# v2 git bundle\n";
/// The name of the one ref in a bundle of ours.
const REF_NAME: &str = "refs/heads/work";
/// The largest bundle that is taken in.
const LARGEST: usize = 512 << 20;
const LONGEST_HEADER: usize = 1 << 20;

impl Mirror {
    /// The commits that `head` has and `base` has not, with their files.
    pub fn bundle(&self, base: &CommitSha, head: &CommitSha) -> Result<Vec<u8>, WorkspaceError> {
        aside(|| {
            let repository = self.open()?;
            find_commit(&repository, base)?;
            find_commit(&repository, head)?;
            let commits = commits(&repository, head, std::slice::from_ref(base))?;
            if commits.is_empty() {
                return Err(WorkspaceError::InvalidRequest(format!("{base} already has all of {head}")));
            }
            let mut outside = BTreeSet::new();
            for id in &commits {
                outside.extend(
                    repository.find_commit(*id)?.parent_ids().filter(|parent| !commits.contains(parent)),
                );
            }
            let mut bytes = SIGNATURE.as_bytes().to_vec();
            for id in outside {
                bytes.extend_from_slice(format!("-{id}\n").as_bytes());
            }
            bytes.extend_from_slice(format!("{head} {REF_NAME}\n\n").as_bytes());
            bytes.extend_from_slice(&pack(&repository, head, std::slice::from_ref(base))?);
            Ok(bytes)
        })
    }

    /// Takes in the commits of a bundle and tells its head. The commits that it builds on must be here.
    pub fn unbundle(&self, bytes: &[u8]) -> Result<CommitSha, WorkspaceError> {
        aside(|| {
            let Header { prerequisites, head, pack } = parse(bytes)?;
            let repository = self.open()?;
            for commit in &prerequisites {
                find_commit(&repository, commit)?;
            }
            let odb = repository.odb()?;
            let mut writer = odb.packwriter()?;
            writer.write_all(pack).map_err(|error| bad(error.to_string()))?;
            writer.commit().map_err(|error| bad(error.message()))?;
            odb.refresh()?;
            check_complete(&repository, &head, &prerequisites)?;
            Ok(head)
        })
    }
}

/// A pack of what `head` reaches and `known` does not.
pub(super) fn pack(
    repository: &Repository,
    head: &CommitSha,
    known: &[CommitSha],
) -> Result<Vec<u8>, WorkspaceError> {
    let mut walk = repository.revwalk()?;
    walk.push(libgit2::oid(head)?)?;
    for commit in known {
        walk.hide(libgit2::oid(commit)?)?;
    }
    let mut builder = repository.packbuilder()?;
    builder.set_threads(1);
    builder.insert_walk(&mut walk)?;
    let mut pack = Buf::new();
    builder.write_buf(&mut pack)?;
    Ok(pack.to_vec())
}

fn commits(
    repository: &Repository,
    head: &CommitSha,
    known: &[CommitSha],
) -> Result<BTreeSet<Oid>, WorkspaceError> {
    let mut walk = repository.revwalk()?;
    walk.push(libgit2::oid(head)?)?;
    for commit in known {
        walk.hide(libgit2::oid(commit)?)?;
    }
    Ok(walk.collect::<Result<_, _>>()?)
}

struct Header<'a> {
    prerequisites: Vec<CommitSha>,
    head: CommitSha,
    pack: &'a [u8],
}

fn bad(reason: impl Into<String>) -> WorkspaceError {
    WorkspaceError::BadBundle(reason.into())
}

fn parse(bytes: &[u8]) -> Result<Header<'_>, WorkspaceError> {
    if bytes.len() > LARGEST {
        return Err(bad(format!("it is larger than {LARGEST} bytes")));
    }
    let rest = bytes.strip_prefix(SIGNATURE.as_bytes()).ok_or_else(|| bad("it does not begin as one"))?;
    let search = &rest[..rest.len().min(LONGEST_HEADER)];
    // A bundle without prerequisites begins its refs at once; the header always has at least one line.
    let end =
        search.windows(2).position(|pair| pair == b"\n\n").ok_or_else(|| bad("its header has no end"))?;
    let header = str::from_utf8(&rest[..end]).map_err(|_| bad("its header is not text"))?;
    let commit = |text: &str| CommitSha::parse(text).map_err(|error| bad(error.to_string()));
    let (mut prerequisites, mut heads) = (Vec::new(), Vec::new());
    for line in header.lines() {
        let (id, _) = line.split_once(' ').unwrap_or((line, ""));
        match id.strip_prefix('-') {
            Some(id) => prerequisites.push(commit(id)?),
            None => heads.push(commit(id)?),
        }
    }
    let [head] = heads.as_slice() else {
        return Err(bad(format!("it has {} heads instead of one", heads.len())));
    };
    Ok(Header { prerequisites, head: head.clone(), pack: &rest[end + 2..] })
}

/// Looks whether every object that the new commits name is here: a pack can be whole and still lack some.
fn check_complete(
    repository: &Repository,
    head: &CommitSha,
    prerequisites: &[CommitSha],
) -> Result<(), WorkspaceError> {
    let missing = |id: Oid| bad(format!("it lacks the object {id}"));
    let odb = repository.odb()?;
    let head_id = libgit2::oid(head)?;
    repository.find_commit(head_id).map_err(|_| missing(head_id))?;
    let mut checked = BTreeSet::new();
    for commit in prerequisites {
        checked.insert(find_commit(repository, commit)?.tree_id());
    }
    let commits = commits(repository, head, prerequisites).map_err(|error| bad(error.to_string()))?;
    for id in commits {
        let mut trees = vec![repository.find_commit(id).map_err(|_| missing(id))?.tree_id()];
        while let Some(id) = trees.pop() {
            if !checked.insert(id) {
                continue;
            }
            for entry in &repository.find_tree(id).map_err(|_| missing(id))? {
                match entry.kind() {
                    Some(ObjectType::Tree) => trees.push(entry.id()),
                    Some(ObjectType::Blob) if !odb.exists(entry.id()) => return Err(missing(entry.id())),
                    _ => {}
                }
            }
        }
    }
    tracing::debug!(head = %sha(head_id), "a bundle was taken in");
    Ok(())
}
