// Part of the body of `prefill_coop`: loads the subgroup's queries.
    var q0 = MatrixA();
    var q1 = MatrixA();
    var q2 = MatrixA();
    var q3 = MatrixA();
    var q4 = MatrixA();
    var q5 = MatrixA();
    var q6 = MatrixA();
    var q7 = MatrixA();
    var acc0 = MatrixC();
    var acc1 = MatrixC();
    var acc2 = MatrixC();
    var acc3 = MatrixC();
    var acc4 = MatrixC();
    var acc5 = MatrixC();
    var acc6 = MatrixC();
    var acc7 = MatrixC();
    let subgroup_weights = subgroup * ROWS_PER_SUBGROUP * WEIGHT_PITCH;
    stage_queries(work, row0, last_row, kv_head, 0u, local_index);
    q0 = coopLoadT<MatrixA>(&keys[subgroup_weights], WEIGHT_PITCH);
    q1 = coopLoadT<MatrixA>(&keys[subgroup_weights + 4u], WEIGHT_PITCH);
    if HEAD_DIM > 32u {
        stage_queries(work, row0, last_row, kv_head, 8u, local_index);
        q2 = coopLoadT<MatrixA>(&keys[subgroup_weights], WEIGHT_PITCH);
        q3 = coopLoadT<MatrixA>(&keys[subgroup_weights + 4u], WEIGHT_PITCH);
    }
    if HEAD_DIM > 64u {
        stage_queries(work, row0, last_row, kv_head, 16u, local_index);
        q4 = coopLoadT<MatrixA>(&keys[subgroup_weights], WEIGHT_PITCH);
        q5 = coopLoadT<MatrixA>(&keys[subgroup_weights + 4u], WEIGHT_PITCH);
    }
    if HEAD_DIM > 96u {
        stage_queries(work, row0, last_row, kv_head, 24u, local_index);
        q6 = coopLoadT<MatrixA>(&keys[subgroup_weights], WEIGHT_PITCH);
        q7 = coopLoadT<MatrixA>(&keys[subgroup_weights + 4u], WEIGHT_PITCH);
    }
