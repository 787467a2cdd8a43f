//! The C interface: its header, programs in C, C++ and Python, and callers that err.

mod calls;
mod errors;
mod header;
mod loading;
mod panics;
mod programs;
mod sequences;
