//! `godwit inspect --wgsl`: the composed WGSL of a kernel.

use godwit::WeightFormat;
use godwit_shaders::{Dialect, KERNELS, Kernel, Variant, compose};
use serde_json::json;

use crate::args::InspectArgs;
use crate::exit::Usage;
use crate::output::Output;

/// The weight format of kernels with weights, unless `--format` names another.
const DEFAULT_FORMAT: WeightFormat = WeightFormat::Q4_K;

/// Prints the WGSL of the kernel `name`, which is `KERNEL` or `KERNEL.VARIANT`.
pub fn show(name: &str, args: &InspectArgs) -> anyhow::Result<()> {
    let (kernel, variant) = find(name).map_err(Usage)?;
    let format = format(kernel, variant, args.format.as_deref()).map_err(Usage)?;
    let wgsl = compose(kernel, variant, format, Dialect::Naga)?;
    let mut out = Output::new();
    if args.plain.json {
        return out.json(&json!({
            "kernel": kernel.name,
            "variant": variant.name,
            "format": format.map(WeightFormat::name),
            "wgsl": wgsl,
        }));
    }
    wgsl.lines().try_for_each(|line| out.line(line))
}

fn find(name: &str) -> Result<(&'static Kernel, &'static Variant), String> {
    let (kernel_name, variant_name) = match name.split_once('.') {
        Some((kernel, variant)) => (kernel, Some(variant)),
        None => (name, None),
    };
    let kernel = KERNELS
        .into_iter()
        .find(|kernel| kernel.name == kernel_name);
    let kernel = kernel.ok_or_else(|| {
        let names = KERNELS.map(|kernel| kernel.name);
        format!(
            "no kernel is named `{kernel_name}`; the kernels are {}",
            names.join(", ")
        )
    })?;
    let Some(variant_name) = variant_name else {
        return Ok((kernel, &kernel.variants[0]));
    };
    let variant = kernel
        .variants
        .iter()
        .find(|variant| variant.name == variant_name);
    let variant = variant.ok_or_else(|| {
        let names: Vec<_> = kernel.variants.iter().map(|variant| variant.name).collect();
        let names = names.join(", ");
        format!("{kernel_name} has no variant named `{variant_name}`; its variants are {names}")
    })?;
    Ok((kernel, variant))
}

fn format(
    kernel: &Kernel,
    variant: &Variant,
    name: Option<&str>,
) -> Result<Option<WeightFormat>, String> {
    let Some(name) = name else {
        return Ok(kernel.weights.then_some(DEFAULT_FORMAT));
    };
    if !kernel.weights {
        return Err(format!(
            "{} has no weights; leave --format out",
            kernel.name
        ));
    }
    let taken = || {
        WeightFormat::ALL
            .into_iter()
            .filter(|&format| variant.takes(Some(format)))
    };
    let format = taken().find(|format| format.name().eq_ignore_ascii_case(name));
    format.map(Some).ok_or_else(|| {
        let names = taken()
            .map(WeightFormat::name)
            .collect::<Vec<_>>()
            .join(", ");
        let label = format!("{}.{}", kernel.name, variant.name);
        format!("`{name}` is no weight format of {label}; its formats are {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_list_what_exists() {
        let error = find("matmull").expect_err("no such kernel");
        assert!(
            error.contains("`matmull`") && error.contains("matmul, "),
            "{error}"
        );
        let error = find("matmul.fast").expect_err("no such variant");
        assert!(
            error.contains("`fast`") && error.contains("gemv_dp4a"),
            "{error}"
        );
        let (matmul, dp4a) = find("matmul.gemv_dp4a").expect("a variant");
        let error = format(matmul, dp4a, Some("f16")).expect_err("f16 has no codes");
        assert!(
            error.contains("gemv_dp4a") && error.contains("Q4_K"),
            "{error}"
        );
        assert_eq!(
            format(matmul, dp4a, Some("q8_0")),
            Ok(Some(WeightFormat::Q8_0))
        );
        let (argmax, base) = find("argmax").expect("a kernel");
        assert_eq!(format(argmax, base, None), Ok(None));
        assert!(format(argmax, base, Some("Q4_K")).is_err_and(|e| e.contains("no weights")));
    }

    #[test]
    fn every_variant_composes() {
        for kernel in KERNELS {
            for variant in kernel.variants {
                let (found, same) = find(&format!("{}.{}", kernel.name, variant.name)).expect("it");
                assert_eq!((found.name, same.name), (kernel.name, variant.name));
                let format = format(kernel, variant, None).expect("a format");
                compose(kernel, variant, format, Dialect::Naga).expect("it composes");
            }
        }
    }
}
