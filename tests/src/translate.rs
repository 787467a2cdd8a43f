//! Kernels as naga sees them: parsed, validated, with the constants of some pipeline, as SPIR-V.

use std::sync::LazyLock;

use godwit_shaders::{Case, Dialect, KERNELS, Kernel, Variant, WeightFormat, compose};
use naga::back::{PipelineConstants, pipeline_constants, spv};
use naga::valid::{
    Capabilities, FunctionInfo, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags,
    Validator,
};
use naga::{
    AddressSpace, Block, Expression, Function, Handle, Module, ShaderStage, Statement, TypeInner,
};

/// Every kernel's variants, each with every format that it takes.
pub fn variants() -> impl Iterator<Item = (&'static Kernel, &'static Variant, Option<WeightFormat>)>
{
    KERNELS.into_iter().flat_map(|kernel| {
        let formats = if kernel.weights {
            WeightFormat::ALL.map(Some).to_vec()
        } else {
            vec![None]
        };
        kernel.variants.iter().flat_map(move |variant| {
            let formats = formats
                .clone()
                .into_iter()
                .filter(|&format| variant.takes(format));
            formats.map(move |format| (kernel, variant, format))
        })
    })
}

/// Kernel, variant and format, for people.
pub fn label(kernel: &Kernel, variant: &Variant, format: Option<WeightFormat>) -> String {
    format!(
        "{}.{}{}",
        kernel.name,
        variant.name,
        format.map_or(String::new(), |format| format!(" {format}"))
    )
}

/// A variant, valid with only the capabilities it asks for.
///
/// # Errors
/// Naga's message.
pub fn module(
    kernel: &'static Kernel,
    variant: &Variant,
    format: Option<WeightFormat>,
) -> Result<(Module, ModuleInfo), String> {
    let source = compose(kernel, variant, format, Dialect::Naga).map_err(|e| e.to_string())?;
    // WebGPU has `unpack2x16float` everywhere; naga counts it as a capability.
    let base = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let spread = Capabilities::SUBGROUP | Capabilities::SHADER_INT64;
    let capabilities = [
        (variant.subgroups, Capabilities::SUBGROUP),
        (variant.shader_f16, Capabilities::SHADER_FLOAT16),
        (variant.cooperative_matrix, Capabilities::COOPERATIVE_MATRIX),
        (variant.subgroups8_int64, spread),
    ]
    .into_iter()
    .filter(|(needed, _)| *needed)
    .fold(base, |all, (_, more)| all | more);
    parsed(&source, capabilities)
}

/// WGSL, valid with these capabilities.
///
/// # Errors
/// Naga's message.
pub fn parsed(source: &str, capabilities: Capabilities) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

/// A case's kernel, variant, format and override values.
type Used = (
    &'static str,
    &'static str,
    Option<WeightFormat>,
    PipelineConstants,
);

/// The override sets of all cases, whose inputs take long to make.
static USED: LazyLock<Vec<Used>> = LazyLock::new(|| {
    let used = |kernel: &'static Kernel, case: Case| {
        let constants = case
            .overrides
            .iter()
            .map(|&(name, value)| (name.to_owned(), f64::from(value)))
            .collect();
        (
            kernel.name,
            kernel.variants[case.variant].name,
            case.fixture.format,
            constants,
        )
    };
    KERNELS
        .into_iter()
        .flat_map(|kernel| {
            (kernel.cases)()
                .into_iter()
                .map(move |case| used(kernel, case))
        })
        .collect()
});

/// Each set of override values that some case of the variant uses, with a format that `counts`, and
/// the defaults.
pub fn override_sets(
    kernel: &Kernel,
    variant: &Variant,
    counts: impl Fn(Option<WeightFormat>) -> bool,
) -> Vec<PipelineConstants> {
    let mut sets = vec![PipelineConstants::default()];
    for (of_kernel, of_variant, format, set) in USED.iter() {
        if (*of_kernel, *of_variant) == (kernel.name, variant.name)
            && counts(*format)
            && !sets.contains(set)
        {
            sets.push(set.clone());
        }
    }
    sets
}

/// A variant with its override constants filled in.
///
/// # Errors
/// Naga's message.
pub fn with_constants(
    kernel: &Kernel,
    (module, info): &(Module, ModuleInfo),
    constants: &PipelineConstants,
) -> Result<(Module, ModuleInfo), String> {
    let entry = Some((ShaderStage::Compute, kernel.name));
    let (module, info) = pipeline_constants::process_overrides(module, info, entry, constants)
        .map_err(|e| e.to_string())?;
    Ok((module.into_owned(), info.into_owned()))
}

