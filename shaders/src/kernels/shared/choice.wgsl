// How the token of each output row is chosen. The host writes it before every choice. Rust:
// `sample::Choice`.
struct Choice {
    temperature: f32, // 0: the largest logit
    top_k: u32,       // 0: all
    top_p: f32,
    min_p: f32,
    uniform_: f32,    // a random number in [0, 1)
    repetition: f32,
    presence: f32,
    frequency: f32,
    entries: u32,      // number of adjustments
    first_entry: u32,  // index of the first one
    chosen: u32,       // index in the chosen tokens of the result
    top_logprobs: u32, // number of log-probabilities beside the chosen token's; 0: none at all
}
@group(0) @binding(2) var<storage, read> choices: array<Choice>;
