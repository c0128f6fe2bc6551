//! Agents' own command lines: an agent of the tests' own, in the real sandbox, whose calls go through the metering
//! proxy to the scripted model server; and what the proxy does at its edges.

#[path = "engines/agent.rs"]
mod agent;
#[path = "engines/proxy.rs"]
mod proxy;
#[path = "engines/scene.rs"]
mod scene;
