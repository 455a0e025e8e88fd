//! services/iam: see ARCHITECTURE.md.
