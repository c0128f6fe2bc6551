//! The store on a real PostgreSQL: leases and fences, lanes, concurrent events, migrations.

#[path = "store/budgets.rs"]
mod budgets;
#[path = "store/heartbeats.rs"]
mod heartbeats;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/migrations.rs"]
mod migrations;
#[path = "store/model_texts.rs"]
mod model_texts;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "store/runners.rs"]
mod runners;
#[path = "store/scene.rs"]
mod scene;
#[path = "store/tasks.rs"]
mod tasks;
#[path = "store/writes.rs"]
mod writes;
