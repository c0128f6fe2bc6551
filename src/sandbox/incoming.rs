//! A tree on its way back from a container or a pod, as frames.

use super::copy_out::{LeftOut, Opened, ReadBack, RefusedEntry, Taken, TreeLimits};
use super::model::SandboxError;
use super::supervise::wire::{Assembly, Entry, Frame};
use super::tree;
use crate::workspace::{FileMode, RepoPath, Snapshot};

/// A tree on its way back: what the container says is checked as if strangers had said it.
pub(super) struct Incoming<'a> {
    taken: Taken<'a>,
    assembly: Assembly,
    tree: Snapshot,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(opened: &'a Opened, limits: TreeLimits) -> Self {
        let taken = Taken::new(opened, limits);
        Self { taken, assembly: Assembly::default(), tree: Snapshot::default() }
    }

    pub(super) fn take(&mut self, frame: &Frame) -> Result<(), SandboxError> {
        let taken = &self.taken;
        let admit = |entry: &Entry| taken.check_size(entry.bytes);
        let Some((path, entry)) = self.assembly.take(frame, admit)? else { return Ok(()) };
        let refuse =
            |reason: String| SandboxError::TreeRefused(vec![RefusedEntry { path: path.clone(), reason }]);
        let parsed = RepoPath::parse(path.clone()).map_err(|invalid| refuse(invalid.reason.into()))?;
        if entry.mode == FileMode::Symlink {
            self.taken.check_link(&parsed, &entry.bytes).map_err(&refuse)?;
        }
        if let Some(folder) = self.taken.new_product_folder(&parsed) {
            return Err(refuse(format!("it lies in {folder}, a build product that the tree did not have")));
        }
        self.taken.count(entry.bytes.len() as u64)?;
        if self.tree.files.insert(parsed, entry).is_some() {
            return Err(refuse("it came twice".into()));
        }
        Ok(())
    }
    /// All of it, once the other end has said that this was all.
    pub(super) fn finish(self, left_out: Vec<LeftOut>) -> Result<ReadBack, SandboxError> {
        if !self.assembly.is_between_files() {
            return Err(SandboxError::Setup {
                reason: "reading the tree back: its last file is not whole".into(),
            });
        }
        tree::refuse_files_that_are_folders(&self.tree)?;
        Ok(ReadBack { tree: self.tree, left_out })
    }
}
