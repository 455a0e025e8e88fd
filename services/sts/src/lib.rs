//! services/sts: see ARCHITECTURE.md.
