//! Promotion: one attempt to bring one Release into one Environment; the audit record.
//!
//! The operator makes it under the name `<environment>-<digest>-<attempt>`, so that making it twice is the
//! same as making it once. Its spec never changes, and once it has ended nothing does but its incidents.

pub mod api;
pub mod audit;
pub mod incident;
pub mod status;
