//! Which files and snippets a model sees.
