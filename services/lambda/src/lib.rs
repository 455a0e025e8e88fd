//! services/lambda: see ARCHITECTURE.md.
