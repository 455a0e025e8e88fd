//! services/logs: see ARCHITECTURE.md.