/// SPIR-V as drivers get it: loops that naga bounds are for CPUs.
///
/// # Errors
/// naga can't write it.
pub fn spirv((module, info): &(Module, ModuleInfo), variant: &Variant) -> Result<Vec<u32>, String> {
    let options = spv::Options {
        lang_version: if variant.cooperative_matrix {
            (1, 6)
        } else {
            (1, 3)
        },
        force_loop_bounding: variant.is_for_cpus(),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    spv::write_vec(module, info, &options, None).map_err(|e| e.to_string())
}

/// Checks that nothing writes a component of a vector by an index that is known at run time only:
/// FXC, which compiles for DX12 where there is no DXC, refuses that ("array reference cannot be
/// used as an l-value"). Reading by such an index is fine.
///
/// # Errors
/// Names the function and the variable.
pub fn check_component_writes((module, info): &(Module, ModuleInfo)) -> Result<(), String> {
    for (handle, function) in module.functions.iter() {
        check_block(module, function, &info[handle], &function.body)?;
    }
    for (index, entry) in module.entry_points.iter().enumerate() {
        check_block(
            module,
            &entry.function,
            info.get_entry_point(index),
            &entry.function.body,
        )?;
    }
    Ok(())
}

fn check_block(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    block: &Block,
) -> Result<(), String> {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => check_store(module, function, info, *pointer)?,
            Statement::Block(inner) => check_block(module, function, info, inner)?,
            Statement::If { accept, reject, .. } => {
                check_block(module, function, info, accept)?;
                check_block(module, function, info, reject)?;
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    check_block(module, function, info, &case.body)?;
                }
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                check_block(module, function, info, body)?;
                check_block(module, function, info, continuing)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where a function loads cooperative matrices from, and stores them to.
pub fn cooperative_pointers(function: &Function) -> Vec<Handle<Expression>> {
    let mut pointers: Vec<_> = function
        .expressions
        .iter()
        .filter_map(|(_, expression)| match expression {
            Expression::CooperativeLoad { data, .. } => Some(data.pointer),
            _ => None,
        })
        .collect();
    add_stored(&function.body, &mut pointers);
    pointers
}

fn add_stored(block: &Block, pointers: &mut Vec<Handle<Expression>>) {
    for statement in block {
        match statement {
            Statement::CooperativeStore { data, .. } => pointers.push(data.pointer),
            Statement::Block(inner) => add_stored(inner, pointers),
            Statement::If { accept, reject, .. } => {
                add_stored(accept, pointers);
                add_stored(reject, pointers);
            }
            Statement::Switch { cases, .. } => cases
                .iter()
                .for_each(|case| add_stored(&case.body, pointers)),
            Statement::Loop {
                body, continuing, ..
            } => {
                add_stored(body, pointers);
                add_stored(continuing, pointers);
            }
            _ => {}
        }
    }
}

/// The address space of the variable that a pointer begins at, where it is a global one.
pub fn space_of(
    module: &Module,
    function: &Function,
    pointer: Handle<Expression>,
) -> Option<AddressSpace> {
    let mut root = pointer;
    while let Expression::Access { base, .. } | Expression::AccessIndex { base, .. } =
        function.expressions[root]
    {
        root = base;
    }
    match function.expressions[root] {
        Expression::GlobalVariable(global) => Some(module.global_variables[global].space),
        _ => None,
    }
}

fn check_store(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    pointer: Handle<Expression>,
) -> Result<(), String> {
    let Expression::Access { base, index } = function.expressions[pointer] else {
        return Ok(());
    };
    let is_vector = match *info[base].ty.inner_with(&module.types) {
        TypeInner::Pointer { base, .. } => {
            matches!(module.types[base].inner, TypeInner::Vector { .. })
        }
        TypeInner::ValuePointer { size, .. } => size.is_some(),
        _ => false,
    };
    let is_known = matches!(
        function.expressions[index],
        Expression::Literal(_) | Expression::Constant(_)
    );
    if !is_vector || is_known {
        return Ok(());
    }
    // The variable at the root of the pointer.
    let mut root = base;
    while let Expression::Access { base, .. } | Expression::AccessIndex { base, .. } =
        function.expressions[root]
    {
        root = base;
    }
    let variable = match function.expressions[root] {
        Expression::LocalVariable(local) => function.local_variables[local].name.as_deref(),
        Expression::GlobalVariable(global) => module.global_variables[global].name.as_deref(),
        Expression::FunctionArgument(at) => function.arguments[at as usize].name.as_deref(),
        _ => None,
    };
    Err(format!(
        "`{}` writes a component of `{}` by a run-time index, which FXC refuses; use `select`",
        function.name.as_deref().unwrap_or_default(),
        variable.unwrap_or("a vector")
    ))
}
