//! One real PostgreSQL for the tests of a binary that run at the same time, and a database of its own for
//! each test. The server ends with the last test that holds it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use orchestrator::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;

struct Server {
    // Stopped before its folder is removed: fields are dropped in this order.
    postgres: EmbeddedPostgres,
    _folder: tempfile::TempDir,
}

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static COUNT: AtomicU32 = AtomicU32::new(1);

/// An empty database.
pub struct Database {
    pub url: String,
    _server: Arc<Server>,
}

impl Database {
    pub async fn new() -> Self {
        let server = server().await;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server.postgres.url()).await.expect("a connection");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.expect("a database");
        connection.close().await.expect("closed");
        let url = server.postgres.url().replacen("/orchestrator?", &format!("/{name}?"), 1);
        assert!(url.contains(&name), "the server's address has another form now: {url}");
        Self { url, _server: server }
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("a connection")
    }
}

async fn server() -> Arc<Server> {
    let mut known = SERVER.lock().await;
    if let Some(server) = known.upgrade() {
        return server;
    }
    let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary folder");
    let postgres = EmbeddedPostgres::start(folder.path(), EmbeddedOptions::throwaway()).await;
    let postgres = postgres.expect("PostgreSQL is installed: run scripts/bootstrap");
    let server = Arc::new(Server { postgres, _folder: folder });
    *known = Arc::downgrade(&server);
    server
}
