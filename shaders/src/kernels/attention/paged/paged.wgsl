// Work items of a batch over a paged KV cache (PagedAttention, Kwon et al. 2023).
//
// Workgroup (x, y, z) takes work item x, KV head y, and the z-th block of the item's rows. A row is
// a (token of the item, query head) pair. An item's positions are all in one segment, so the
// partials of a dispatch depend on no other dispatch.
@group(0) @binding(7) var<storage, read> items: array<WorkItem>;
@group(0) @binding(8) var<storage, read> pages: array<u32>;

alias Work = WorkItem;

fn work_of(group: vec3<u32>) -> Work {
    return items[min(group.x, max(step_.items, 1u) - 1u)];
}

fn has_work(group: vec3<u32>, work: Work) -> bool {
    return group.x < step_.items && work.segment == p.segment;
}

fn first_row_of(group: vec3<u32>, rows_per_workgroup: u32) -> u32 {
    return group.z * rows_per_workgroup;
}

fn rows_of(work: Work) -> u32 {
    return work.tokens * (p.heads / p.kv_heads);
}

// Whether partials continue from those of an earlier dispatch.
fn continues_partials() -> bool {
    return false;
}

// The positions up to its own, that a row may attend to.
fn visible_slots(work: Work, row: u32) -> u32 {
    return work.position + row / (p.heads / p.kv_heads) + 1u;
}

// The positions of the item that rows up to `last_row` may attend to.
fn work_slots(work: Work, last_row: u32) -> Slots {
    let end = max(min(visible_slots(work, last_row), work.end), work.begin);
    return Slots(work.begin, end, work.first_page, vec4<u32>(end));
}

// The batch's rows of four tokens of the item.
fn tokens_of(work: Work, token: vec4<u32>) -> vec4<u32> {
    return min(work.first_row + token, vec4<u32>(step_.count - 1u));
}

// The index of the partial of each of four rows, within token partials
// [token partial, head, head_dim + 2].
fn partials_of(work: Work, kv_head: u32, rows: u32, row: vec4<u32>) -> vec4<u32> {
    let ratio = p.heads / p.kv_heads;
    let token_partial = min(work.partial + row / ratio, vec4<u32>(p.token_partials - 1u));
    return (token_partial * p.heads + kv_head * ratio + row % ratio) * (HEAD_DIM + 2u);
}
