// Fetches kernel cases from an address, runs them by WebGPU, and posts their buffers back.

const GUARD = 256; // bytes before and after each buffer
const pipelines = new Map();

async function compiled(device, c) {
  const key = JSON.stringify([c.entry, c.variant, c.format, c.overrides]);
  if (!pipelines.has(key)) {
    const visibility = GPUShaderStage.COMPUTE;
    const uniform = (binding) => ({ binding, visibility, buffer: { type: "uniform" } });
    const storage = (write, i) => ({
      binding: i + 2,
      visibility,
      buffer: { type: write ? "storage" : "read-only-storage" },
    });
    const layout = device.createBindGroupLayout({
      entries: [uniform(0), uniform(1), ...c.writes.map(storage)],
    });
    const module = device.createShaderModule({ code: c.source });
    const errors = (await module.getCompilationInfo()).messages.filter(
      (message) => message.type === "error",
    );
    if (errors.length > 0) {
      throw new Error(
        errors.map((message) => `line ${message.lineNum}: ${message.message}`).join("\n"),
      );
    }
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: c.entry, constants: c.overrides },
    });
    pipelines.set(key, { layout, pipeline });
  }
  return pipelines.get(key);
}

function filled(device, usage, bytes) {
  const buffer = device.createBuffer({
    size: bytes.byteLength,
    usage: usage | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

// Runs a case; the bytes of all its buffers.
async function run(device, c, data, offset) {
  const { layout, pipeline } = await compiled(device, c);
  const sizes = c.words.map((words) => 4 * words + 2 * GUARD);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const buffers = sizes.map((size) => {
    const buffer = filled(device, usage, new Uint8Array(data, offset, size));
    offset += size;
    return buffer;
  });
  const uniforms = [c.params, c.step].map((bytes) =>
    filled(device, GPUBufferUsage.UNIFORM, new Uint8Array(bytes)),
  );
  const part = (buffer, i) => ({
    binding: i + 2,
    resource: { buffer, offset: GUARD, size: 4 * c.words[i] },
  });
  const entries = [
    ...uniforms.map((buffer, binding) => ({ binding, resource: { buffer } })),
    ...buffers.map(part),
  ];
  const total = sizes.reduce((a, b) => a + b, 0);
  const readback = device.createBuffer({
    size: total,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(...c.workgroups);
  pass.end();
  let at = 0;
  buffers.forEach((buffer, i) => {
    encoder.copyBufferToBuffer(buffer, 0, readback, at, sizes[i]);
    at += sizes[i];
  });
  device.queue.submit([encoder.finish()]);
  await readback.mapAsync(GPUMapMode.READ);
  const bytes = readback.getMappedRange().slice(0);
  [...buffers, ...uniforms, readback].forEach((buffer) => buffer.destroy());
  return bytes;
}

/** Runs all cases of the server at `url`; features that some of them need are asked for. */
export async function runCases(url, gpu) {
  const post = (path, body) => fetch(url + path, { method: "POST", body });
  try {
    const adapter = await gpu?.requestAdapter();
    if (!adapter) throw new Error("there is no WebGPU adapter");
    const requiredFeatures = ["shader-f16"].filter((feature) => adapter.features.has(feature));
    const device = await adapter.requestDevice({ requiredFeatures });
    device.lost.then((info) => post("/fail", `the device was lost: ${info.message}`));
    for (let n = 0; ; n++) {
      const response = await fetch(`${url}/case/${n}`);
      if (response.status === 204) break;
      const data = await response.arrayBuffer();
      const length = new DataView(data).getUint32(0, true);
      const c = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      device.pushErrorScope("validation");
      let bytes, error;
      try {
        bytes = await run(device, c, data, 4 + length);
      } catch (thrown) {
        error = String(thrown);
      }
      const invalid = await device.popErrorScope();
      error ??= invalid?.message;
      await (error ? post(`/error/${n}`, error) : post(`/result/${n}`, bytes));
    }
    await post("/done", "");
  } catch (error) {
    await post("/fail", String(thrown));
  }
}
