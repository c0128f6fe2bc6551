//! What bubblewrap is told: which of the host's files are there, which namespaces are new, and what the
//! environment is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::bubblewrap::Shared;
use super::identity::Owner;
use super::inside;
use super::launch::Plan;
use super::model::{Access, Command, Mount, Network};

/// Where the tree is inside.
pub const WORK: &str = "/tree";
/// The user inside, whoever it is outside.
const INNER_USER: &str = "1000";
/// Where programs are looked for behind the toolchains' own folders.
pub(super) const USUAL_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// Where our own program is inside.
pub const PROGRAM_INSIDE: &str = "/run/orchestrator/bin/orchestrator";
pub(super) const SOCKET: &str = "/run/orchestrator/egress.sock";
pub(super) const CA_BUNDLE: &str = "/run/orchestrator/ca.pem";

/// Folders that are links into `/usr` on most systems and folders on others.
const ROOT_FOLDERS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Everything that one start of bubblewrap needs to know.
pub(super) struct Inside<'a> {
    pub(super) shared: &'a Shared,
    pub(super) tree: &'a Path,
    /// What is `/etc` inside.
    pub(super) etc: &'a Path,
    pub(super) owner: Owner,
    pub(super) command: &'a Command,
    /// The host's end of the egress proxy.
    pub(super) egress: Option<&'a Path>,
}

