//! Sources: read batches from whatever an ARN names, in its own API, and settle what was handled.
//!
//! It has no API of its own and no rows in the store: who reads, keeps its checkpoints.
