//! Compiles the kernels for GPUs that aren't there, by Mesa's drivers: whether their compilers take
//! them, and whether they fit the registers. For AMD's, by RADV, which has a device for that;
//! kernels must fit:
//!
//!     export VK_DRIVER_FILES=/usr/share/vulkan/icd.d/radeon_icd.json
//!     RADV_FORCE_FAMILY=navi31 cargo test --workspace --test registers
//!
//! For Intel's by ANV, Qualcomm's by Turnip, Apple's by Honeykrisp and NVIDIA's by NVK, with shims
//! of Mesa's source that stand in for the kernel (docs/design/portability.md). Arguments are parts
//! of kernels' names; for each pipeline a line says what it takes, in the driver's own measures
//! (`-`: it doesn't say). wgpu can't open such devices, for they have no queue that works.

use std::error::Error;
use std::ffi::{CStr, CString};

use ash::vk;
use godwit_shaders::Kernel;
use godwit_tests::translate;

/// What drivers say of a compiled kernel: what people call it, and as what RADV, ANV, Turnip,
/// Honeykrisp and NVK tell it.
const MEASURES: [(&str, &[&str]); 5] = [
    (
        "registers",
        &[
            "VGPRs",
            "Max live registers",
            "Registers used",
            "Number of GPRs",
        ],
    ),
    (
        "subgroups",
        &[
            "Subgroups per SIMD",
            "Max dispatch width",
            "Max Waves Per Core",
        ],
    ),
    (
        "spilled",
        &["Scratch size", "Spill Count", "STP Count", "SLM Size"],
    ),
    (
        "code",
        &[
            "Instruction count",
            "Instruction Count",
            "Code size",
            "Code Size",
        ],
    ),
    (
        "cycles",
        &[
            "Inverse Throughput",
            "Cycle Count",
            "Estimated cycles stalled on SY",
        ],
    ),
];
const SPILLED: usize = 2;

struct Device {
    device: ash::Device,
    statistics: ash::khr::pipeline_executable_properties::Device,
    cooperative_matrix: bool,
    // The loader stays while the device does.
    _entry: ash::Entry,
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let (name, device) = open()?;
    let is_amd = name.contains("RADV");
    println!("{name}");
    MEASURES
        .iter()
        .for_each(|(measure, ..)| print!("{measure:>10}"));
    println!();
    let (mut pipelines, mut spilled) = (0, Vec::new());
    for (kernel, variant, format) in translate::variants() {
        let label = translate::label(kernel, variant, format);
        let is_wanted = wanted.is_empty() || wanted.iter().any(|part| label.contains(part));
        if !is_wanted
            || variant.is_for_cpus()
            || variant.cooperative_matrix && !device.cooperative_matrix
        {
            continue;
        }
        let checked = translate::module(kernel, variant, format)?;
        for constants in translate::override_sets(kernel, variant, |of_case| of_case == format) {
            let words = translate::spirv(
                &translate::with_constants(kernel, &checked, &constants)?,
                variant,
            )?;
            let measured = device
                .compile(kernel, &words)
                .map_err(|cause| format!("{label} {constants:?}: {cause}"))?;
            let mut constants: Vec<_> = constants
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            constants.sort();
            let line = format!("{label} {}", constants.join(" "));
            for value in &measured {
                print!(
                    "{:>10}",
                    value.map_or("-".to_string(), |value| value.to_string())
                );
            }
            println!("  {line}");
            pipelines += 1;
            if is_amd && measured[SPILLED].is_none() {
                return Err(format!("{name} doesn't say whether registers are spilled").into());
            }
            if measured[SPILLED].is_some_and(|spilled| spilled > 0) {
                spilled.push(line);
            }
        }
    }
    println!("{pipelines} pipelines, {} of them spill", spilled.len());
    match spilled.first().filter(|_| is_amd) {
        Some(line) => Err(format!("{line}: registers are spilled").into()),
        None => Ok(()),
    }
}

