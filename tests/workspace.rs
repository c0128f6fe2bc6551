//! The workspace against real git: a bare repository behind `git http-backend`, and a person's own folder.

#[path = "workspace/bundles.rs"]
mod bundles;
#[path = "workspace/contents.rs"]
mod contents;
#[path = "workspace/diffs.rs"]
mod diffs;
#[path = "workspace/git_server.rs"]
mod git_server;
#[path = "workspace/http.rs"]
mod http;
#[path = "workspace/local.rs"]
mod local;
#[path = "workspace/mirrors.rs"]
mod mirrors;
#[path = "workspace/scene.rs"]
mod scene;
#[path = "workspace/trees.rs"]
mod trees;
