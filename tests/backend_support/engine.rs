//! A container engine of the tests' own: Podman's service on a socket, with an image that holds a shell and
//! the libraries that our program needs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub struct Engine {
    pub socket: PathBuf,
    /// By digest.
    pub image: String,
    pub service: u32,
    home: PathBuf,
}

/// The engine ends by itself this long after the last test program has gone.
const IDLE_SECONDS: &str = "120";

impl Engine {
    /// The engine of this test program, started at the first call.
    pub fn get() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(Self::start)
    }

    fn start() -> Self {
        // Kept from run to run: the image is imported once.
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("podman");
        fs::create_dir_all(&home).expect("a folder");
        let lock = fs::File::create(home.join("lock")).expect("a lock");
        lock.lock().expect("locked");
        fs::write(home.join("containers.conf"), CONF).expect("a configuration");
        let image = image(&home);
        // A socket's path may not be long.
        let socket = std::env::temp_dir().join(format!("orchestrator-podman-{}.sock", std::process::id()));
        let mut child = podman(&home)
            .args(["system", "service", "--time", IDLE_SECONDS])
            .arg(format!("unix://{}", socket.display()))
            // Its monitor leaves a file where it stands when memory runs out.
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("service.log")).expect("a log"))
            .spawn()
            .expect("Podman: run scripts/bootstrap --test");
        let service = child.id();
        std::thread::spawn(move || child.wait());
        let deadline = Instant::now() + Duration::from_secs(120);
        while UnixStream::connect(&socket).is_err() {
            let log = fs::read_to_string(home.join("service.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Podman's service does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        // It lives for as long as its tests: while those of other backends run, nobody else talks to it.
        let kept = socket.clone();
        std::thread::spawn(move || {
            while let Ok(mut stream) = UnixStream::connect(&kept) {
                let _ = stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n");
                let _ = stream.read_to_end(&mut Vec::new());
                std::thread::sleep(Duration::from_secs(3));
            }
        });
        Self { socket, image, service, home }
    }

    /// Podman's command line, on the same containers.
    pub fn podman(&self, arguments: &[&str]) -> String {
        output(podman(&self.home).args(arguments))
    }

    /// The containers and volumes of a deployment.
    pub fn of_deployment(&self, work_root: &Path) -> Vec<String> {
        let deployment = fs::read_to_string(work_root.join("deployment")).expect("a deployment");
        let filter = format!("label=orchestrator.deployment={deployment}");
        let containers = self.podman(&["ps", "-aq", "--filter", &filter]);
        let volumes = self.podman(&["volume", "ls", "-q", "--filter", &filter]);
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }
}

/// What Podman needs where there is no systemd, and where limits may not be raised.
const CONF: &str = r#"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"#;

fn podman(home: &Path) -> Command {
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", home.join("containers.conf"));
    command.arg("--root").arg(home.join("root")).arg("--runroot").arg(home.join("run"));
    command.args(["--storage-driver", "overlay"]);
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("a program that scripts/bootstrap --test installs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The digest of an image with BusyBox and our program's libraries; imported where it is not there yet.
fn image(home: &Path) -> String {
    let staging = tempfile::tempdir_in(home).expect("a folder");
    let root = staging.path();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|file| Path::new(file).exists());
    let busybox = busybox.expect("BusyBox: run scripts/bootstrap --test");
    fs::create_dir_all(root.join("bin")).expect("a folder");
    fs::create_dir_all(root.join("tmp")).expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(root.join("tmp"), open).expect("a mode");
    fs::copy(busybox, root.join("bin/busybox")).expect("BusyBox");
    for name in output(Command::new(busybox).arg("--list")).lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
    }
    let libraries = output(Command::new("ldd").arg(env!("CARGO_BIN_EXE_orchestrator")));
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(library, target).expect("a library");
    }
    let archive = staging.path().with_extension("tar");
    let pack = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf"];
    output(Command::new("tar").args(pack).arg(&archive).arg("-C").arg(root).arg("."));
    let digest = output(Command::new("sha256sum").arg(&archive));
    let name = format!("localhost/orchestrator-test:{}", &digest[..20]);
    if !podman(home).args(["image", "exists", &name]).status().expect("Podman").success() {
        output(podman(home).arg("import").arg(&archive).arg(&name));
    }
    fs::remove_file(&archive).expect("removed");
    output(podman(home).args(["image", "inspect", "--format", "{{index .RepoDigests 0}}", &name]))
}
