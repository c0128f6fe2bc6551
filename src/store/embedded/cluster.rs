//! One cluster: made, configured, started, asked and stopped. The caller holds `start.lock`.

use super::*;

/// A folder of PostgreSQL's with the programs and the user that belong to it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub home: Home,
    pub timeout: Duration,
    account: Account,
    binaries: Binaries,
    durability: Durability,
}

/// What a connection says about the server.
enum Answer {
    Runs,
    /// Starting up, shutting down or recovering.
    NotYet,
    Silent,
}

impl Cluster {
    /// Finds the user and the programs, and makes the cluster if there is none.
    pub fn open(home: Home, options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let folder = home.cluster();
        let account = Account::choose(&folder)?;
        if User::from_uid(Uid::from_raw(account.uid())).ok().flatten().is_none() {
            return Err(EmbeddedError::NamelessUser(account.uid()));
        }
        let found = match &options.binaries {
            Some(folder) => Binaries::at(folder.clone()).into_iter().collect(),
            None => Binaries::find_all(),
        };
        let binaries = Binaries::choose(found, &folder)?;
        let cluster =
            Self { home, timeout: options.timeout, account, binaries, durability: options.durability };
        cluster.remove_half_made()?;
        if !folder.join("PG_VERSION").exists() {
            cluster.create()?;
        }
        Ok(cluster)
    }

