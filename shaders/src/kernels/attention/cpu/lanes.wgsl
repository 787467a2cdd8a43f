// What the eight lanes of `cpu_few_rows_subgroup` have of a tile of 32 slots.

// A lane's four slots of a tile: slot `first + 8 k + lane` is number k.
struct LaneSlots { slot0: vec4<f32>, slot1: vec4<f32>, slot2: vec4<f32>, slot3: vec4<f32> }

fn lane_slot(slots: LaneSlots, k: u32) -> vec4<f32> {
    let low = select(slots.slot0, slots.slot1, k == 1u);
    let high = select(slots.slot2, slots.slot3, k == 3u);
    return select(low, high, k > 1u);
}

fn with_lane_slot(slots: LaneSlots, k: u32, v: vec4<f32>) -> LaneSlots {
    return LaneSlots(
        select(slots.slot0, v, k == 0u), select(slots.slot1, v, k == 1u),
        select(slots.slot2, v, k == 2u), select(slots.slot3, v, k == 3u),
    );
}

// The weights of eight slots, one of each lane.
fn broadcast_weights(w: vec4<f32>) -> Slots8 {
    return Slots8(
        subgroupBroadcast(w, 0u), subgroupBroadcast(w, 1u),
        subgroupBroadcast(w, 2u), subgroupBroadcast(w, 3u),
        subgroupBroadcast(w, 4u), subgroupBroadcast(w, 5u),
        subgroupBroadcast(w, 6u), subgroupBroadcast(w, 7u),
    );
}

// The sum of eight slots' weights, as `weigh_slots8` adds them up.
fn sum_weights(of_lane: vec4<f32>) -> vec4<f32> {
    let w = broadcast_weights(of_lane);
    return ((w.slot0 + w.slot1) + (w.slot2 + w.slot3))
        + ((w.slot4 + w.slot5) + (w.slot6 + w.slot7));
}
