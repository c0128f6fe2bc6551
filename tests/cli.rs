//! The commands for people, as the real program in a process of its own: real repositories made by git,
//! a real PostgreSQL and sandbox, and the scripted model behind the providers' wire formats.

#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/gates.rs"]
mod gates;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/prompts.rs"]
mod prompts;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/simulate.rs"]
mod simulate;
