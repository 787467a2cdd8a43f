//! NaN and infinity, in weights and in logits: an error that names the tensor or the position,
//! never a token.

use godwit::Bytes;
use godwit::quantize::{Importance, InputSquares, Mix, Quantized, Recipe, write_gguf};
use godwit::{Engine, EngineOptions, Error, Gpu, GpuOptions, Model, Sampling, Session};
use godwit_tests::gguf::{Builder, string};
use godwit_tests::model::{gpu, session};
use godwit_tests::safetensors::{Folder, Shape};
use pollster::block_on;
use safetensors::tensor::Dtype;

const SHAPE: Shape = Shape {
    layers: 1,
    heads: 2,
    kv_heads: 1,
    head_dim: 32,
    ffn: 64,
    vocab: 300,
    tied: false,
};
const WIDTH: usize = SHAPE.heads * SHAPE.head_dim;
/// The token that overflows.
const LOUD: u32 = 9;

fn folder() -> Folder {
    Folder::llama(SHAPE, Dtype::F32, 1)
}

fn floats<'a>(folder: &'a mut Folder, part: &str) -> &'a mut Vec<f32> {
    let weight = folder
        .weights
        .iter_mut()
        .find(|weight| weight.name.contains(part))
        .expect("such a weight");
    &mut weight.floats
}

fn open(folder: &Folder) -> (tempfile::TempDir, Model) {
    let place = tempfile::tempdir().expect("a folder");
    folder.write(place.path()).expect("it is written");
    let model = Model::open(place.path()).expect("it opens");
    (place, model)
}

fn load(gpu: &Gpu, model: &Model) -> Result<Engine, Error> {
    block_on(Engine::load(
        gpu.clone(),
        model,
        &EngineOptions::default(),
        &mut godwit::unwatched,
    ))
}

