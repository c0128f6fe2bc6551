//! `orchestrator serve` as a process of its own, to be killed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::scene::{PROGRAM, Scene, wait};

/// A running `orchestrator serve`; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts one and tells GitHub where it is.
    pub async fn serve(scene: &Scene) -> Self {
        let (config, variables) = scene.for_a_process();
        let log = tempfile::Builder::new().prefix("serve-").suffix(".log").tempfile_in(scene.folder());
        let (file, log) = log.expect("a log").keep().expect("kept");
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(config).arg("serve").env_clear().envs(variables);
        let process = Self { child: spawn(command, file), log };
        let address = wait("`serve` to listen", || async { process.address() }).await;
        scene.around.deliver_to(address);
        process
    }

    fn address(&self) -> Option<SocketAddr> {
        let text = std::fs::read_to_string(&self.log).expect("the log");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let serving = lines.into_iter().find(|line| line["message"] == "serving");
        serving.and_then(|line| line["address"].as_str()?.parse().ok())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the last lines of `serve`:");
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

pub fn spawn(mut command: Command, log: File) -> Child {
    command.env("ORCHESTRATOR_LOG_FORMAT", "json").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the program starts")
}

/// kill -9, and waits until nothing is left of it.
pub fn end(child: &mut Child) {
    // An error tells that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
