//! Orchestrator turns labelled issues into reviewed pull requests.
//!
//! `ARCHITECTURE.md` is the map. The short of it: a webhook is stored with a job ([`web`]), the job
//! becomes a domain event ([`ingest`]), one pure function decides what follows ([`domain`]), the
//! decision and its consequences are committed together ([`store`]), and workers ([`queue`]) carry
//! out stages ([`pipeline`]) and effects ([`effects`]).

pub mod agents;
pub mod application;
pub mod checkout;
pub mod cli;
pub mod config;
pub mod context;
pub mod domain;
pub mod effects;
pub mod engines;
pub mod gates;
pub mod github;
pub mod guard;
pub mod ingest;
pub mod llm;
pub mod mail;
pub mod pipeline;
pub mod queue;
pub mod sandbox;
pub mod simulator;
pub mod speech;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod workspace;
