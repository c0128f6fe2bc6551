//! The program as a process of its own, to be killed.

#![allow(dead_code, reason = "two test programs share it, and each uses a part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::scene::{PROGRAM, Scene, wait};

/// A running program of ours; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// How it is started, beside what its scene says.
#[derive(Default)]
pub struct Start {
    pub environment: Vec<(String, String)>,
    /// A program that becomes ours, with its arguments.
    pub wrapper: Vec<String>,
}

/// Starts `orchestrator run`.
pub fn run(scene: &Scene, arguments: &[&str]) -> Process {
    Process::start(scene, "run", arguments)
}

impl Process {
    /// Starts `orchestrator serve` and tells GitHub where it is.
    pub async fn serve(scene: &Scene) -> Self {
        Self::serve_with(scene, &Start::default()).await
    }

    pub async fn serve_with(scene: &Scene, start: &Start) -> Self {
        let process = Self::start_with(scene, "serve", &[], start);
        let address = wait("`serve` to listen", || async { process.address() }).await;
        scene.around.deliver_to(address);
        process
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    fn start(scene: &Scene, command: &str, arguments: &[&str]) -> Self {
        Self::start_with(scene, command, arguments, &Start::default())
    }

    fn start_with(scene: &Scene, command: &str, arguments: &[&str], start: &Start) -> Self {
        let (config, variables) = scene.for_a_process();
        let log = tempfile::Builder::new().prefix(command).suffix(".log").tempfile_in(scene.folder());
        let (file, log) = log.expect("a log").keep().expect("kept");
        let mut words = start.wrapper.iter().map(String::as_str).chain([PROGRAM]);
        let mut process = Command::new(words.next().unwrap_or(PROGRAM));
        process.args(words);
        process.arg("--config").arg(config).arg(command).args(arguments);
        process.env_clear().envs(variables).env("ORCHESTRATOR_LOG_FORMAT", "json");
        process.envs(start.environment.iter().cloned());
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Self { child: process.spawn().expect("the program starts"), log }
    }

    /// The lines of its log so far.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).expect("the log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn address(&self) -> Option<SocketAddr> {
        let serving = self.log().into_iter().find(|line| line["message"] == "serving");
        serving.and_then(|line| line["address"].as_str()?.parse().ok())
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.end();
    }

    pub async fn ends_well(mut self) {
        let child = std::cell::RefCell::new(&mut self.child);
        let status = wait("the program to end", || async {
            child.borrow_mut().try_wait().expect("a process of ours")
        });
        let status = status.await;
        assert!(status.success(), "{status}: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
    }

    /// Waits until nothing is left of it.
    fn end(&mut self) {
        // An error tells that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the last lines of its log:");
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
