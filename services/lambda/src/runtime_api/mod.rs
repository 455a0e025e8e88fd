//! The Runtime API, served into each environment.
