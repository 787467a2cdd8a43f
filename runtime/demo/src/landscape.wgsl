// Cubes on a wavy floor, lit by the sky and a sun.

struct View {
    from_world: mat4x4<f32>,
    seconds: f32,
    cubes_per_side: u32,
}

@group(0) @binding(0) var<uniform> view: View;

struct Corner {
    @builtin(position) at: vec4<f32>,
    @location(0) normal: vec3<f32>,
    @location(1) colour: vec3<f32>,
}

// The axes of a cube's face, and its normal.
fn face_normal(face: u32) -> vec3<f32> {
    let side = select(-1.0, 1.0, face % 2u == 1u);
    switch face / 2u {
        case 0u { return vec3(side, 0.0, 0.0); }
        case 1u { return vec3(0.0, side, 0.0); }
        default { return vec3(0.0, 0.0, side); }
    }
}

@vertex
fn cube(@builtin(vertex_index) vertex: u32, @builtin(instance_index) instance: u32) -> Corner {
    let normal = face_normal(vertex / 6u);
    let right = normal.yzx;
    let up = cross(normal, right);
    // Two triangles of the face.
    var corners = array(vec2(-1.0, -1.0), vec2(1.0, -1.0), vec2(1.0, 1.0),
        vec2(-1.0, -1.0), vec2(1.0, 1.0), vec2(-1.0, 1.0));
    let corner = corners[vertex % 6u];
    let place = vec2<f32>(vec2(instance % view.cubes_per_side, instance / view.cubes_per_side))
        - 0.5 * f32(view.cubes_per_side);
    let wave = sin(0.7 * place.x + view.seconds) + cos(0.6 * place.y - 0.8 * view.seconds);
    let centre = vec3(place.x, 0.6 * wave, place.y);
    let world = centre + 0.38 * (normal + corner.x * right + corner.y * up);
    let warmth = 0.5 + 0.25 * wave;
    let colour = mix(vec3(0.16, 0.34, 0.62), vec3(0.95, 0.62, 0.28), warmth);
    return Corner(view.from_world * vec4(world, 1.0), normal, colour);
}

@fragment
fn lit(corner: Corner) -> @location(0) vec4<f32> {
    let sun = max(dot(corner.normal, normalize(vec3(0.5, 0.8, 0.3))), 0.0);
    let sky = 0.5 + 0.5 * corner.normal.y;
    let light = 0.25 * sky * vec3(0.7, 0.8, 1.0) + 0.85 * sun * vec3(1.0, 0.95, 0.85);
    return vec4(corner.colour * light, 1.0);
}
