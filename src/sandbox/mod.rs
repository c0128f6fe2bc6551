//! Where strangers' code runs: a tree goes in as bytes, commands run on it without network and without
//! secrets, and bytes come out again.
//!
//! [`Sandbox`] and [`Session`] are what the rest of the product knows. There are three backends:
//! [`Bubblewrap`], [`Container`] for engines that speak the Docker API, and [`Kubernetes`].
//! What a gate is, and which dependencies a project has, is decided in [`crate::gates`]. Nothing in here
//! runs git, reads the environment, or opens a file of a tree by following a link.

mod answer;
mod arguments;
mod bubblewrap;
mod capture;
mod carry;
mod cgroup;
mod check;
mod container;
mod copy_out;
mod deployment;
mod egress;
mod etc;
mod identity;
mod incoming;
pub mod inside;
mod kubernetes;
mod launch;
mod leftovers;
mod line;
mod listen;
mod model;
mod probe;
mod removal;
mod rlimits;
mod run;
mod seccomp;
mod session;
mod supervise;
mod toolchain;
mod tree;
mod tunnel;
mod walk;
mod watch;
mod written;

pub use arguments::{PROGRAM_INSIDE, WORK};
pub use bubblewrap::{Bubblewrap, BubblewrapOptions};
pub use capture::Captured;
pub use container::{Container, ContainerOptions};
pub use copy_out::{LeftOut, ReadBack, RefusedEntry, TreeLimits};
pub use egress::{EgressRecord, EgressVerdict, HostName, InvalidHostName, egress_target};
pub use kubernetes::{Kubernetes, KubernetesOptions, UserNamespaces};
pub use model::{
    Access, Backend, Command, Exit, LimitHit, Limits, Mount, Network, Outcome, Sandbox, SandboxError,
    Session, close,
};
pub use probe::{Finding, ProbeReport};
pub use toolchain::{Toolchain, detect as detect_toolchains};
pub use walk::make_readable;

/// Where a command reaches the one server of [`Network::Service`].
pub const SERVICE_INSIDE: &str = inside::FORWARDER;
