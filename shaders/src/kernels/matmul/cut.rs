//! Matmuls cut into several dispatches, each for some of the rows.

use super::{Epilogue, MATMUL, Params};
use crate::buffers::BufferRef;
use crate::capabilities::MatmulMethod;
use crate::kernel::Dispatch;
use crate::plan::{Plan, Upload};
use crate::weights::TILE;

/// A plan with its matmuls cut by rows: each dispatch into at most as many parts as `parts` says of
/// it. Results are the same to the last bit.
pub fn cut_matmuls(plan: Plan, parts: impl Fn(&Dispatch) -> u32) -> Plan {
    let mut out = Plan::default();
    let mut uploads = plan.uploads.into_iter().peekable();
    for (i, dispatch) in plan.dispatches.into_iter().enumerate() {
        while let Some(upload) = uploads.next_if(|upload| upload.before == i) {
            out.uploads.push(Upload {
                before: out.dispatches.len(),
                ..upload
            });
        }
        match parts(&dispatch) {
            0 | 1 => out.dispatches.push(dispatch),
            parts => out.dispatches.extend(cut_rows(&dispatch, parts)),
        }
    }
    out
}

/// The dispatch in at most `parts`, in order of rows. Every row is computed as it was, to the last
/// bit: parts begin between workgroups, and the shape of workgroups stays that of all rows. A
/// dispatch of another kernel stays whole.
fn cut_rows(dispatch: &Dispatch, parts: u32) -> Vec<Dispatch> {
    let method = MatmulMethod::of_variant(dispatch.variant);
    let Some(method) = method.filter(|_| dispatch.kernel.name == MATMUL.name) else {
        return vec![dispatch.clone()];
    };
    let all: Params = dispatch.params();
    // Tiles and rows of workgroups do not depend on the number of tokens.
    let shape = method.shape(all.rows, 1);
    let rows_at_once = shape.tiles * TILE as u32;
    let groups = all.rows.div_ceil(rows_at_once);
    let rows_of_part = groups.div_ceil(parts.clamp(1, groups.max(1))) * rows_at_once;
    let rows_per_output = match all.epilogue == Epilogue::SwiGlu as u32 {
        true => Epilogue::SwiGlu.rows_per_output(),
        false => 1,
    };
    let part = |first: u32| {
        let rows = rows_of_part.min(all.rows - first);
        let [x, y, _] = shape.workgroups(rows, 1, dispatch.workgroups[0]);
        let params = Params {
            rows,
            first_row: all.first_row + first / rows_per_output,
            workgroups_x: x,
            ..all
        };
        let bytes = |rows: u32| 4 * u64::from(rows) * u64::from(all.row_words);
        let weights = |whole: BufferRef| BufferRef {
            offset: whole.offset + bytes(first),
            bytes: bytes(rows.next_multiple_of(TILE as u32)),
            ..whole
        };
        let [codes, vec4s, others @ ..] = &dispatch.buffers[..] else {
            return dispatch.clone();
        };
        let buffers = [weights(*codes), weights(*vec4s)];
        let overrides = dispatch.overrides.iter().map(|&(name, value)| match name {
            "ROWS" => (name, rows),
            "WORKGROUPS_X" => (name, x),
            _ => (name, value),
        });
        Dispatch {
            overrides: overrides.collect(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: buffers.iter().chain(others).copied().collect(),
            workgroups: [x, y, dispatch.workgroups[2]],
            ..dispatch.clone()
        }
    };
    (0..all.rows)
        .step_by(rows_of_part as usize)
        .map(part)
        .collect()
}
