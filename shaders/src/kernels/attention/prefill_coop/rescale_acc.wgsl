// Part of the body of `prefill_coop`: where `row_max` has left `reference_max` behind, moves
// `reference_max`, and rescales `acc`. All subgroups take part in the barriers.
        let moves = row_max > reference_max + RESCALE_THRESHOLD;
        let any_moves = subgroupAny(moves);
        if local_index % 32u == 0u {
            needs_rescale[subgroup] = u32(any_moves);
        }
        workgroupBarrier();
        let any_rescale =
            (needs_rescale[0] | needs_rescale[1] | needs_rescale[2] | needs_rescale[3])
            | (needs_rescale[4] | needs_rescale[5] | needs_rescale[6] | needs_rescale[7]);
        if any_rescale != 0u {
            let previous_max = reference_max;
            reference_max = select(reference_max, row_max, moves);
            let rescale = exp(previous_max - reference_max);
            row_sum *= rescale;
            // At the first tile `acc` is zero.
            if first > begin {
                acc0 = rescale_rows(acc0, subgroup_scores, lane_acc, rescale);
                if HEAD_DIM > 16u {
                    acc1 = rescale_rows(acc1, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 32u {
                    acc2 = rescale_rows(acc2, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 48u {
                    acc3 = rescale_rows(acc3, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 64u {
                    acc4 = rescale_rows(acc4, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 80u {
                    acc5 = rescale_rows(acc5, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 96u {
                    acc6 = rescale_rows(acc6, subgroup_scores, lane_acc, rescale);
                }
                if HEAD_DIM > 112u {
                    acc7 = rescale_rows(acc7, subgroup_scores, lane_acc, rescale);
                }
            }
        }
