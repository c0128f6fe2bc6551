//! Migrations: on what is there already, on what earlier versions left, and on what later ones did.

use orchestrator::store::{Schema, StoreError, look};
use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;

use crate::postgres::Database;
use crate::scene::{Scene, connect};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Everything that a schema is made of, and the record of its making.
const SCHEMA: &str = "SELECT hashtext(string_agg(line, E'\\n' ORDER BY line))::bigint FROM (
    SELECT concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable) AS line
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT m::text FROM _sqlx_migrations m) AS lines";

const ROWS: &str = "SELECT hashtext(string_agg(line, E'\\n' ORDER BY line))::bigint FROM (
    SELECT t::text AS line FROM tasks t UNION ALL SELECT j::text FROM jobs j
    UNION ALL SELECT t::text FROM transitions t UNION ALL SELECT d::text FROM deliveries d) AS lines";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_on_a_database_that_has_them_change_nothing() {
    let scene = Scene::new().await;
    scene.planned_task().await;
    scene.store.receive("guid", "ping", b"{}", None).await.expect("received");
    let before = (scene.count(SCHEMA).await, scene.count(ROWS).await);
    // Several programs that start at once.
    for started in futures::future::join_all((0..6).map(|_| scene.other())).await {
        started.ping().await.expect("it answers");
    }
    assert_eq!((scene.count(SCHEMA).await, scene.count(ROWS).await), before);
    assert_eq!(look(&scene.database.url).await.expect("a look").schema, Schema::Current);
}

#[tokio::test]
async fn a_database_of_every_earlier_version_is_brought_up_to_date_with_its_rows() {
    let current = Scene::new().await;
    let all = MIGRATIONS.iter().count();
    for count in 0..all {
        let database = Database::new().await;
        let mut earlier = sqlx::migrate!();
        earlier.migrations = MIGRATIONS.iter().take(count).cloned().collect::<Vec<_>>().into();
        earlier.run(&mut database.connect().await).await.expect("an earlier version");
        if count > 0 {
            let row = "INSERT INTO jobs (key, kind, lane, payload)
                       VALUES ('old', 'ingest', 'old', '{\"work\": \"ingest\", \"delivery\": 1}')";
            sqlx::query(row).execute(&mut database.connect().await).await.expect("its row");
        }
        let store = connect(&database).await.expect("brought up to date");
        let scene = Scene { database, store };
        // Versions and checksums apart, when each was applied differs.
        let made = SCHEMA.replace("m::text", "m.version || encode(m.checksum, 'hex')");
        let made = |scene| Scene::count(scene, AssertSqlSafe(made.clone()));
        assert_eq!(made(&scene).await, made(&current).await, "after {count} of {all}");
        let old = scene.store.claim(&orchestrator::store::JobKind::ALL, "worker", 1).await.expect("a look");
        assert_eq!(old.map(|lease| lease.key), (count > 0).then(|| "old".to_owned()));
    }
}

#[tokio::test]
async fn an_older_program_on_a_newer_schema_says_so_and_changes_nothing() {
    let scene = Scene::new().await;
    scene
        .sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (20991231000001, 'from the future', true, '\\x00', 1)",
        )
        .await;
    let before = scene.count(SCHEMA).await;
    let refused = connect(&scene.database).await.err().expect("refused");
    assert!(matches!(refused, StoreError::NewerSchema { version: 20_991_231_000_001 }), "{refused:?}");
    let said = refused.to_string();
    for part in ["newer version of the program", "20991231000001", "Run that version again", "back-up"] {
        assert!(said.contains(part), "{said} lacks {part:?}");
    }
    assert_eq!(scene.count(SCHEMA).await, before);
    assert_eq!(look(&scene.database.url).await.expect("a look").schema, Schema::Newer);
}
