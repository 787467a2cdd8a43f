//! Times what a scheduler promises its users, on SmolLM2 and a real text:
//! `cargo bench --workspace --bench scheduler -- [gaps] [prefix] [fork] [memory] [quote]`.
//!
//! - `gaps`: the time between two tokens of 16 streams while a prompt of 4,000 tokens is read.
//! - `prefix`: time to the first token after 2,000 tokens that are in the cache, and that are not.
//! - `fork`: a fork of 1,000 tokens, against computing them.
//! - `memory`: pages of eight sequences that share 2,000 tokens.
//! - `quote`: replies that quote, and some that do not, with and without guesses.

use std::time::Instant;

use godwit::scheduler::{
    Budget, Event, Request, RequestId, Scheduler, SchedulerOptions, SequenceOptions,
};
use godwit::{
    ContextSize, Engine, EngineOptions, GenerateOptions, Sampling, Session, Special, Speculated,
    Speculation,
};
use godwit_tests::model::{engine, fixture, smollm2};
use pollster::block_on;

fn main() {
    let (flags, wanted): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with('-'));
    // `cargo test --all-targets` builds this and runs it without the flag.
    if !flags.iter().any(|flag| flag == "--bench") {
        return;
    }
    let model = smollm2();
    let options = EngineOptions::default().context(ContextSize::Tokens(8192));
    let engine = engine(&model, &options, false);
    println!("{}", engine.gpu().summary());
    let all = [
        ("gaps", gaps as fn(&Engine)),
        ("prefix", prefix),
        ("fork", fork),
        ("memory", memory),
        ("quote", quote),
    ];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            measure(&engine);
        }
    }
}

/// The first tokens of a long text.
fn text(engine: &Engine, from: usize, len: usize) -> Vec<u32> {
    let text = std::fs::read_to_string(fixture("models/kjv.txt")).expect("tests/fetch.sh gets it");
    let bytes = 8 * (from + len);
    let part: String = text.chars().take(bytes).collect();
    let tokens = engine
        .model()
        .tokenizer()
        .encode(&part, Special::Text)
        .expect("a text");
    tokens[from..from + len].to_vec()
}

fn scheduler(engine: &Engine, tokens: u64) -> Scheduler {
    let options = SchedulerOptions::default()
        .kv_memory(Some(tokens * engine.kv_bytes_per_token()))
        .max_running(32);
    block_on(Scheduler::new(engine, &options)).expect("a scheduler")
}

/// One step, and the requests that got a token with it.
fn step(scheduler: &mut Scheduler) -> Vec<RequestId> {
    block_on(scheduler.step(Budget::default())).expect("a step");
    block_on(scheduler.wait()).expect("a device");
    let mut with_tokens = Vec::new();
    while let Some(event) = scheduler.next_event() {
        match event {
            Event::Piece { request, .. } => with_tokens.push(request),
            Event::Failed { error, .. } => assert_eq!(error.to_string(), "", "a request failed"),
            _ => {}
        }
    }
    with_tokens
}

fn greedy(prompt: Vec<u32>, tokens: usize) -> Request {
    let sampling =
        Sampling::greedy().logit_bias(vec![(2, f32::NEG_INFINITY), (0, f32::NEG_INFINITY)]);
    Request::new(prompt).sampling(sampling).max_tokens(tokens)
}

fn gaps(engine: &Engine) {
    let mut scheduler = scheduler(engine, 16 * 512 + 4600);
    let mut last = std::collections::HashMap::new();
    for stream in 0..16 {
        let sequence = scheduler.open(&SequenceOptions::default());
        let request = greedy(text(engine, 100 * stream, 40), 2000);
        let id = scheduler.submit(sequence, request).expect("room");
        last.insert(id, None);
    }
    // All streams have begun.
    while last.values().any(Option::is_none) {
        for id in step(&mut scheduler) {
            last.insert(id, Some(Instant::now()));
        }
    }
    let sequence = scheduler.open(&SequenceOptions::default());
    let long = scheduler
        .submit(sequence, greedy(text(engine, 5000, 4000), 4))
        .expect("room");
    let (mut gaps, mut first, begin) = (Vec::new(), None, Instant::now());
    while first.is_none() || gaps.len() < 16 * 100 {
        for id in step(&mut scheduler) {
            let now = Instant::now();
            if id == long {
                first.get_or_insert(begin.elapsed().as_secs_f64());
            } else if let Some(before) = last.insert(id, Some(now)).flatten() {
                gaps.push((now - before).as_secs_f64());
            }
        }
    }
    gaps.sort_by(f64::total_cmp);
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!(
        "gaps: 16 streams beside a prompt of 4,000: median {median:.3} s, longest {longest:.3} s \
         ({:.1} times); the prompt's first token after {:.1} s",
        longest / median,
        first.unwrap_or(0.0)
    );
}

/// Seconds to the first token of a reply.
fn first_token(scheduler: &mut Scheduler, prompt: Vec<u32>) -> f64 {
    let sequence = scheduler.open(&SequenceOptions::default());
    let begin = Instant::now();
    scheduler.submit(sequence, greedy(prompt, 1)).expect("room");
    while scheduler.has_work() {
        step(scheduler);
    }
    begin.elapsed().as_secs_f64()
}

fn prefix(engine: &Engine) {
    let mut scheduler = scheduler(engine, 8192);
    let prompt = text(engine, 0, 2000);
    let question = |number: usize| [&prompt[..], &text(engine, 3000 + 40 * number, 30)].concat();
    first_token(&mut scheduler, text(engine, 9000, 100));
    let cold = first_token(&mut scheduler, question(0));
    let cached = first_token(&mut scheduler, question(1));
    println!(
        "prefix: first token after 2,000 tokens and a question of 30: {cold:.3} s, from the cache \
         {cached:.3} s ({:.1} %)",
        100.0 * cached / cold
    );
}