#[test]
fn weights_are_named_as_in_the_file() {
    let gpu = gpu(false);
    let folder = || folder().with_biases(2);
    assert_eq!(
        folder()
            .weights
            .iter()
            .filter(|weight| weight.name.ends_with(".bias"))
            .count(),
        7
    );
    for (number, weight) in folder().weights.iter().enumerate() {
        // In the last row, and in one that GGUF has in another place.
        let width = *weight.shape.last().expect("a shape");
        for (at, value) in [
            (weight.floats.len() - 1, f32::NAN),
            (3 * width + 5, f32::INFINITY),
        ] {
            let mut folder = folder();
            let at = at.min(weight.floats.len() - 1);
            folder.weights[number].floats[at] = value;
            let (_place, model) = open(&folder);
            let error = load(&gpu, &model).err().expect("it is refused").to_string();
            let place = format!("weight {} of row {} is {value}", at % width, at / width);
            let named = format!("model.safetensors, tensor `{}`: {place}", weight.name);
            assert!(error.contains(&named), "{error:?} does not say {named:?}");
            // The same where the weights are quantised on the way.
            let quantized = Quantized::new(model.shared_checkpoint(), &Recipe::from(Mix::Q8_0));
            let error = write_gguf(
                &quantized,
                Mix::Q8_0,
                &mut Vec::new(),
                &mut godwit::unwatched,
            );
            let error = error.expect_err("it is refused").to_string();
            assert!(error.contains(&named), "{error:?} does not say {named:?}");
        }
    }
    let gguf = Builder::llama().change(|builder| {
        let row = builder
            .rows
            .iter()
            .find(|row| row.name == "blk.0.ffn_down.weight")
            .expect("a tensor");
        let at = row.offset as usize + 4 * (64 * 7 + 2);
        builder.data[at..at + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    });
    let model = Model::from_sources(vec![Box::new(Bytes {
        name: "m.gguf".into(),
        data: gguf.build(),
    })]);
    let error = load(&gpu, &model.expect("it opens"))
        .err()
        .expect("it is refused")
        .to_string();
    assert!(
        error.contains("m.gguf, tensor `blk.0.ffn_down.weight`: weight 2 of row 7 is -inf"),
        "{error}"
    );
}

#[test]
fn weights_that_overflow_a_format_are_refused() {
    for (mix, value) in [
        (Mix::F16, 1e5),
        (Mix::F16, -7e4),
        (Mix::Q8_0, 1e8),
        (Mix::Q4_0, -1e7),
        (Mix::Q4_1, 1e20),
    ] {
        let mut folder = folder();
        floats(&mut folder, "up_proj")[5 * WIDTH + 33] = value;
        let (_place, model) = open(&folder);
        let quantized = Quantized::new(model.shared_checkpoint(), &Recipe::from(mix));
        let mut out = Vec::new();
        let written = write_gguf(&quantized, mix, &mut out, &mut godwit::unwatched);
        let error = written.expect_err("it overflows").to_string();
        let says = format!(
            "`model.layers.0.mlp.up_proj.weight`: weight 33 of row 5 is {value}, which overflows \
             {mix}"
        );
        assert!(error.contains(&says), "{error:?} does not say {says:?}");
    }
}

/// A model of finite weights that overflow after one token, and after no other. Matrices stay
/// within the range of f16, which GPUs compute in.
fn loud(norm: f32) -> Folder {
    let mut folder = folder();
    floats(&mut folder, "embed_tokens")
        .chunks_exact_mut(WIDTH)
        .for_each(|row| row[0] = 0.0);
    floats(&mut folder, "embed_tokens")[LOUD as usize * WIDTH] = 4.0;
    floats(&mut folder, "o_proj")[..WIDTH].fill(0.0);
    for part in ["gate_proj", "up_proj"] {
        let row = &mut floats(&mut folder, part)[..WIDTH];
        row.fill(0.0);
        row[0] = 100.0;
    }
    floats(&mut folder, "post_attention_layernorm")[0] = norm;
    folder
}

/// Ways to choose a token that the kernels take.
fn samplings() -> [Sampling; 4] {
    [
        Sampling::greedy(),
        Sampling::default().seed(3),
        Sampling::greedy()
            .repetition_penalty(1.3)
            .logit_bias(vec![(4, f32::NEG_INFINITY)]),
        Sampling::default()
            .temperature(2.0)
            .top_k(5)
            .min_p(0.1)
            .top_p(1.0),
    ]
}

fn prefilled(engine: &Engine, ids: &[u32]) -> Session {
    let mut session = session(engine);
    block_on(session.prefill(ids, &mut godwit::unwatched)).expect("room");
    session
}

#[test]
fn logits_that_overflow_choose_no_token() {
    let (_place, model) = open(&loud(1e18));
    // As GPUs run it, several steps in flight, and as CPUs do.
    for cpu in [false, true] {
        let adapter = std::env::var("GODWIT_ADAPTER").ok();
        let options = GpuOptions::default().adapter(adapter).cpu(Some(cpu));
        let engine =
            load(&block_on(Gpu::open(&options)).expect("a GPU"), &model).expect("it loads");
        let overflow = |position| Err(Error::LogitsNotFinite { position });
        let quiet = [1, 2, 3];
        for sampling in samplings() {
            let mut session = prefilled(&engine, &[1, LOUD]);
            for _ in 0..2 {
                assert_eq!(
                    block_on(session.next(&sampling)),
                    overflow(1),
                    "{sampling:?}"
                );
            }
            assert_eq!(session.tokens(), [1, LOUD]);
            // The tokens after it are computed as usual.
            block_on(session.prefill(&quiet, &mut godwit::unwatched)).expect("room");
            let mut fresh = prefilled(&engine, &[&[1, LOUD], &quiet[..]].concat());
            for _ in 0..12 {
                let next = block_on(session.next(&sampling));
                assert_eq!(next, block_on(fresh.next(&sampling)));
                match next {
                    Ok(id) => assert!(id < SHAPE.vocab as u32),
                    // The loud token was drawn before.
                    Err(_) => {
                        assert_eq!(
                            session.tokens().last(),
                            Some(&LOUD),
                            "{:?} {sampling:?}",
                            session.tokens()
                        );
                        break;
                    }
                }
            }
        }
        // A reply says the token itself, while other steps are in flight.
        let mut session = prefilled(&engine, &quiet);
        let wanted = Sampling::greedy().logit_bias(vec![(LOUD, 1e6)]);
        for _ in 0..3 {
            assert_eq!(block_on(session.next(&wanted)), Ok(LOUD));
            assert_eq!(block_on(session.next(&wanted)), overflow(3));
            assert_eq!(
                block_on(session.logits()),
                overflow(3).map(|_: u32| Vec::new())
            );
            session.truncate(3);
        }
        let reply = |session: &mut Session| -> Vec<u32> {
            (0..9)
                .map(|_| block_on(session.next(&Sampling::greedy())).expect("a token"))
                .collect()
        };
        assert_eq!(reply(&mut session), reply(&mut prefilled(&engine, &quiet)));

        // GPUs that multiply many tokens in f16 keep them below infinity.
        if !cpu {
            continue;
        }
        let mut scored = Vec::new();
        let result = block_on(session.score(&[5, 6, LOUD, 7], &mut |at, _| scored.push(at)));
        assert_eq!(
            (result, scored),
            (Err(Error::LogitsNotFinite { position: 12 + 2 }), vec![0, 1])
        );
    }
}

#[test]
fn infinite_logits_are_as_bad() {
    let mut folder = folder();
    floats(&mut folder, "model.norm")[5] = 1e6;
    for (row, value) in [(7, 3e38), (8, -3e38)] {
        floats(&mut folder, "lm_head")[row * WIDTH + 5] = value;
    }
    let (_place, model) = open(&folder);
    let engine = load(&gpu(false), &model).expect("it loads");
    for sampling in samplings() {
        let mut session = prefilled(&engine, &[1, 2]);
        assert_eq!(
            block_on(session.next(&sampling)),
            Err(Error::LogitsNotFinite { position: 1 })
        );
    }
    let mut session = session(&engine);
    let scored = block_on(session.score(&[1, 2], &mut |_, _| ()));
    assert_eq!(scored, Err(Error::LogitsNotFinite { position: 0 }));
}

#[test]
fn importance_matrices_hold_numbers_only() {
    // The squares overflow, nothing else does.
    let (_place, model) = open(&loud(1e10));
    let engine = load(&gpu(false), &model).expect("it loads");
    let (mut session, mut squares) = (session(&engine), InputSquares::default());
    block_on(session.calibrate(&[1, 2, 3], &mut squares)).expect("finite inputs");
    let before: Vec<f64> = squares.sums().flat_map(|(_, sums)| sums.to_vec()).collect();
    let calibrated = block_on(session.calibrate(&[1, LOUD], &mut squares));
    assert_eq!(
        calibrated,
        Err(Error::InputsNotFinite {
            tensor: "blk.0.ffn_down.weight".into()
        })
    );
    assert_eq!(
        squares
            .sums()
            .flat_map(|(_, sums)| sums.to_vec())
            .collect::<Vec<f64>>(),
        before
    );
    assert_eq!(squares.tokens(), 3);

    // A file with one bad number: a sum, or how many inputs it is of.
    for (part, at, value) in [
        ("in_sum2", 3, f32::NAN),
        ("in_sum2", 0, -1.0),
        ("counts", 0, f32::NAN),
    ]
    .into_iter()
    .chain([("counts", 0, f32::INFINITY), ("counts", 0, -2.0)])
    {
        let name = |part: &str| format!("blk.0.attn_q.weight.{part}");
        let file = Builder::llama()
            .with("general.type", string("imatrix"))
            .change(|builder| {
                builder.tensor(&name("in_sum2"), &[64]);
                builder.tensor(&name("counts"), &[1]);
                for (of, at, value) in [("counts", 0, 1.0), (part, at, value)] {
                    let row = builder
                        .rows
                        .iter()
                        .find(|row| row.name == name(of))
                        .expect("a tensor");
                    let at = row.offset as usize + 4 * at;
                    builder.data[at..at + 4].copy_from_slice(&f32::to_le_bytes(value));
                }
            });
        let read = Importance::read(Box::new(Bytes {
            name: "imatrix.gguf".into(),
            data: file.build(),
        }));
        let error = read.expect_err("it is refused").to_string();
        let says = format!(
            "imatrix.gguf, tensor `{}`: number {at} is {value}",
            name(part)
        );
        assert!(error.contains(&says), "{error:?} does not say {says:?}");
    }
}
