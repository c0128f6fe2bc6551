//! What the tests of this room share.

pub(super) mod rules;
pub(super) mod samples;
