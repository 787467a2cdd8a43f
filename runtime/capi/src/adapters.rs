//! The GPUs that there are.

use std::ffi::c_char;

use godwit::GpuOptions;
use godwit::low_level::gpu;

use crate::arguments::{Struct, check_out_struct, fixed, out_struct, out_value};
use crate::border::border;
use crate::status::{Failure, godwit_status};

/// An adapter: a GPU as one interface reaches it, or a CPU that computes in its place.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct godwit_adapter_info {
    /// sizeof(godwit_adapter_info).
    pub size: usize,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
    /// Not 0: it computes on a CPU.
    pub is_cpu: u32,
    /// 0.
    pub reserved: u32,
    /// Its name, in UTF-8 with a 0 at the end.
    pub name: [c_char; 128],
    /// Its driver's name and version.
    pub driver: [c_char; 128],
    /// "vulkan", "metal", "dx12" or "gl".
    pub backend: [c_char; 16],
    /// "discrete GPU", "integrated GPU", "virtual GPU", "CPU" or "other".
    pub kind: [c_char; 16],
}

// SAFETY: `repr(C)`, begins with its size, numbers only.
unsafe impl Struct for godwit_adapter_info {}

/// Describes one of the adapters. The fastest kinds come first; 0 is the one that is used where
/// none is named. Takes some milliseconds: each call asks the drivers.
///
/// @param index  which
/// @param info   takes the description; may be null
/// @param count  takes how many there are; may be null
///
/// @return GODWIT_BAD_ARGUMENT where there are no more than `index`, and `info` is not null
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_adapter(
    index: u32,
    info: *mut godwit_adapter_info,
    count: *mut u32,
) -> godwit_status {
    border(|| {
        if !info.is_null() {
            // SAFETY: `info` is valid for its size.
            unsafe { check_out_struct("godwit_adapter_info", info) }?;
        }
        let adapters = pollster::block_on(gpu::list(&GpuOptions::default()));
        // SAFETY: `count` is null or valid.
        unsafe { out_value("count", count, adapters.len() as u32, true) }?;
        if info.is_null() {
            return Ok(());
        }
        let Some(adapter) = adapters.get(index as usize) else {
            return Err(Failure::argument(format!(
                "there is no adapter {index}: there are {}",
                adapters.len()
            )));
        };
        let found = godwit_adapter_info {
            size: 0,
            max_buffer: adapter.max_buffer,
            is_cpu: adapter.is_cpu().into(),
            reserved: 0,
            name: fixed(&adapter.name),
            driver: fixed(&adapter.driver),
            backend: fixed(&adapter.backend.to_string()),
            kind: fixed(adapter.kind),
        };
        // SAFETY: `info` is valid for its size.
        unsafe { out_struct("godwit_adapter_info", info, &found) }
    })
}
