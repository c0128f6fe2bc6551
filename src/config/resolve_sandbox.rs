//! What runs strangers' code, and how much it may use.

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::file;
use super::resolve::Resolver;
use super::sections::{ContainerConfig, KubernetesConfig, SandboxBackend, SandboxConfig, UidRange};

impl Resolver<'_> {
    pub(super) fn sandbox(&self, file: file::Sandbox) -> Result<SandboxConfig, ConfigError> {
        let backends = [SandboxBackend::Bubblewrap, SandboxBackend::Container, SandboxBackend::Kubernetes]
            .map(|backend| (backend.as_str(), backend));
        let backend = file.backend.as_deref().unwrap_or("bubblewrap");
        let backend = self.choice("sandbox.backend", backend, &backends)?;
        let container = self.container(backend, file.container)?;
        let kubernetes = self.kubernetes(backend, file.kubernetes)?;
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
            kubernetes,
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

    fn kubernetes(
        &self,
        backend: SandboxBackend,
        file: file::Kubernetes,
    ) -> Result<KubernetesConfig, ConfigError> {
        let image = file.image.unwrap_or_default();
        if backend == SandboxBackend::Kubernetes && image.is_empty() {
            let problem = "name the image that commands run in, by its digest (`name@sha256:…`): one that holds \
                           this very program";
            return Err(self.error("sandbox.kubernetes.image", problem));
        }
        let program = PathBuf::from(file.program.unwrap_or_else(|| "/usr/local/bin/orchestrator".into()));
        if !program.is_absolute() {
            let problem = "expected the path of this program in the image";
            return Err(self.error("sandbox.kubernetes.program", problem));
        }
        let namespace = file.namespace.unwrap_or_else(|| "orchestrator-sandboxes".into());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if namespace.is_empty() || namespace.len() > 63 || !namespace.chars().all(plain) {
            let problem = "expected the name of a namespace: lower-case letters, digits and hyphens";
            return Err(self.error("sandbox.kubernetes.namespace", problem));
        }
        let number = |name: &str, value, default, range| {
            self.number::<u64>(&format!("sandbox.kubernetes.{name}"), value, default, range)
        };
        Ok(KubernetesConfig {
            kubeconfig: file.kubeconfig.map(PathBuf::from),
            context: file.context,
            namespace,
            image,
            program,
            runtime_class: file.runtime_class,
            user_namespaces: file.user_namespaces.unwrap_or(false),
            node_selector: file.node_selector.unwrap_or_default(),
            cpus: self.number("sandbox.kubernetes.cpus", file.cpus, 2, 1..=256)?,
            disk_mb: number("disk_mb", file.disk_mb, 8192, 64..=1_048_576)?,
            start: Duration::from_secs(number("start_seconds", file.start_seconds, 300, 5..=3600)?),
        })
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
