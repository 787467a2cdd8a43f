// Functions of `prefill_coop`: what rows do with the elements of matrices in workgroup memory, and
// the products of matrices.

// The scores of four slots from `slot` on. Those at and beyond `visible` are masked.
fn load_scores(at: u32, slot: u32, visible: u32) -> vec4<f32> {
    return select(
        vec4<f32>(MASKED_SCORE),
        scores[at],
        vec4<u32>(slot) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(visible),
    );
}

fn max4(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn weights_of(scores: vec4<f32>, reference_max: f32) -> vec4<f16> {
    return vec4<f16>(
        select(vec4<f32>(), exp(scores - reference_max), scores > vec4<f32>(MASKED_SCORE)),
    );
}

fn sum4(v: vec4<f16>) -> f32 {
    let w = vec4<f32>(v);
    return (w.x + w.y) + (w.z + w.w);
}

// A matrix of `acc` with each of its 16 rows multiplied by its own factor. `lane_acc` is this
// lane's eight floats.
fn rescale_rows(acc: MatrixC, subgroup_scores: u32, lane_acc: u32, factor: f32) -> MatrixC {
    coopStoreT(acc, &scores[subgroup_scores], SCORE_PITCH);
    workgroupBarrier();
    scores[lane_acc] *= factor;
    scores[lane_acc + 1u] *= factor;
    workgroupBarrier();
    let rescaled = coopLoadT<MatrixC>(&scores[subgroup_scores], SCORE_PITCH);
    workgroupBarrier();
    return rescaled;
}

// Adds the products with 16 floats, from vec4 `i` on, of 16 keys from slot `first` on.
fn add_keys(sum: MatrixC, queries: MatrixA, first: u32, i: u32) -> MatrixC {
    return coopMultiplyAdd(
        queries,
        coopLoad<MatrixB>(&keys[first * KV_PITCH + i], KV_PITCH),
        sum,
    );
}

// Adds 16 floats, from vec4 `i` on, of the tile's 32 values by their weights.
fn add_values(acc: MatrixC, weights0: MatrixA, weights1: MatrixA, i: u32) -> MatrixC {
    let half = coopMultiplyAdd(weights0, coopLoadT<MatrixB>(&values[i], KV_PITCH), acc);
    return coopMultiplyAdd(
        weights1,
        coopLoadT<MatrixB>(&values[16u * KV_PITCH + i], KV_PITCH),
        half,
    );
}

// Copies eight vec4s of all rows' queries, from vec4 `first` on, to the memory of the weights.
// Zeros beyond the end of a head.
fn stage_queries(
    work: Work, row0: u32, last_row: u32, kv_head: u32, first: u32, local_index: u32,
) {
    let ratio = p.heads / p.kv_heads;
    workgroupBarrier();
    for (var j = local_index; j < ROWS_PER_WORKGROUP * 8u; j += WORKGROUP_SIZE) {
        let row = min(row0 + j / 8u, last_row);
        let i = first + j % 8u;
        let at = tokens_of(work, vec4<u32>(row / ratio)).x * (p.q_stride / 4u)
            + (kv_head * ratio + row % ratio) * HEAD_VEC4S
            + min(i, HEAD_VEC4S - 1u);
        keys[j / 8u * WEIGHT_PITCH + j % 8u] =
            to_f16x4(q[at] * select(0.0, p.scale, i < HEAD_VEC4S));
    }
    workgroupBarrier();
}
