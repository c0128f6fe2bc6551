//! What changes the world outside, one file an effect: find or create, by key.
