//! Hints where no GPU is found: the packages to install, by operating system.

/// How to get a driver on this system.
pub(super) fn driver_hint() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    hint(std::env::consts::OS, &release).into()
}

/// The hint for an operating system, as [`std::env::consts::OS`] has it; for Linux with its
/// `os-release` file.
fn hint(system: &str, release: &str) -> &'static str {
    match system {
        "windows" => "install the graphics driver of the GPU's maker: NVIDIA, AMD or Intel",
        "macos" | "ios" => {
            "Metal has no device here, which happens in virtual machines: run it on the machine \
             itself"
        }
        "android" => "this device has no Vulkan driver that can be used",
        "linux" => linux(release),
        _ => "install a Vulkan driver for the GPU",
    }
}

/// Packages by the family that a distribution says it belongs to.
const PACKAGES: [(&[&str], &str); 6] = [
    (
        &["debian", "ubuntu"],
        "install a driver: `apt install mesa-vulkan-drivers` for AMD, Intel or the CPU, \
         nvidia-driver for NVIDIA",
    ),
    (
        &["fedora", "rhel"],
        "install a driver: `dnf install mesa-vulkan-drivers` for AMD, Intel or the CPU, NVIDIA's \
         own for NVIDIA",
    ),
    (
        &["arch"],
        "install a driver: `pacman -S vulkan-radeon` for AMD, vulkan-intel for Intel, \
         nvidia-utils for NVIDIA, \
         vulkan-swrast for the CPU",
    ),
    (
        &["suse", "opensuse"],
        "install a driver: `zypper install libvulkan_radeon` for AMD, libvulkan_intel for Intel, \
         libvulkan_lvp for \
         the CPU, NVIDIA's own for NVIDIA",
    ),
    (
        &["alpine"],
        "install a driver: `apk add mesa-vulkan-ati` for AMD, mesa-vulkan-intel for Intel, \
         mesa-vulkan-swrast for \
         the CPU",
    ),
    (
        &["nixos"],
        "set hardware.graphics.enable = true, which brings Mesa's drivers",
    ),
];

fn linux(release: &str) -> &'static str {
    let value = |key: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\''])
    };
    let families = [value("ID"), value("ID_LIKE")].join(" ");
    let is_of = |names: &[&str]| {
        families
            .split_whitespace()
            .any(|family| names.contains(&family))
    };
    let known = PACKAGES.iter().find(|(names, _)| is_of(names));
    known.map_or(
        "install a Vulkan driver: Mesa's for AMD, Intel or the CPU, NVIDIA's own for NVIDIA",
        |(_, hint)| hint,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_for_this_system() {
        let cases = [
            ("linux", "ID=debian\n", "apt install mesa-vulkan-drivers"),
            (
                "linux",
                "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                "apt install",
            ),
            (
                "linux",
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                "dnf install",
            ),
            ("linux", "ID=manjaro\nID_LIKE=arch\n", "pacman -S"),
            (
                "linux",
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                "zypper install",
            ),
            ("linux", "ID=alpine\n", "apk add"),
            ("linux", "ID=nixos\n", "hardware.graphics"),
            ("linux", "", "install a Vulkan driver"),
            ("windows", "ID=debian\n", "driver of the GPU's maker"),
            ("macos", "", "Metal"),
            ("freebsd", "", "Vulkan driver"),
        ];
        for (system, release, wanted) in cases {
            assert!(
                hint(system, release).contains(wanted),
                "{system} {release}: {}",
                hint(system, release)
            );
        }
    }
}
