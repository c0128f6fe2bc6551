//! The only user of octocrab: App authentication, calls and webhook payloads.
