//! Godwit in the browser: the same core over WebGPU.
