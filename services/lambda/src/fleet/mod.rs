//! The fleet: execution environments, started, kept warm, retired.