/// The first device's name, and it.
fn open() -> Result<(String, Device), Box<dyn Error>> {
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
    let queue = [vk::DeviceQueueCreateInfo::default()
        .queue_family_index(0)
        .queue_priorities(&[1.0])];
    // SAFETY: structures live as long as the calls that they are for; what is asked for, the driver
    // has or refuses.
    unsafe {
        let entry = ash::Entry::load()?;
        let instance = entry.create_instance(
            &vk::InstanceCreateInfo::default().application_info(&application),
            None,
        )?;
        let physical = *instance
            .enumerate_physical_devices()?
            .first()
            .ok_or("there is no Vulkan device")?;
        let name = instance
            .get_physical_device_properties(physical)
            .device_name_as_c_str()?
            .to_string_lossy()
            .into_owned();
        let extensions = instance.enumerate_device_extension_properties(physical)?;
        let has = |name: &CStr| {
            extensions
                .iter()
                .any(|extension| extension.extension_name_as_c_str() == Ok(name))
        };
        let cooperative_matrix = has(ash::khr::cooperative_matrix::NAME);
        let mut names = vec![ash::khr::pipeline_executable_properties::NAME.as_ptr()];
        let mut statistics = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let mut half_storage =
            vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
        let mut features12 = vk::PhysicalDeviceVulkan12Features::default()
            .shader_float16(true)
            .vulkan_memory_model(true);
        let mut dots =
            vk::PhysicalDeviceVulkan13Features::default().shader_integer_dot_product(true);
        let mut cooperative =
            vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queue)
            .push_next(&mut statistics)
            .push_next(&mut half_storage)
            .push_next(&mut features12)
            .push_next(&mut dots);
        if cooperative_matrix {
            names.push(ash::khr::cooperative_matrix::NAME.as_ptr());
            create = create.push_next(&mut cooperative);
        }
        let device =
            instance.create_device(physical, &create.enabled_extension_names(&names), None)?;
        let statistics = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
        Ok((
            name,
            Device {
                device,
                statistics,
                cooperative_matrix,
                _entry: entry,
            },
        ))
    }
}

impl Device {
    /// Compiles a kernel's SPIR-V. What the driver says of it, as [`MEASURES`]; `None`: it doesn't.
    fn compile(&self, kernel: &Kernel, words: &[u32]) -> Result<Vec<Option<u64>>, Box<dyn Error>> {
        let device = &self.device;
        let bindings: Vec<_> = (0..2 + kernel.bindings.len() as u32)
            .map(|binding| {
                let uniform = binding < 2;
                let kind = if uniform {
                    vk::DescriptorType::UNIFORM_BUFFER
                } else {
                    vk::DescriptorType::STORAGE_BUFFER
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let name = CString::new(kernel.name)?;
        // SAFETY: the SPIR-V is naga's, of a valid module; all handles are this device's. They go
        // with the process.
        unsafe {
            let module = device
                .create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let sets = [device.create_descriptor_set_layout(
                &vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings),
                None,
            )?];
            let layout = device.create_pipeline_layout(
                &vk::PipelineLayoutCreateInfo::default().set_layouts(&sets),
                None,
            )?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&name);
            let create = vk::ComputePipelineCreateInfo::default()
                .stage(stage)
                .layout(layout)
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR);
            let pipelines = device
                .create_compute_pipelines(vk::PipelineCache::null(), &[create], None)
                .map_err(|(_, cause)| cause)?;
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipelines[0]);
            let all = self.statistics.get_pipeline_executable_statistics(&info)?;
            let measured = |(_, names): &(&str, &[&str])| {
                // The first that there is: some drivers tell code in more than one way.
                names.iter().find_map(|name| {
                    let found = all.iter().find(|s| {
                        s.name_as_c_str()
                            .is_ok_and(|found| found.to_bytes() == name.as_bytes())
                    });
                    found.map(|statistic| statistic.value.u64)
                })
            };
            Ok(MEASURES.iter().map(measured).collect())
        }
    }
}