impl Inside<'_> {
    /// The arguments of bubblewrap, the command included. What has to be visible is staged with `plan`.
    pub(super) fn arguments(&self, plan: &mut Plan) -> io::Result<Vec<OsString>> {
        let mut list = List::default();
        self.namespaces(&mut list);
        for (name, value) in self.environment() {
            list.add(["--setenv", &name, &value]);
        }
        self.system(&mut list, plan)?;
        for mount in self.shared.options.toolchains.iter().flat_map(|toolchain| &toolchain.mounts) {
            list.mount(mount, plan)?;
        }
        list.bind("--bind", plan.stage(self.tree)?, WORK);
        // It serves the file tools of a model, and forwards to the egress proxy where there is one.
        list.bind("--ro-bind", plan.stage(&self.shared.options.program)?, PROGRAM_INSIDE);
        if let Some(socket) = self.egress {
            list.bind("--bind", plan.stage(socket)?, SOCKET);
            if let Some(bundle) = &self.shared.options.ca_bundle {
                list.bind("--ro-bind", plan.stage(bundle)?, CA_BUNDLE);
            }
        }
        for mount in &self.command.mounts {
            list.mount(mount, plan)?;
        }
        for folder in &self.command.scratch {
            self.tmpfs(&mut list, &folder.display().to_string(), self.command.limits.memory_bytes / 4);
        }
        list.add(["--remount-ro", "/", "--remount-ro", "/dev"]);
        let folder = self.command.cwd.as_ref().map_or(WORK.to_owned(), |path| format!("{WORK}/{path}"));
        list.add(["--chdir", &folder]);
        Ok(list.0)
    }

    /// What bubblewrap starts: the command, behind the forwarder where it may use the network.
    pub(super) fn command(&self) -> Vec<OsString> {
        let mut list = List::default();
        // The limit counts processes in the sandbox's own user namespace only when it is set inside it
        // (Linux 5.14). As an ordinary user outside, it would count everything that the user runs.
        if let Owner::Own = self.owner {
            let count = self.command.limits.processes;
            let limit =
                format!("ulimit -u {count} 2>/dev/null || ulimit -p {count} 2>/dev/null; exec \"$@\"");
            list.add(["/bin/sh", "-c", &limit, "sh"]);
        }
        if self.egress.is_some() {
            list.add([PROGRAM_INSIDE, "in-sandbox", "forward", "--socket", SOCKET, "--"]);
        }
        list.0.extend(self.command.argv.iter().map(OsString::from));
        list.0
    }

    fn namespaces(&self, list: &mut List) {
        list.add(["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]);
        list.add(["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]);
        list.add(["--uid", INNER_USER, "--gid", INNER_USER, "--hostname", "sandbox", "--cap-drop", "ALL"]);
        if self.shared.features.disable_userns {
            list.add(["--disable-userns"]);
        }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let toolchains = &self.shared.options.toolchains;
        let mut path: Vec<String> =
            toolchains.iter().flat_map(|t| &t.path).map(|folder| folder.display().to_string()).collect();
        path.extend(USUAL_PATH.map(str::to_owned));
        let bundle = self.shared.options.ca_bundle.is_some().then_some(CA_BUNDLE);
        let mut env = base_environment(&self.command.network, bundle);
        env.insert("PATH".into(), path.join(":"));
        env.extend(toolchains.iter().flat_map(|t| t.env.clone()));
        env.extend(self.command.env.clone());
        env
    }

    fn system(&self, list: &mut List, plan: &mut Plan) -> io::Result<()> {
        list.add(["--ro-bind", "/usr", "/usr"]);
        for folder in ROOT_FOLDERS.iter().map(Path::new) {
            match std::fs::read_link(folder) {
                Ok(target) => list.bind("--symlink", target, folder),
                Err(_) if folder.is_dir() => list.bind("--ro-bind", folder.into(), folder),
                Err(_) => {}
            }
        }
        list.bind("--ro-bind", plan.stage(self.etc)?, "/etc");
        for folder in ["/run", "/run/orchestrator"] {
            list.add(["--perms", "0755", "--dir", folder]);
        }
        list.add(["--proc", "/proc", "--dev", "/dev"]);
        let memory = self.command.limits.memory_bytes;
        self.tmpfs(list, "/dev/shm", memory / 4);
        self.tmpfs(list, "/tmp", memory / 2);
        list.add(["--perms", "0755", "--dir", "/tmp/home", "--perms", "0555", "--dir", "/sys"]);
        Ok(())
    }

    fn tmpfs(&self, list: &mut List, inside: &str, bytes: u64) {
        if self.shared.features.size {
            list.add(["--size", &bytes.max(1 << 20).to_string()]);
        }
        list.add(["--perms", "1777", "--tmpfs", inside]);
    }
}

/// The environment of every command, in every backend; `bundle` is where certificates are inside.
pub(super) fn base_environment(network: &Network, bundle: Option<&str>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
    set("PATH", &USUAL_PATH.join(":"));
    set("HOME", "/tmp/home");
    set("TMPDIR", "/tmp");
    set("LANG", "C.UTF-8");
    set("USER", "sandbox");
    if matches!(network, Network::AllowList(_)) {
        let proxy = format!("http://{}", inside::FORWARDER);
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            set(name, &proxy);
        }
        set("NO_PROXY", "127.0.0.1,localhost");
        set("no_proxy", "127.0.0.1,localhost");
        if let Some(bundle) = bundle {
            CA_VARIABLES.iter().for_each(|name| {
                set(name, bundle);
            });
        }
    }
    env
}

/// The variables by which common tools are told of a bundle of certificates.
const CA_VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
];

#[derive(Default)]
struct List(Vec<OsString>);

impl List {
    fn add<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, host: PathBuf, inside: impl AsRef<Path>) {
        self.0.extend([how.into(), host.into_os_string(), inside.as_ref().as_os_str().to_owned()]);
    }

    fn mount(&mut self, mount: &Mount, plan: &mut Plan) -> io::Result<()> {
        let how = match mount.access {
            Access::ReadOnly => "--ro-bind",
            Access::ReadWrite => "--bind",
        };
        let staged = plan.stage(&mount.host);
        let staged =
            staged.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", mount.host.display())))?;
        self.bind(how, staged, &mount.inside);
        Ok(())
    }
}

/// A file in memory for bubblewrap to read: its arguments stay out of the list of processes, and may be
/// longer than that allows.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = nix::sys::memfd::memfd_create(c"sandbox", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Arguments as `bwrap --args` reads them.
pub(super) fn separated(arguments: &[OsString]) -> Vec<u8> {
    arguments.iter().flat_map(|argument| [OsStr::as_bytes(argument), b"\0"].concat()).collect()
}
