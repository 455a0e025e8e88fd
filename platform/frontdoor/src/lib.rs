//! frontdoor: see ARCHITECTURE.md.
