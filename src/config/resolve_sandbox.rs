//! What runs strangers' code, and how much it may use.

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::file;
use super::resolve::Resolver;
use super::sections::{ContainerConfig, SandboxBackend, SandboxConfig, UidRange};

impl Resolver<'_> {
    pub(super) fn sandbox(&self, file: file::Sandbox) -> Result<SandboxConfig, ConfigError> {
        let backends = [("bubblewrap", SandboxBackend::Bubblewrap), ("container", SandboxBackend::Container)];
        let backend = file.backend.as_deref().unwrap_or("bubblewrap");
        let backend = self.choice("sandbox.backend", backend, &backends)?;
        let container = self.container(backend, file.container)?;
        let hosts = file.setup.allow_hosts.unwrap_or_default();
        if hosts.iter().any(|host| !is_host(host)) {
            let problem = "expected names of hosts such as `index.crates.io` or `index.crates.io:443`: \
                           no scheme, no path";
            return Err(self.error("sandbox.setup.allow_hosts", problem));
        }
        let wall = self.number("sandbox.wall_seconds", file.wall_seconds, 900, 1..=86_400)?;
        let first =
            self.number("sandbox.uid_range.first", file.uid_range.first, 210_000, 1000..=4_000_000_000)?;
        Ok(SandboxConfig {
            backend,
            container,
            memory_mb: self.number("sandbox.memory_mb", file.memory_mb, 4096, 64..=1_048_576)?,
            cpu_seconds: self.number("sandbox.cpu_seconds", file.cpu_seconds, 1800, 1..=86_400)?,
            wall: Duration::from_secs(wall),
            processes: self.number("sandbox.processes", file.processes, 512, 8..=32_768)?,
            gates_at_once: self.number(
                "sandbox.gates_at_once",
                file.gates_at_once,
                SandboxConfig::gates_at_once(),
                1..=64,
            )?,
            setup_allow_hosts: hosts,
            uid_range: UidRange {
                first,
                count: self.number("sandbox.uid_range.count", file.uid_range.count, 64, 1..=65_536)?,
            },
            search_path: self.env.get("PATH").unwrap_or_default().to_owned(),
            ca_bundle: self.env.get("SSL_CERT_FILE").map(PathBuf::from),
        })
    }

    fn container(
        &self,
        backend: SandboxBackend,
        file: file::Container,
    ) -> Result<ContainerConfig, ConfigError> {
        let image = file.image.unwrap_or_default();
        if backend == SandboxBackend::Container && image.is_empty() {
            let problem = "name the image that commands run in, by its digest: `name@sha256:…`";
            return Err(self.error("sandbox.container.image", problem));
        }
        let socket = file.socket.unwrap_or_else(|| "/var/run/docker.sock".into());
        let socket = PathBuf::from(socket.strip_prefix("unix://").unwrap_or(&socket));
        if !socket.is_absolute() {
            let problem =
                "expected the path of the engine's Unix socket: the engine has to be on this machine";
            return Err(self.error("sandbox.container.socket", problem));
        }
        Ok(ContainerConfig { socket, image, runtime: file.runtime })
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) && host.split('.').all(label)
}
