// Part of the body of `prefill_coop`: stores the weights in place of the keys, which all subgroups
// have read, and adds the products of the weights with the tile's values to `acc`.
        let row_weights = subgroup_weights + local_index % 32u / 2u * WEIGHT_PITCH + 4u * half;
        keys[row_weights] = weights0;
        keys[row_weights + 1u] = weights1;
        keys[row_weights + 2u] = weights2;
        keys[row_weights + 3u] = weights3;
        workgroupBarrier();
        let w0 = coopLoadT<MatrixA>(&keys[subgroup_weights], WEIGHT_PITCH);
        let w1 = coopLoadT<MatrixA>(&keys[subgroup_weights + 4u], WEIGHT_PITCH);
        acc0 = add_values(acc0, w0, w1, 0u);
        if HEAD_DIM > 16u {
            acc1 = add_values(acc1, w0, w1, 4u);
        }
        if HEAD_DIM > 32u {
            acc2 = add_values(acc2, w0, w1, 8u);
        }
        if HEAD_DIM > 48u {
            acc3 = add_values(acc3, w0, w1, 12u);
        }
        if HEAD_DIM > 64u {
            acc4 = add_values(acc4, w0, w1, 16u);
        }
        if HEAD_DIM > 80u {
            acc5 = add_values(acc5, w0, w1, 20u);
        }
        if HEAD_DIM > 96u {
            acc6 = add_values(acc6, w0, w1, 24u);
        }
        if HEAD_DIM > 112u {
            acc7 = add_values(acc7, w0, w1, 28u);
        }
