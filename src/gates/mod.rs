//! Quality gates: finding those of a repository, running them, reading what they say.
