//! A kernel with a recorder of its addresses in it.

use super::{Case, Dialect, Kernel, compose};

/// The binding of the record: behind all storage buffers that a kernel may have.
pub(super) const RECORD: u32 = 10;

/// WGSL that records the indices of so many buffers. An invocation keeps its own record, for
/// drivers compile atomic operations slowly, and adds it at its end.
pub(super) fn recording_of(buffers: usize) -> String {
    let mut out =
        "@group(0) @binding(10) var<storage, read_write> recorded_: array<atomic<u32>, 8>;\n"
            .to_owned();
    let mut add = String::new();
    for i in 0..buffers {
        out += &format!(
            "var<private> most{i}_: u32;
            fn record{i}_(index: u32) -> u32 {{
                most{i}_ = max(most{i}_, min(index, 0xfffffffeu) + 1u);
                return index;
            }}\n"
        );
        add += &format!("atomicMax(&recorded_[{i}], most{i}_);\n");
    }
    out + &format!("fn add_record_() {{ {add} }}\n")
}

/// Where the bracket that is open before `text` begins is closed.
pub(super) fn closing(text: &str, [open, close]: [char; 2]) -> Option<usize> {
    let mut depth = 1;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == open) - i32::from(c == close);
        (depth == 0).then_some(at)
    })
}

/// The text with each `name` that is followed by `open`, up to where that is closed, replaced by
/// what `replace` makes of what is in between.
pub(super) fn replaced(
    text: &str,
    name: &str,
    brackets: [char; 2],
    replace: &dyn Fn(&str) -> String,
) -> String {
    let call = format!("{name}{}", brackets[0]);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&call) {
        let inside = &rest[at + call.len()..];
        let is_whole = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        let Some(end) = closing(inside, brackets).filter(|_| is_whole) else {
            out.push_str(&rest[..at + call.len()]);
            rest = inside;
            continue;
        };
        out.push_str(&rest[..at]);
        out.push_str(&replace(&replaced(&inside[..end], name, brackets, replace)));
        rest = &inside[end + 1..];
    }
    out + rest
}

/// WGSL with vectors in place of cooperative matrices, for devices that have none.
pub(super) fn without_matrices(source: &str) -> String {
    // Kernels name the types of matrices by aliases.
    let aliases = source.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("alias ")?.split_once(" = ")?;
        kind.starts_with("coop_mat16x16<").then_some(name)
    });
    let mut out = source.replace("enable wgpu_cooperative_matrix;\n", "");
    for [scalar, role] in [["f16", "A"], ["f16", "B"], ["f32", "C"]] {
        out = out.replace(&format!("coop_mat16x16<{scalar}, {role}>"), "vec4<f32>");
    }
    let parentheses = ['(', ')'];
    for alias in aliases {
        for load in ["coopLoad", "coopLoadT"] {
            out = replaced(&out, &format!("{load}<{alias}>"), parentheses, &|_| {
                "vec4<f32>()".into()
            });
        }
    }
    out = replaced(&out, "coopStoreT", parentheses, &|_| {
        "workgroupBarrier()".into()
    });
    // The sum that products are added to is the last argument.
    out = replaced(&out, "coopMultiplyAdd", parentheses, &|inside| {
        let arguments = inside.trim_end().trim_end_matches(',');
        format!("({})", arguments.rsplit(',').next().unwrap_or_default())
    });
    // Software drivers have less workgroup memory than such GPUs.
    ["w_tile", "values"].iter().fold(out, |out, name| {
        out.replace(
            &format!("var<workgroup> {name}:"),
            &format!("var<private> {name}:"),
        )
    })
}

/// A kernel's WGSL with all indices into its storage buffers recorded.
pub(super) fn recording(kernel: &'static Kernel, case: &Case) -> Result<String, String> {
    let variant = &kernel.variants[case.variant];
    let source =
        compose(kernel, variant, case.fixture.format, Dialect::Naga).map_err(|e| e.to_string())?;
    let code: Vec<&str> = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let mut code = code.join("\n");
    if variant.cooperative_matrix {
        code = without_matrices(&code);
    }
    for (at, binding) in kernel.bindings.iter().enumerate() {
        code = replaced(&code, binding.name, ['[', ']'], &|index| {
            format!("{}[record{at}_({index})]", binding.name)
        });
    }
    Ok(
        with_record_added(&code, kernel.name).ok_or("no entry point is found")?
            + &recording_of(kernel.bindings.len()),
    )
}

/// The WGSL with an entry point that calls the former one, and then adds the invocation's record.
pub(super) fn with_record_added(code: &str, name: &str) -> Option<String> {
    let (before, rest) = code.split_once("@compute")?;
    let (attributes, rest) = rest.split_once(&format!("fn {name}("))?;
    let end = closing(rest, ['(', ')'])?;
    let (parameters, body) = (rest[..end].trim().trim_end_matches(','), &rest[end + 1..]);
    // Each is `@builtin(what) name: type`.
    let plain: Vec<&str> = parameters
        .split("@builtin(")
        .skip(1)
        .filter_map(|one| one.split_once(") "))
        .map(|(_, plain)| plain)
        .collect();
    let names: Vec<&str> = plain
        .iter()
        .filter_map(|plain| plain.split(':').next())
        .collect();
    let entry = format!(
        "@compute{attributes}fn {name}({parameters}) {{ inner_({}); add_record_(); }}",
        names.join(", ")
    );
    Some(format!(
        "{before}fn inner_({}){body}\n{entry}\n",
        plain.concat()
    ))
}
