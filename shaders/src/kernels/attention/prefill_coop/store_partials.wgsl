// Part of the body of `prefill_coop`: stores the rows' partials, combined with those of the earlier
// segments.
    row_sum += subgroupShuffleXor(row_sum, 1u);
    let partial_at = partials_of(work, kv_head, rows, vec4<u32>(min(row, last_row))).x;
    // `row_max` and `row_sum` of the earlier segments.
    var previous = vec2<f32>(MASKED_SCORE, 0.0);
    if continues_partials() {
        previous = vec2<f32>(partials[partial_at + HEAD_DIM], partials[partial_at + HEAD_DIM + 1u]);
    }
    let combined_max = max(row_max, previous.x);
    let rescale_acc = exp(reference_max - combined_max);
    let rescale_previous = exp(previous.x - combined_max);
    for (var block = 0u; block < HEAD_BLOCKS; block++) {
        var acc = acc0;
        switch block {
            case 1u: { acc = acc1; }
            case 2u: { acc = acc2; }
            case 3u: { acc = acc3; }
            case 4u: { acc = acc4; }
            case 5u: { acc = acc5; }
            case 6u: { acc = acc6; }
            case 7u: { acc = acc7; }
            default: {}
        }
        workgroupBarrier();
        coopStoreT(acc, &scores[subgroup_scores], SCORE_PITCH);
        workgroupBarrier();
        let acc_at = partial_at + 16u * block + 8u * half;
        for (var i = 0u; i < 8u && row <= last_row; i++) {
            var sum = scores[lane_acc + i / 4u][i % 4u] * rescale_acc;
            if continues_partials() {
                sum = fma(partials[acc_at + i], rescale_previous, sum);
            }
            partials[acc_at + i] = sum;
        }
    }
    if half == 0u && row <= last_row {
        partials[partial_at + HEAD_DIM] = combined_max;
        partials[partial_at + HEAD_DIM + 1u] =
            fma(previous.y, rescale_previous, row_sum * rescale_acc);
    }
