// Combines the partials of a workgroup's eight subgroups. The formula is that of
// `attention_combine`: with m the largest `row_max`, each part counts exp(row_max - m) times.

// The dimension of `acc` that invocation `local_index`, below HEAD_DIM, ends up with.
fn acc_dim(local_index: u32) -> u32 {
    return local_index % LANES_PER_VALUE * 8u + local_index / LANES_PER_VALUE;
}

// The partials of all subgroups together. Loops that step by `one` are not unrolled: this code runs
// once for each workgroup, so its time is that of fetching its instructions.
fn combine_subgroups(state: LanePartial, local_index: u32) -> Partial {
    let subgroup_row_sum = subgroup_sum(state.row_sum, local_index);
    let subgroup = local_index / SUBGROUP_SIZE;
    workgroupBarrier();
    if local_index % SUBGROUP_SIZE == 0u {
        scratch[subgroup] = state.row_max;
        scratch[SUBGROUP_COUNT + subgroup] = subgroup_row_sum;
    }
    workgroupBarrier();
    var row_max = vec4<f32>(MASKED_SCORE);
    for (var i = 0u; i < SUBGROUP_COUNT; i += p.one) {
        row_max = max(row_max, scratch[i]);
    }
    var row_sum = vec4<f32>();
    for (var i = 0u; i < SUBGROUP_COUNT; i += p.one) {
        row_sum = fma(scratch[SUBGROUP_COUNT + i], exp(scratch[i] - row_max), row_sum);
    }
    var s = scale_acc(state.acc, exp(state.row_max - row_max));
    // Layout: [subgroup, float of eight, lane of a value], so neighbours write neighbouring vec4s.
    // The lanes with the same floats add theirs one after the other.
    let at = subgroup * HEAD_DIM + local_index % SUBGROUP_SIZE % LANES_PER_VALUE;
    for (var value = 0u; value < VALUES_PER_ROUND; value++) {
        workgroupBarrier();
        if local_index % SUBGROUP_SIZE / LANES_PER_VALUE == value {
            if value > 0u {
                s = Acc8(
                    s.d0 + scratch[at],
                    s.d1 + scratch[at + LANES_PER_VALUE],
                    s.d2 + scratch[at + 2u * LANES_PER_VALUE],
                    s.d3 + scratch[at + 3u * LANES_PER_VALUE],
                    s.d4 + scratch[at + 4u * LANES_PER_VALUE],
                    s.d5 + scratch[at + 5u * LANES_PER_VALUE],
                    s.d6 + scratch[at + 6u * LANES_PER_VALUE],
                    s.d7 + scratch[at + 7u * LANES_PER_VALUE],
                );
            }
            scratch[at] = s.d0;
            scratch[at + LANES_PER_VALUE] = s.d1;
            scratch[at + 2u * LANES_PER_VALUE] = s.d2;
            scratch[at + 3u * LANES_PER_VALUE] = s.d3;
            scratch[at + 4u * LANES_PER_VALUE] = s.d4;
            scratch[at + 5u * LANES_PER_VALUE] = s.d5;
            scratch[at + 6u * LANES_PER_VALUE] = s.d6;
            scratch[at + 7u * LANES_PER_VALUE] = s.d7;
        }
    }
    workgroupBarrier();
    var acc = vec4<f32>();
    if local_index < HEAD_DIM {
        for (var i = 0u; i < SUBGROUP_COUNT; i += p.one) {
            acc += scratch[i * HEAD_DIM + local_index];
        }
    }
    return Partial(acc, row_max, row_sum);
}
