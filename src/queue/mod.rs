//! Leased and fenced jobs: the worker loop, heartbeats, retries and schedules.
