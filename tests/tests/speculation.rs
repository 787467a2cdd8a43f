//! Speculation on a real model: the greedy tokens of 20 replies are those without it.

use godwit::{ContextSize, EngineOptions, GenerateOptions, Message, Sampling, Speculation};
use godwit_tests::model::{engine, session, smollm2};
use pollster::block_on;

const TOPICS: [&str; 10] = [
    "the sea", "a fox", "bread", "the moon", "a bridge", "winter", "a violin", "salt", "a map",
    "rain",
];

/// Half of the prompts ask for text that they contain, so that many guesses are right.
fn prompts() -> Vec<String> {
    let quoting = TOPICS.iter().map(|topic| {
        format!(
            "Here is a sentence: 'Nobody knew what {topic} had to do with the old clock in the \
             hall, but everybody was sure that it did.' Repeat the sentence three times."
        )
    });
    let free = TOPICS
        .iter()
        .map(|topic| format!("Write two sentences about {topic}."));
    quoting.chain(free).collect()
}

#[test]
fn greedy_replies_are_the_same() {
    let model = smollm2();
    let options = EngineOptions::default().context(ContextSize::Tokens(1024));
    let engine = engine(&model, &options, true);
    let mut session = session(&engine);
    let chat = model.chat().expect("a template");
    let (mut drafted, mut accepted) = (0, 0);
    for prompt in prompts() {
        let message = [Message::user(&prompt)];
        let ids = chat
            .encode(model.tokenizer(), &message, true)
            .expect("a prompt");
        let mut replies = Vec::new();
        for speculation in [Speculation::Off, Speculation::Tokens(5)] {
            block_on(session.prefill_to(&ids, &mut godwit::unwatched)).expect("room");
            let options = GenerateOptions::default()
                .sampling(Sampling::greedy())
                .max_tokens(24)
                .speculation(speculation);
            let mut generation = session.generate(options).expect("valid options");
            while block_on(generation.next()).expect("a token").is_some() {}
            drafted += generation.speculated().drafted;
            accepted += generation.speculated().accepted;
            replies.push(generation.tokens().to_vec());
        }
        assert_eq!(replies[1], replies[0], "{prompt}");
    }
    println!("{accepted} of {drafted} guesses were right");
    assert!(accepted > 60, "{accepted} of {drafted}");
}
