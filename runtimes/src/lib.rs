//! Runtime clients, embedded.
