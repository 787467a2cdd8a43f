// `cpu_row_blocks`: up to 16 rows a workgroup, in blocks of four.
//
// The arithmetic of each row is that of `cpu_few_rows` in the same order: an invocation takes every
// eighth slot, eight a tile, and the workgroup combines the invocations' partials. Keys and values
// of a tile are loaded and converted once for all blocks.

// Of a block: its rows, clamped to the last one, and how many slots each of them sees.
struct RowBlock { rows: vec4<u32>, is_row: vec4<bool>, visible: vec4<u32> }

// [block]
var<private> block_max: array<vec4<f32>, BLOCKS>;
var<private> block_sum: array<vec4<f32>, BLOCKS>;
var<private> block_rescale: array<vec4<f32>, BLOCKS>;
// [vec4]: of the tile's eight slots.
var<private> tile_keys: array<Slots8, 32u>;

fn block_of(work: Work, block: u32, row0: u32, last_row: u32, end: u32) -> RowBlock {
    let wanted = vec4<u32>(row0 + 4u * block) + vec4<u32>(0u, 1u, 2u, 3u);
    let row = min(wanted, vec4<u32>(last_row));
    let visible = vec4<u32>(
        visible_slots(work, row.x), visible_slots(work, row.y),
        visible_slots(work, row.z), visible_slots(work, row.w),
    );
    return RowBlock(row, wanted <= vec4<u32>(last_row), min(visible, vec4<u32>(end)));
}

fn load_tile_keys(tile: Tile) {
    let key0 = tile_key_base(tile, 0u);
    let key1 = tile_key_base(tile, 1u);
    let key2 = tile_key_base(tile, 2u);
    let key3 = tile_key_base(tile, 3u);
    let key4 = tile_key_base(tile, 4u);
    let key5 = tile_key_base(tile, 5u);
    let key6 = tile_key_base(tile, 6u);
    let key7 = tile_key_base(tile, 7u);
    for (var i = 0u; i < HEAD_DIM / 4u; i++) {
        tile_keys[i] = Slots8(
            load_scaled_key(key0, i), load_scaled_key(key1, i),
            load_scaled_key(key2, i), load_scaled_key(key3, i),
            load_scaled_key(key4, i), load_scaled_key(key5, i),
            load_scaled_key(key6, i), load_scaled_key(key7, i),
        );
    }
}

// Stores the scores of a block's rows with the tile's slots in `weights`. Returns each row's
// largest.
fn score_block(tile: Tile, block: u32, visible: vec4<u32>) -> vec4<f32> {
    var s = Slots8();
    for (var i = 0u; i < HEAD_DIM / 4u; i++) {
        let q = queries[32u * block + i];
        s.slot0 += tile_keys[i].slot0 * q;
        s.slot1 += tile_keys[i].slot1 * q;
        s.slot2 += tile_keys[i].slot2 * q;
        s.slot3 += tile_keys[i].slot3 * q;
        s.slot4 += tile_keys[i].slot4 * q;
        s.slot5 += tile_keys[i].slot5 * q;
        s.slot6 += tile_keys[i].slot6 * q;
        s.slot7 += tile_keys[i].slot7 * q;
    }
    return store_slots8_scores(tile, block, visible, s);
}

@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let ratio = p.heads / p.kv_heads;
    let work = work_of(group);
    let rows = rows_of(work);
    let row0 = first_row_of(group, ROWS_PER_WORKGROUP);
    let kv_head = group.y;
    if row0 >= rows || !has_work(group, work) {
        return;
    }
    let last_row = min(row0 + ROWS_PER_WORKGROUP, rows) - 1u;
    let slots = work_slots(work, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && continues_partials() && p.write_output == 0u {
        return;
    }
    let blocks = (last_row - row0) / 4u + 1u;
    let vec4s = HEAD_DIM / 4u;
    // All invocations have the same rows; the first one continues from their partials.
    let continues = continues_partials() && local_index == 0u;
    for (var block = 0u; block < blocks; block += p.one) {
        let own = block_of(work, block, row0, last_row, end);
        let head = kv_head * ratio + own.rows % ratio;
        let q_at = tokens_of(work, own.rows / ratio) * (p.q_stride / 4u) + head * vec4s;
        let partial_at = partials_of(work, kv_head, rows, own.rows);
        block_max[block] = vec4<f32>(MASKED_SCORE);
        block_sum[block] = vec4<f32>();
        if continues {
            block_max[block] = load_row_partials(partial_at + HEAD_DIM);
            block_sum[block] = load_row_partials(partial_at + HEAD_DIM + 1u);
        }
        for (var i = 0u; i < vec4s; i += p.one) {
            queries[32u * block + i] =
                mat4x4(q[q_at.x + i], q[q_at.y + i], q[q_at.z + i], q[q_at.w + i]) * p.scale;
            var acc = mat4x4<f32>();
            if continues {
                let at = partial_at + 4u * i;
                acc = mat4x4(
                    load_partial4(at.x), load_partial4(at.y),
                    load_partial4(at.z), load_partial4(at.w),
                );
            }
            private_acc[32u * block + i] = acc;
        }
    }

    for (var first = begin; first < end; first += SLOTS_PER_TILE) {
        let offset = slot_offset(slots, first);
        let tile = Tile(kv_head, first, end, offset, local_index, local_index);
        load_tile_keys(tile);
        for (var block = 0u; block < blocks; block += p.one) {
            let own = block_of(work, block, row0, last_row, end);
            let previous_max = block_max[block];
            let row_max = max(previous_max, score_block(tile, block, own.visible));
            let rescale = exp(previous_max - row_max);
            block_sum[block] =
                fma(block_sum[block], rescale, weigh_slots8(row_max, SLOTS_PER_INVOCATION * block));
            block_max[block] = row_max;
            block_rescale[block] = rescale;
        }
        for (var i = 0u; i < vec4s; i++) {
            let v = load_values8(tile, 0u, i);
            for (var block = 0u; block < blocks; block += p.one) {
                let at = 32u * block + i;
                let acc = scale_rows(private_acc[at], block_rescale[block]);
                private_acc[at] = add_values8(acc, v, SLOTS_PER_INVOCATION * block);
            }
        }
    }

    for (var block = 0u; block < blocks; block += p.one) {
        let own = block_of(work, block, row0, last_row, end);
        let head = kv_head * ratio + own.rows % ratio;
        let out_at = (tokens_of(work, own.rows / ratio) * p.heads + head) * vec4s;
        let partial_at = partials_of(work, kv_head, rows, own.rows);
        // Others may still read what the last block has exchanged.
        workgroupBarrier();
        let stats = combine_stats(block_max[block], block_sum[block], local_index);
        let rescale = exp(block_max[block] - stats.row_max);
        for (var first = 0u; first < vec4s; first += WORKGROUP_SIZE * p.one) {
            let i = first + local_index;
            let acc = combine_acc(32u * block + first, rescale, local_index);
            if i < vec4s {
                store_acc_of_rows(own.is_row, out_at + i, partial_at + 4u * i, acc, stats.row_sum);
            }
        }
        if p.write_output == 0u && local_index == 0u {
            store_stats_of_rows(own.is_row, partial_at, stats.row_max, stats.row_sum);
        }
    }
}
