//! Tests of opened devices: another adapter, options out of range, errors.

use godwit_shaders::capabilities::{GPU, Tuning};

use super::*;
use crate::gpu::adapters::{self, GpuOptions};

/// Two adapters: the first one passes the check of its results, but does not compile `matmul`.
#[test]
fn another_adapter_is_opened_where_a_kernel_does_not_compile() {
    let options = GpuOptions::default();
    let two = || async {
        let mut all = Vec::new();
        for index in 0..2 {
            let (summary, adapter) = adapters::candidates(&options)
                .await
                .expect("an adapter")
                .swap_remove(0);
            all.push((AdapterSummary { index, ..summary }, adapter));
        }
        all
    };
    let model = "tiny"
        .parse::<crate::low_level::Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let engine = |gpu: Gpu| async {
        let engine = crate::Engine::load(
            gpu,
            &model,
            &crate::EngineOptions::default(),
            &mut crate::unwatched,
        )
        .await?;
        engine.compile().await.map(|()| engine)
    };
    pollster::block_on(async {
        let first = Gpu::open_first(&options, two().await, Vec::new())
            .await
            .expect("it computes");
        assert!(first.is_replaceable() && first.passed_over().is_empty());
        *first.inner.refused_kernel.lock().expect("the name") = Some("matmul");
        let error = match engine(first.clone()).await {
            Err(crate::Error::Gpu(error @ GpuError::Kernel { .. })) => error,
            other => unreachable!("{:?}", other.err()),
        };
        let second = first
            .open_next_of(&options, two().await, &error)
            .await
            .expect("the second one");
        assert_eq!(
            (second.summary().index, second.is_replaceable()),
            (1, false)
        );
        let said = second.passed_over()[0].to_string();
        assert!(
            said.contains(&first.summary().to_string()) && said.contains("does not compile"),
            "{said}"
        );
        assert!(engine(second.clone()).await.is_ok());
        // The last one's failure is the first one's error; so is that of a named one.
        assert_eq!(
            second.open_next(&options, error.clone()).await.err(),
            second.passed_over().first().cloned()
        );
        for named in [
            GpuOptions {
                adapter: Some("0".into()),
                ..options.clone()
            },
            GpuOptions {
                backend: Some(first.summary().backend),
                ..options.clone()
            },
        ] {
            let gpu = Gpu::open_first(&named, two().await, Vec::new())
                .await
                .expect("it computes");
            assert!(!gpu.is_replaceable());
            assert_eq!(
                gpu.open_next(&named, error.clone()).await.err(),
                Some(error.clone())
            );
        }
        let lost = GpuError::Lost {
            cause: "gone".into(),
        };
        assert_eq!(
            first.open_next(&options, lost.clone()).await.err(),
            Some(lost)
        );
    });
}

#[test]
fn options_out_of_range_are_refused_before_an_adapter_is_looked_for() {
    for (tuning, field) in [
        (
            Tuning {
                prefill_chunk: 0,
                ..GPU
            },
            "prefill_chunk",
        ),
        (
            Tuning {
                prefill_chunk: u32::MAX,
                ..GPU
            },
            "prefill_chunk",
        ),
        (
            Tuning {
                workgroups: 0,
                ..GPU
            },
            "workgroups",
        ),
        (
            Tuning {
                steps_in_flight: 0,
                ..GPU
            },
            "steps_in_flight",
        ),
        (
            Tuning {
                gemv: Some(MatmulMethod::Gemm),
                ..GPU
            },
            "gemv",
        ),
    ] {
        let options = GpuOptions {
            tuning: Some(tuning),
            adapter: Some("none".into()),
            ..Default::default()
        };
        let error = pollster::block_on(Gpu::open(&options)).err();
        assert!(
            matches!(&error, Some(GpuError::Tuning(bad)) if bad.field == field),
            "{error:?}"
        );
    }
    let options = GpuOptions {
        max_binding: Some(0),
        ..Default::default()
    };
    let error = pollster::block_on(Gpu::open(&options)).err();
    assert_eq!(
        error,
        Some(GpuError::MaxBinding {
            value: 0,
            least: 64 << 10
        })
    );
}

#[test]
fn refused_memory_ends_one_operation_and_a_failure_ends_all() {
    let errors = Mutex::new(Errors::default());
    Errors::note(
        &errors,
        wgpu::Error::OutOfMemory {
            source: "no memory".into(),
        },
    );
    assert!(Errors::take(&errors).is_some_and(|error| error.is_out_of_memory()));
    assert_eq!(Errors::take(&errors), None);
    let (source, description) = ("a bad binding".into(), String::new());
    Errors::note(
        &errors,
        wgpu::Error::Validation {
            source,
            description,
        },
    );
    for _ in 0..2 {
        assert!(matches!(
            Errors::take(&errors),
            Some(GpuError::Failed { .. })
        ));
    }
}
