// How the next token is chosen. The host writes it before every choice. Rust: `sample::Choice`.
struct Choice {
    temperature: f32,
    top_k: u32,       // 0: all
    top_p: f32,
    min_p: f32,
    uniform_: f32,    // a random number in [0, 1)
    repetition: f32,
    presence: f32,
    frequency: f32,
    entries: u32,     // number of adjustments
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(2) var<storage, read> choice: Choice;
