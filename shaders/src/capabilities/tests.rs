use super::*;

#[test]
fn a_tuning_is_refused_by_field_value_and_permitted_values() {
    for good in [
        GPU,
        CPU,
        Tuning {
            prefill_chunk: 1,
            workgroups: 1,
            steps_in_flight: 1,
            ..GPU
        },
        Tuning {
            prefill_chunk: 37,
            workgroups: 3,
            steps_in_flight: 5,
            ..GPU
        },
        Tuning {
            prefill_chunk: 4096,
            workgroups: 4096,
            steps_in_flight: 64,
            ..GPU
        },
        Tuning {
            gemv: Some(MatmulMethod::CpuGemv),
            few_rows: Some(MatmulMethod::FewRows),
            few_rows_up_to: 1,
            gemm: Some(MatmulMethod::GemmCoop),
            ..GPU
        },
    ] {
        assert_eq!(good.validate(), Ok(()), "{good:?}");
    }
    let most = u32::MAX;
    for (bad, wanted) in [
        (
            Tuning {
                prefill_chunk: 0,
                ..GPU
            },
            "prefill_chunk is 0, but must be from 1 to 4096",
        ),
        (
            Tuning {
                prefill_chunk: 4097,
                ..GPU
            },
            "prefill_chunk is 4097, but must be from 1 to 4096",
        ),
        (
            Tuning {
                prefill_chunk: most,
                ..GPU
            },
            "prefill_chunk is 4294967295, but must be from 1 to 4096",
        ),
        (
            Tuning {
                workgroups: 0,
                ..GPU
            },
            "workgroups is 0, but must be from 1 to 4096",
        ),
        (
            Tuning {
                workgroups: most,
                ..GPU
            },
            "workgroups is 4294967295, but must be from 1 to 4096",
        ),
        (
            Tuning {
                steps_in_flight: 0,
                ..GPU
            },
            "steps_in_flight is 0, but must be from 1 to 64",
        ),
        (
            Tuning {
                steps_in_flight: most,
                ..GPU
            },
            "steps_in_flight is 4294967295, but must be from 1 to 64",
        ),
        (
            Tuning {
                gemv: Some(MatmulMethod::Gemm),
                ..GPU
            },
            "gemv is gemm, but must be one of gemv, gemv_dp4a, cpu_gemv, cpu_gemv_subgroup",
        ),
        (
            Tuning {
                few_rows_up_to: 0,
                ..GPU
            },
            "few_rows_up_to is 0, but must be from 1 to 64",
        ),
        (
            Tuning {
                few_rows_up_to: 65,
                ..GPU
            },
            "few_rows_up_to is 65, but must be from 1 to 64",
        ),
        (
            Tuning {
                few_rows: Some(MatmulMethod::Gemv),
                ..GPU
            },
            "few_rows is gemv, but must be one of few_rows, cpu_few_rows, \
             cpu_few_rows_subgroup",
        ),
        (
            Tuning {
                gemm: Some(MatmulMethod::CpuGemv),
                ..GPU
            },
            "gemm is cpu_gemv, but must be one of gemm, gemm_f16, gemm_coop, cpu_gemm, \
             cpu_gemm_subgroup",
        ),
    ] {
        let error = bad.validate().expect_err("it is refused").to_string();
        assert_eq!(error, format!("the tuning's {wanted}"));
    }
}
