//! Helpers that the whole-system tests share.

pub mod compare;
pub mod gguf;
pub mod model;
pub mod retrieval;
