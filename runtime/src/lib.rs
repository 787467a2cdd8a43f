//! Godwit: a portable runtime for Llama-architecture language models on any GPU.