fn fork(engine: &Engine) {
    let mut scheduler = scheduler(engine, 8192);
    first_token(&mut scheduler, text(engine, 9000, 100));
    let sequence = scheduler.open(&SequenceOptions::default());
    let begin = Instant::now();
    scheduler
        .submit(sequence, greedy(text(engine, 0, 1000), 1))
        .expect("room");
    while scheduler.has_work() {
        step(&mut scheduler);
    }
    let computed = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let fork = scheduler.fork(sequence, 1000).expect("room");
    // The last page is copied by the next step.
    step(&mut scheduler);
    block_on(engine.gpu().finish()).expect("a device");
    let forked = begin.elapsed().as_secs_f64();
    assert_eq!(scheduler.tokens(fork).expect("open").len(), 1000);
    println!(
        "fork: of 1,000 tokens {:.2} ms, which took {computed:.3} s to compute ({:.2} %)",
        1e3 * forked,
        100.0 * forked / computed
    );
}

fn memory(engine: &Engine) {
    let mut scheduler = scheduler(engine, 8192);
    let prompt = text(engine, 0, 2000);
    first_token(&mut scheduler, prompt.clone());
    let alone = scheduler.load().pages[0];
    for number in 0..8 {
        let sequence = scheduler.open(&SequenceOptions::default());
        let question = [&prompt[..], &text(engine, 3000 + 40 * number, 30)].concat();
        scheduler
            .submit(sequence, greedy(question, 20))
            .expect("room");
    }
    while scheduler.has_work() {
        step(&mut scheduler);
    }
    let [all, _] = scheduler.load().pages;
    println!(
        "memory: a sequence of 2,000 tokens has {alone} pages, with eight that share them {all}"
    );
}

fn quote(engine: &Engine) {
    let tokenizer = engine.model().tokenizer();
    let mut session = block_on(engine.session()).expect("a session");
    let quoting: Vec<Vec<u32>> = texts_to_quote()
        .iter()
        .map(|text| tokenizer.encode(text, Special::Text).expect("a text"))
        .collect();
    compare_replies(&mut session, "quote their prompts", &quoting, 2);
    let chat = engine.model().chat().expect("a template");
    let free: Vec<Vec<u32>> = [
        "Write a story about a lighthouse keeper and a whale.",
        "Explain why the sky is blue.",
        "What should a visitor see in Rome?",
    ]
    .map(|question| {
        let question = [godwit::Message::user(question)];
        let prompt = chat.encode(tokenizer, &question, true);
        prompt.expect("a prompt")
    })
    .to_vec();
    compare_replies(&mut session, "are free", &free, 4);
}

/// Texts of about 2,000 tokens, each with the task to repeat its second paragraph. So small a model
/// repeats only what it has begun to repeat.
fn texts_to_quote() -> Vec<String> {
    let pages = ["attention", "kv-cache", "portability", "plan-and-kernels"];
    let pages = pages.map(|page| {
        let page = fixture(&format!("docs/design/{page}.md"));
        std::fs::read_to_string(page).expect("a page")
    });
    let mut paragraphs: Vec<String> = pages
        .iter()
        .flat_map(|page| page.split("\n\n"))
        .filter(|part| part.len() > 250 && part.starts_with(char::is_alphabetic))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut texts = Vec::new();
    for _ in 0..paragraphs.len() / 3 {
        paragraphs.rotate_left(3);
        let mut text = String::new();
        for paragraph in &paragraphs {
            if text.len() > 8500 {
                break;
            }
            text += paragraph;
            text += "\n\n";
        }
        let begin: Vec<&str> = paragraphs[1].split(' ').take(8).collect();
        text += "The second paragraph again:\n\n";
        text += &begin.join(" ");
        texts.push(text);
    }
    texts
}

/// Times replies without guesses and with them, in turn, so that a change of the machine's speed
/// hits both.
fn compare_replies(session: &mut Session, what: &str, prompts: &[Vec<u32>], rounds: usize) {
    let mut seconds = [0.0; 2];
    let (mut tokens, mut all) = (0, Speculated::default());
    for prompt in prompts {
        for _ in 0..rounds {
            let [without, with] = [Speculation::Off, Speculation::Auto]
                .map(|speculation| reply(session, prompt, speculation));
            assert_eq!(without.1, with.1, "guesses changed a reply");
            seconds[0] += without.0;
            seconds[1] += with.0;
            tokens += with.1.len();
            all.drafted += with.2.drafted;
            all.accepted += with.2.accepted;
        }
    }
    let [without, with] = seconds.map(|seconds| tokens as f64 / seconds);
    println!(
        "quote: {tokens} tokens of replies that {what}: {without:.1} tokens/s, with guesses \
         {with:.1} ({:.2} times); {} of {} guesses right",
        with / without,
        all.accepted,
        all.drafted,
    );
}

/// A greedy reply of at most 120 tokens: its seconds, the tokens, and the guesses.
fn reply(
    session: &mut Session,
    prompt: &[u32],
    speculation: Speculation,
) -> (f64, Vec<u32>, Speculated) {
    block_on(session.prefill_to(prompt, &mut godwit::unwatched)).expect("room");
    let options = GenerateOptions::default()
        .sampling(Sampling::greedy())
        .max_tokens(120)
        .speculation(speculation);
    let begin = Instant::now();
    let mut generation = session.generate(options).expect("valid options");
    while block_on(generation.next()).expect("a token").is_some() {}
    let seconds = begin.elapsed().as_secs_f64();
    (
        seconds,
        generation.tokens().to_vec(),
        generation.speculated(),
    )
}
