// The values that change from one replay of a plan to the next. Rust: `kernel::Step`.
struct Step {
    position: u32, // of the first token of this pass
    count: u32,    // tokens in this pass
    items: u32,    // work items of a batch
    outputs: u32,  // rows of a batch whose logits are wanted
}
@group(0) @binding(1) var<uniform> step_: Step;
