//! Configuration: one YAML file and the environment become a typed `Config`, once.