    /// Runs `initdb` beside the cluster's place and moves the result there whole, so that a crash in
    /// the middle leaves nothing that looks like a cluster.
    fn create(&self) -> Result<(), EmbeddedError> {
        let place = self.home.cluster();
        if fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(EmbeddedError::NotACluster(place));
        }
        // A name of its own: an `initdb` whose parent was killed may still be at work in another.
        let unfinished = self.home.0.join(format!("cluster.new-{}", clock::new_id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(io_error("cannot create", &unfinished))?;
        self.account.give(&unfinished)?;
        let mut initdb = self.program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        if self.durability == Durability::Throwaway {
            initdb.arg("--no-sync");
        }
        run("initdb", initdb.arg("-D").arg(unfinished.file_name().unwrap_or_default()))?;
        fs::rename(&unfinished, &place).map_err(io_error("cannot move the new cluster to", &place))?;
        let home = &self.home.0;
        File::open(home).and_then(|home| home.sync_all()).map_err(io_error("cannot sync", home))
    }

    /// Removes what an `initdb` that was cut off left behind. One whose parent was killed may still write
    /// for a moment, until it misses its files.
    fn remove_half_made(&self) -> Result<(), EmbeddedError> {
        let entries = fs::read_dir(&self.home.0).map_err(io_error("cannot read", &self.home.0))?;
        let half_made = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("cluster.new-");
        for entry in entries.filter_map(Result::ok).filter(|entry| half_made(&entry.file_name())) {
            let path = entry.path();
            let mut tries = 0;
            while let Err(error) = fs::remove_dir_all(&path) {
                tries += 1;
                if error.kind() == io::ErrorKind::NotFound {
                    break;
                }
                if tries == 40 {
                    tracing::warn!(path = %path.display(), %error, "a half-made cluster stays until the next start");
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Makes sure that the server runs and has our role and database. Returns the socket's folder.
    pub async fn start(&self, deadline: Instant) -> Result<PathBuf, EmbeddedError> {
        let socket = loop {
            wait_until(deadline, "PostgreSQL to start", self.timeout)?;
            let postmaster = self.postmaster();
            if let Some(Postmaster { socket: Some(socket), .. }) = &postmaster {
                match self.ask(socket).await? {
                    Answer::Runs => break socket.clone(),
                    Answer::NotYet => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                    Answer::Silent => {}
                }
            }
            match postmaster {
                Some(running) if self.is_ours(running.pid) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                stale => self.launch(stale.is_some(), deadline).await?,
            }
        };
        self.introduce(&socket).await?;
        Ok(socket)
    }

    /// Whether the process is a server of this cluster. A process id of a dead server may by now belong
    /// to anybody.
    fn is_ours(&self, pid: u32) -> bool {
        let here = fs::metadata(self.home.cluster());
        // A server's working folder is its cluster.
        match (here, fs::metadata(format!("/proc/{pid}/cwd"))) {
            (Ok(here), Ok(there)) => (here.dev(), here.ino()) == (there.dev(), there.ino()),
            // Root in a container may not look into another user's process. Its name and user are open;
            // with these, a server is rather taken for ours than started twice.
            (_, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let owner = fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid());
                name.trim() == "postgres" && owner.is_ok_and(|owner| owner == self.account.uid())
            }
            _ => false,
        }
    }

    async fn launch(&self, stale: bool, deadline: Instant) -> Result<(), EmbeddedError> {
        let socket = self.socket_folder()?;
        self.configure(&socket)?;
        self.prepare_log()?;
        if stale {
            // The server would refuse to start if the number in it belongs to another process of its user.
            let file = self.home.cluster().join("postmaster.pid");
            fs::remove_file(&file).map_err(io_error("cannot remove", &file))?;
        }
        let seconds = deadline.saturating_duration_since(Instant::now()).as_secs().max(1);
        let mut start = self.program("pg_ctl");
        start.args(["start", "--wait", "--silent", "-D", "cluster", "-l", "server.log"]);
        start.arg(format!("--timeout={seconds}")).stdout(Stdio::null()).stderr(Stdio::null());
        let status = tokio::process::Command::from(start).status().await;
        let status = status.map_err(io_error("cannot run", &self.binaries.folder.join("pg_ctl")))?;
        if status.success() {
            return Ok(());
        }
        let log = self.log_tail();
        // Server processes outlive a killed server for a moment.
        if log.contains("is still in use") || log.contains("already exists") {
            tokio::time::sleep(Duration::from_millis(200)).await;
            return wait_until(deadline, "the processes of a killed PostgreSQL to end", self.timeout);
        }
        Err(EmbeddedError::Program { program: "pg_ctl start", message: self.explain(&log) })
    }

    fn explain(&self, log: &str) -> String {
        let path = self.home.log();
        match log.trim() {
            "" if !self.account.reaches(&self.home.0) => format!(
                "the user who runs PostgreSQL cannot pass through to {}: choose a data folder that every user \
                 can enter, such as /var/lib/orchestrator (ORCHESTRATOR_DATA_DIR)",
                self.home.0.display()
            ),
            "" => format!("there is nothing in {}", path.display()),
            log => format!("{log} (from {})", path.display()),
        }
    }

    fn program(&self, name: &str) -> Command {
        self.account.command(&self.binaries.folder.join(name), &self.home.0)
    }

    /// The folder of the socket: below ours, or a short one where that path would be too long.
    fn socket_folder(&self) -> Result<PathBuf, EmbeddedError> {
        let inside = self.home.0.join("socket");
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
        let text = inside.to_str().filter(|text| text.chars().all(plain));
        let folder = match text {
            Some(text) if text.len() + SOCKET_NAME.len() <= LONGEST_SOCKET_PATH => inside,
            _ => {
                use sha2::Digest;
                let digest = sha2::Sha256::digest(inside.as_os_str().as_encoded_bytes());
                PathBuf::from(format!("/tmp/orchestrator-{}", hex::encode(&digest[..8])))
            }
        };
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => self.account.give(&folder)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_folder(&folder)?,
            Err(error) => return Err(io_error("cannot create", &folder)(error)),
        }
        Ok(folder)
    }

    /// A folder in /tmp may have been put there by anybody.
    fn check_folder(&self, folder: &Path) -> Result<(), EmbeddedError> {
        let metadata = fs::symlink_metadata(folder).map_err(io_error("cannot read", folder))?;
        if !metadata.is_dir() || metadata.uid() != self.account.uid() {
            return Err(EmbeddedError::Foreign { folder: folder.to_owned(), owner: metadata.uid() });
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder, private).map_err(io_error("cannot protect", folder))
    }

    /// Writes the server's whole configuration, so that an old cluster gets what this version wants.
    fn configure(&self, socket: &Path) -> Result<(), EmbeddedError> {
        // The throw-away server is that of many deployments at once.
        let (durable, connections) = match self.durability {
            Durability::Durable => ("on", 50),
            Durability::Throwaway => ("off", 200),
        };
        let text = format!(
            "# Written at every start; changes here are lost.\n\
             listen_addresses = ''\n\
             port = 5432\n\
             unix_socket_directories = '{}'\n\
             unix_socket_permissions = 0700\n\
             max_connections = {connections}\n\
             shared_buffers = '32MB'\n\
             max_wal_size = '256MB'\n\
             wal_level = minimal\n\
             max_wal_senders = 0\n\
             huge_pages = off\n\
             jit = off\n\
             fsync = {durable}\n\
             synchronous_commit = {durable}\n\
             full_page_writes = {durable}\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             lc_messages = 'C'\n",
            socket.display()
        );
        let cluster = self.home.cluster();
        for (name, text) in [
            ("postgresql.conf", text.as_str()),
            ("pg_hba.conf", "local all all trust\n"),
            ("pg_ident.conf", ""),
        ] {
            let (path, fresh) = (cluster.join(name), cluster.join(format!("{name}.new")));
            fs::write(&fresh, text).map_err(io_error("cannot write", &fresh))?;
            self.account.give(&fresh)?;
            fs::rename(&fresh, &path).map_err(io_error("cannot write", &path))?;
        }
        Ok(())
    }

    fn prepare_log(&self) -> Result<(), EmbeddedError> {
        let log = self.home.log();
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_BYTES_KEPT) {
            fs::rename(&log, log.with_extension("log.old")).map_err(io_error("cannot rename", &log))?;
        }
        let options = OpenOptions::new().append(true).create(true).mode(0o600).clone();
        options.open(&log).map_err(io_error("cannot open", &log))?;
        self.account.give(&log)
    }

    fn log_tail(&self) -> String {
        let text = fs::read(self.home.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn postmaster(&self) -> Option<Postmaster> {
        let text = fs::read_to_string(self.home.cluster().join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // Line 5 is the socket's folder; it is written a moment after the first lines.
        let socket = lines.nth(3).map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from);
        Some(Postmaster { pid, socket })
    }

    /// Connects, and makes sure that it is the server of this cluster that answers.
    async fn ask(&self, socket: &Path) -> Result<Answer, EmbeddedError> {
        let options = connect_options(socket, "postgres", "postgres");
        let connected = match tokio::time::timeout(Duration::from_secs(5), options.connect()).await {
            Ok(connected) => connected,
            Err(_) => return Ok(Answer::NotYet),
        };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "57P03") => {
                return Ok(Answer::NotYet);
            }
            Err(sqlx::Error::Io(_)) => return Ok(Answer::Silent),
            Err(error) => return Err(error.into()),
        };
        let folder = show(&mut connection, "show data_directory").await?;
        let fsync = show(&mut connection, "show fsync").await?;
        connection.close().await?;
        if !same_folder(Path::new(&folder), &self.home.cluster()) {
            return Ok(Answer::Silent);
        }
        if self.durability == Durability::Durable && fsync != "on" {
            return Err(EmbeddedError::RunsThrowaway(self.home.0.clone()));
        }
        Ok(Answer::Runs)
    }

    /// Makes the role and the database where they are missing.
    async fn introduce(&self, socket: &Path) -> Result<(), EmbeddedError> {
        let mut connection = connect_options(socket, "postgres", "postgres").connect().await?;
        if !exists(&mut connection, "select 1 from pg_roles where rolname = 'orchestrator'").await? {
            sqlx::query("create role orchestrator login createdb").execute(&mut connection).await?;
        }
        if !exists(&mut connection, "select 1 from pg_database where datname = 'orchestrator'").await? {
            sqlx::query("create database orchestrator owner orchestrator").execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Stops the server unless somebody else holds it. The caller has `start.lock`, so nobody can come
    /// to hold it in between.
    pub fn stop_if_last(&self, hold: &File) -> Result<(), EmbeddedError> {
        let path = self.home.0.join("owners.lock");
        hold.unlock().map_err(io_error("cannot unlock", &path))?;
        match hold.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(()),
            Err(fs::TryLockError::Error(error)) => return Err(io_error("cannot lock", &path)(error)),
        }
        let Some(postmaster) = self.postmaster().filter(|postmaster| self.is_ours(postmaster.pid)) else {
            return Ok(());
        };
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "--wait", "--silent", "--mode=fast", "-D", "cluster"]);
        stop.arg(format!("--timeout={}", self.timeout.as_secs().max(1)));
        run("pg_ctl stop", &mut stop)?;
        if let Some(socket) = postmaster.socket.filter(|socket| !socket.starts_with(&self.home.0)) {
            // A short folder in /tmp; the server has taken its socket away.
            drop(fs::remove_dir(socket));
        }
        Ok(())
    }
}

struct Postmaster {
    pid: u32,
    /// `None` while the server is just starting.
    socket: Option<PathBuf>,
}

async fn show(connection: &mut PgConnection, query: &'static str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(query).fetch_one(connection).await
}

async fn exists(connection: &mut PgConnection, query: &'static str) -> Result<bool, sqlx::Error> {
    Ok(sqlx::query(query).fetch_optional(connection).await?.is_some())
}

fn same_folder(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

fn run(program: &'static str, command: &mut Command) -> Result<(), EmbeddedError> {
    let path = PathBuf::from(command.get_program());
    let Output { status, stderr, .. } = command.output().map_err(io_error("cannot run", &path))?;
    if status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&stderr);
    let message = if message.trim().is_empty() { status.to_string() } else { message.trim().to_owned() };
    Err(EmbeddedError::Program { program, message })
}
