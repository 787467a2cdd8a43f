//! A host's device that Godwit shares: never waited for, handlers untouched, never destroyed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use godwit::low_level::{HostWork, Synthetic};
use godwit::{
    Engine, EngineOptions, Error, Gpu, GpuError, GpuOptions, Sampling, Session, unwatched, wgpu,
};
use godwit_tests::host::{Host, beside_a_poller};
use pollster::block_on;

fn load(gpu: &Gpu) -> Engine {
    let shape: Synthetic = "tiny:q8_0,vocab=512,context=256".parse().expect("a shape");
    let model = shape.model().expect("a model");
    let options = EngineOptions::default();
    block_on(Engine::load(gpu.clone(), &model, &options, &mut unwatched)).expect("it loads")
}

fn reply(session: &mut Session, prompt: &[u32]) -> Result<Vec<u32>, Error> {
    block_on(session.prefill(prompt, &mut unwatched))?;
    let next = |_| block_on(session.next(&Sampling::greedy()));
    (0..12).map(next).collect()
}

fn prompt() -> Vec<u32> {
    (0..70_u32).map(|i| i.wrapping_mul(i) % 509).collect()
}

#[test]
fn two_engines_on_one_device_reply_as_one_on_its_own() {
    let own = block_on(Gpu::open(&GpuOptions::default())).expect("a GPU");
    let engine = load(&own);
    let mut session = block_on(engine.session()).expect("a session");
    let expected = reply(&mut session, &prompt()).expect("a reply");
    let HostWork { waits, .. } = own.host_work();
    assert!(waits > 0, "waits are not counted");

    let host = Host::willing();
    let gpus = [(); 2].map(|()| host.share().expect("it is shared"));
    assert_eq!(gpus[0].caps(), own.caps());
    let engines = gpus.each_ref().map(load);
    beside_a_poller(&host, || {
        std::thread::scope(|scope| {
            for engine in &engines {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let mut session = block_on(engine.session()).expect("a session");
                        let given = reply(&mut session, &prompt()).expect("a reply");
                        assert_eq!(given, expected);
                    }
                });
            }
        });
    });
    // Without anybody else who polls.
    let mut session = block_on(engines[0].session()).expect("a session");
    assert_eq!(reply(&mut session, &prompt()).expect("a reply"), expected);
    for gpu in &gpus {
        assert!(gpu.is_shared());
        assert_eq!(gpu.host_work().waits, 0);
    }
    assert_eq!(host.errors.load(Ordering::Relaxed), 0);
}

#[test]
fn handlers_and_device_stay_the_hosts() {
    let host = Host::willing();
    let gpu = host.share().expect("it is shared");
    let engine = load(&gpu);
    let mut session = block_on(engine.session()).expect("a session");
    let expected = reply(&mut session, &prompt()).expect("a reply");
    host.err();
    assert_eq!(host.errors.load(Ordering::Relaxed), 1);
    // The host's mistake is not Godwit's.
    let mut session = block_on(engine.session()).expect("a session");
    assert_eq!(reply(&mut session, &prompt()).expect("a reply"), expected);
    // Nor is the device Godwit's to destroy.
    gpu.destroy();
    drop((session, engine, gpu));
    let gpu = host.share().expect("it is shared");
    let engine = load(&gpu);
    let mut session = block_on(engine.session()).expect("a session");
    assert_eq!(reply(&mut session, &prompt()).expect("a reply"), expected);
    assert_eq!(host.losses.load(Ordering::Relaxed), 0);

    host.device.destroy();
    let all = wgpu::PollType::wait_indefinitely();
    host.device.poll(all).expect("the host may wait");
    assert_eq!(host.losses.load(Ordering::Relaxed), 1);
    // Nobody has said so yet: an error all the same, and no wait that never ends.
    assert!(reply(&mut session, &prompt()).is_err());
    gpu.notify_lost("the driver was updated");
    let error = reply(&mut session, &[1]).expect_err("it is lost");
    assert!(
        matches!(error, Error::Gpu(GpuError::Lost { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("the driver was updated"),
        "{error}"
    );
    assert_eq!(gpu.host_work().waits, 0);
}

#[test]
fn a_wait_ends_when_the_device_is_lost() {
    let host = Host::willing();
    let gpu = host.share().expect("it is shared");
    let engine = load(&gpu);
    let mut session = block_on(engine.session()).expect("a session");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            loop {
                session.truncate(0);
                if let Err(error) = reply(&mut session, &prompt()) {
                    break error;
                }
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        gpu.notify_lost("a test says so");
        let error = asked.join().expect("it does not panic");
        assert!(
            matches!(error, Error::Gpu(GpuError::Lost { .. })),
            "{error:?}"
        );
    });
}

#[test]
fn what_the_device_has_decides_and_not_what_the_adapter_has() {
    let plain = Host::new(|_, _| ());
    let gpu = plain.share().expect("every WebGPU device can be shared");
    let caps = gpu.caps();
    assert!(!caps.subgroups && !caps.shader_f16 && !caps.subgroups8_int64);
    assert_eq!(caps.max_binding, 128 << 20);
    assert!(!gpu.has_timestamps());
    let mut session = block_on(load(&gpu).session()).expect("a session");
    reply(&mut session, &prompt()).expect("a reply");
    assert_eq!(plain.errors.load(Ordering::Relaxed), 0);

    let small = Host::new(|_, descriptor| {
        descriptor
            .required_limits
            .max_storage_buffers_per_shader_stage = 4;
    });
    let error = small.share().err().expect("it is too small").to_string();
    let says = [
        "max_storage_buffers_per_shader_stage is 4, but 8",
        "Gpu::wanted",
    ];
    assert!(says.iter().all(|part| error.contains(part)), "{error}");
    // What a host asks for stays.
    let large = Host::new(|adapter, descriptor| {
        descriptor.required_features = wgpu::Features::DEPTH_CLIP_CONTROL;
        descriptor.required_limits.max_texture_dimension_1d = 1;
        let wanted = Gpu::wanted(adapter, &GpuOptions::default()).expect("a usable adapter");
        wanted.add_to(descriptor);
        let features = descriptor.required_features;
        assert!(features.contains(wgpu::Features::DEPTH_CLIP_CONTROL | wanted.features));
    });
    assert!(large.share().is_ok());
}

#[test]
fn a_host_draws_and_resizes_beside_a_reply() {
    let host = Host::willing();
    let gpu = host.share().expect("it is shared");
    let engine = load(&gpu);
    let mut session = block_on(engine.session()).expect("a session");
    let expected = reply(&mut session, &prompt()).expect("a reply");
    let is_over = AtomicBool::new(false);
    beside_a_poller(&host, || {
        std::thread::scope(|scope| {
            let replies = scope.spawn(|| {
                let mut replies = 0;
                while !is_over.load(Ordering::Relaxed) || replies == 0 {
                    let mut session = block_on(engine.session()).expect("a session");
                    let given = reply(&mut session, &prompt()).expect("a reply");
                    assert_eq!(given, expected);
                    replies += 1;
                }
                replies
            });
            for number in 0..10_000 {
                host.frame(16 + number / 100);
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(replies.join().expect("it replies") > 0);
        });
    });
    assert_eq!(host.errors.load(Ordering::Relaxed), 0);
    assert_eq!(gpu.host_work().waits, 0);
}
