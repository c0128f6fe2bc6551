//! The stages of a task, one file each. A stage thinks and never posts.
