//! Helpers that the whole-system tests share.

pub mod addresses;
pub mod amplify;
pub mod browser;
pub mod cases;
pub mod compare;
pub mod corpus;
pub mod gguf;
pub mod host;
pub mod hub_server;
pub mod limits;
pub mod model;
pub mod phases;
pub mod repository;
pub mod retrieval;
pub mod safetensors;
pub mod translate;
pub mod turns;
