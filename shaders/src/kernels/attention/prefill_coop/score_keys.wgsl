// Part of the body of `prefill_coop`: the products of the subgroup's queries with the tile's keys,
// in `scores`.
        var s0 = MatrixC();
        var s1 = MatrixC();
        s0 = add_keys(s0, q0, 0u, 0u);
        s1 = add_keys(s1, q0, 16u, 0u);
        if HEAD_DIM > 16u {
            s0 = add_keys(s0, q1, 0u, 4u);
            s1 = add_keys(s1, q1, 16u, 4u);
        }
        if HEAD_DIM > 32u {
            s0 = add_keys(s0, q2, 0u, 8u);
            s1 = add_keys(s1, q2, 16u, 8u);
        }
        if HEAD_DIM > 48u {
            s0 = add_keys(s0, q3, 0u, 12u);
            s1 = add_keys(s1, q3, 16u, 12u);
        }
        if HEAD_DIM > 64u {
            s0 = add_keys(s0, q4, 0u, 16u);
            s1 = add_keys(s1, q4, 16u, 16u);
        }
        if HEAD_DIM > 80u {
            s0 = add_keys(s0, q5, 0u, 20u);
            s1 = add_keys(s1, q5, 16u, 20u);
        }
        if HEAD_DIM > 96u {
            s0 = add_keys(s0, q6, 0u, 24u);
            s1 = add_keys(s1, q6, 16u, 24u);
        }
        if HEAD_DIM > 112u {
            s0 = add_keys(s0, q7, 0u, 28u);
            s1 = add_keys(s1, q7, 16u, 28u);
        }
        coopStoreT(s0, &scores[subgroup_scores], SCORE_PITCH);
        coopStoreT(s1, &scores[subgroup_scores + 4u], SCORE_PITCH);
        workgroupBarrier();
