//! Peak memory and time of the worst inputs of each loader, at two lengths.
//!
//!     cargo test --workspace --test memory -- --nocapture
//!
//! prints the table of `docs/notes/2026-11-29-hostile-files.md`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godwit::fuzzing;
use godwit::tokenizer::{Special, Tokenizer};
use godwit::{ChatTemplate, Message};
use godwit_tests::amplify::SHAPES;
use godwit_tests::limits::measure;
use peak_alloc::PeakAlloc;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What every input may take besides what its length allows: a few compiled patterns, a parser's
/// budget of untyped values.
const BESIDES: usize = 32 * MIB;
/// The same for each byte of the input.
const TIMES: usize = 24;

/// A fuzz target and its name.
type Target = (&'static str, fn(&[u8]));

/// One test at a time: the counter is the whole process's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn memory_is_a_small_multiple_of_the_input() {
    let _alone = alone();
    println!("| input | length | peak memory | time |\n|---|---:|---:|---:|");
    let targets: [Target; 3] = [
        ("gguf", fuzzing::gguf),
        ("tokenizer_json", fuzzing::tokenizer_json),
        ("repository", fuzzing::repository),
    ];
    let mut failures = Vec::new();
    for shape in &SHAPES {
        let (_, run) = targets
            .iter()
            .find(|(target, _)| *target == shape.target)
            .expect("a target");
        for length in [128 * KIB, MIB] {
            let input = (shape.build)(length);
            let used = measure(&PEAK, || run(&input));
            let (peak, most) = (used.bytes, BESIDES + TIMES * input.len());
            println!(
                "| `{}`: {} | {} KiB | {:.1} MiB | {:.2} s |",
                shape.target,
                shape.name.replace('_', " "),
                input.len() / KIB,
                peak as f64 / MIB as f64,
                used.time.as_secs_f64()
            );
            if peak > most || used.time > Duration::from_secs(20) {
                failures.push(format!(
                    "{} of {} bytes: {peak} bytes, {:?}",
                    shape.name,
                    input.len(),
                    used.time
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Templates have a budget that does not depend on their length.
#[test]
fn templates_take_what_their_steps_pay_for() {
    let _alone = alone();
    println!("| template | peak memory | time |\n|---|---:|---:|");
    let mut failures = Vec::new();
    for source in [
        "{{ '{:>20000000000}'.format(1) }}",
        "{{ '{:.4000000000f}'.format(1.5) }}",
        "{{ '%20000000000d' % 1 }}",
        "{{ '%.4000000000f' % 1.5 }}",
        "{{ '%*d' % (20000000000, 1) }}",
        "{{ '{:{}}'.format(1, 20000000000) }}",
        "{{ f }}{{ '{0:020000000000,}'.format(1) }}",
        "{{ 'x' * 10 ** 12 }}",
        "{{ 10 ** 12 * 'x' }}",
        "{{ ['x'] * 10 ** 12 }}",
        "{{ (1,) * 10 ** 12 }}",
        "{{ 'x'.center(10 ** 12) }}",
        "{{ 'x'.ljust(10 ** 12) }}",
        "{{ 'x'.rjust(10 ** 12) }}",
        "{{ 'x'.zfill(10 ** 12) }}",
        "{{ 'x' | center(10 ** 12) }}",
        "{{ 'x\ny' | indent(10 ** 12) }}",
        "{{ 'x\ty'.expandtabs(10 ** 12) }}",
        "{{ [1] | tojson(indent=10 ** 12) }}",
        "{{ range(10 ** 12) | list }}",
        "{{ range(10 ** 12) | join('x') }}",
        "{{ range(10 ** 12) | sum }}",
        "{{ [1] | batch(10 ** 12, 1) | list }}",
        "{{ [1] | slice(10 ** 12) | list }}",
        "{% set s = 'x' * 4000000 %}{{ s.replace('x', s) }}",
        "{% set s = 'x' * 4000000 %}{{ s | replace('x', s) }}",
        "{% set s = 'x' * 4000000 %}{{ s.replace('', s) }}",
        "{% set s = 'x' * 4000000 %}{{ s.join(s) }}",
        "{% set s = 'x' * 4000000 %}{{ s | join(s) }}",
        "{% set s = 'x' * 4000000 %}{{ s | list | length }}",
        "{% set s = 'x' * 4000000 %}{{ s.split('x') | length }}",
        "{% set s = '\n' * 4000000 %}{{ s.splitlines() | length }}",
        "{% set s = '<' * 4000000 %}{{ s | escape | length }}",
        "{% set s = '{0}' * 1000000 %}{{ s.format('x' * 4000000) }}",
        "{% set s = '%s' * 1000000 %}{{ s % ((('x' * 4000000),) * 1000000) }}",
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% \
         endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% \
         endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% \
         endfor %}{{ ns.x }}",
        "{% set s %}{% for i in range(100000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor \
         %}{% endset %}{{ s }}{{ s }}",
    ] {
        let messages = [Message::user("Hi")];
        let mut rendered = Ok(String::new());
        let used = measure(&PEAK, || {
            rendered = ChatTemplate::new(source, "<s>", "</s>")
                .and_then(|template| template.render(&messages, true));
        });
        let shown: String = source
            .chars()
            .take(70)
            .collect::<String>()
            .replace('\n', "\\n")
            .replace('|', "\\|");
        println!(
            "| `{shown}` | {:.1} MiB | {:.2} s |",
            used.bytes as f64 / MIB as f64,
            used.time.as_secs_f64()
        );
        let panicked = rendered
            .as_ref()
            .is_err_and(|error| error.to_string().contains("panicked"));
        if used.bytes > 160 * MIB || used.time > Duration::from_secs(20) || panicked {
            failures.push(format!(
                "{source}: {} bytes, {:?}, {rendered:?}",
                used.bytes, used.time
            ));
        }
        // More than the budget is an error that names the budget.
        if source.contains("000000000") || source.contains("10 ** 12") {
            assert!(rendered.is_err(), "{source}");
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Long texts through patterns and merges: time in proportion, or an error.
#[test]
fn long_texts_end_soon() {
    let _alone = alone();
    let tokenizer = |pattern: &str| {
        let json = format!(
            r#"{{"pre_tokenizer":{{"type":"Sequence","pretokenizers":[
            {{"type":"Split","pattern":{{"Regex":"{pattern}"}},"behavior":"Isolated"}},
            {{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}},
        "decoder":{{"type":"ByteLevel"}},
            "model":{{"type":"BPE","vocab":{{"A":0,"AA":1,"AAAA":2,"Ġ":3,"Ċ":4}},
        "merges":["A A","AA AA"]}}}}"#
        );
        Tokenizer::from_json(json.as_bytes(), None).expect("a tokenizer")
    };
    println!("| pattern | letters | peak memory | time | |\n|---|---:|---:|---:|---|");
    for (pattern, letter, is_fine) in [
        (".*[^A-Z]|[A-Z]", "A", false),
        ("A+B|A", "A", false),
        (r"\\s*[\\r\\n]+|\\s{1,2}|.", " ", false),
        (r"\\p{L}+|\\s+(?!\\S)|\\s+", "A", true),
        ("[A-Z]", "A", true),
        ("(?s).+", "A", true),
    ] {
        let tokenizer = tokenizer(pattern);
        for letters in [20_000, 80_000, 1_000_000] {
            let text = letter.repeat(letters);
            let mut ids = Ok(Vec::new());
            let used = measure(&PEAK, || ids = tokenizer.encode(&text, Special::Text));
            let what = if ids.is_ok() { "ids" } else { "refused" };
            let (mib, time) = (used.bytes as f64 / MIB as f64, used.time.as_secs_f64());
            println!(
                "| `{}` | {letters} | {mib:.1} MiB | {time:.2} s | {what} |",
                pattern.replace('|', "\\|")
            );
            assert!(
                used.time < Duration::from_secs(20),
                "{pattern}, {letters}: {:?}",
                used.time
            );
            assert!(
                used.bytes < 16 * MIB + 100 * letters,
                "{pattern}, {letters}: {} bytes",
                used.bytes
            );
            match ids {
                Ok(_) => assert!(is_fine || letters < 100_000, "{pattern}"),
                Err(error) => {
                    assert!(
                        !is_fine && error.to_string().contains("steps"),
                        "{pattern}: {error}"
                    );
                }
            }
        }
    }
}
