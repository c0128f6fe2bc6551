//! The HTTP server: webhook receiver, health.
