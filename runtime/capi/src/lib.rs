//! The C interface of Godwit: the functions that `include/godwit.h` declares.
//!
//! - **Handles** are numbers with a generation (`handles`): one that was closed is never another's.
//! - **Borders.** Each function is a border (`border`): a panic inside ends there, as
//!   `GODWIT_PANIC`, and the scheduler that it was of is not used again.
//! - **Arguments** are checked as far as C allows (`arguments`): null, alignment, lengths, sizes of
//!   structs, UTF-8. A pointer that leads nowhere, and is none of these, is the caller's defect.
//! - **Threads.** A call on a scheduler that another call is in returns `GODWIT_BUSY`.
//!
//! The header is generated from these files (`tests/tests/capi`), which says how to renew it.

#![allow(
    non_camel_case_types,
    clippy::missing_safety_doc,
    reason = "names and texts are those of the C interface, which the header takes from here"
)]

mod adapters;
mod arguments;
mod border;
mod engine;
mod entries;
mod events;
mod handles;
mod library;
mod model;
mod panic_point;
mod reply;
mod scheduler;
mod sequence;
mod snapshot;
mod sources;
mod status;
mod steps;
mod text;

pub use adapters::*;
pub use engine::*;
pub use events::*;
pub use library::*;
pub use model::*;
#[cfg(feature = "testing")]
pub use panic_point::godwit_testing_panic;
pub use reply::*;
pub use scheduler::*;
pub use sequence::*;
pub use snapshot::*;
pub use sources::*;
pub use status::*;
pub use steps::*;
pub use text::*;
