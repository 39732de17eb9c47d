// Compiles WGSL in headless Chromium, on the software adapter that it brings, with no more than WebGPU's default limits,
// and runs what comes with data. Usage: node shaders.mjs CHROMIUM < SHADERS > RESULTS
//
// SHADERS: JSON, [{name, source, readOnly: [boolean of each storage binding], constants: [{name: value}], run}], where
// `run` is null or {buffers: [[u32]], parameters: [u32], groups: [x, y, z]}.
// RESULTS: JSON, {problems: [text], outputs: {name: [[u32 of each storage binding]]}}.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath] = process.argv.slice(2);
const shaders = JSON.parse(readFileSync(0, "utf8"));

// A page has WebGPU only where its address is trusted, as this machine's own is.
const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>shaders</title>"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const profile = mkdtempSync(join(tmpdir(), "cream-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log(JSON.stringify(await page.evaluate(compileAll, shaders)));
} finally {
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}

/** In the page. */
async function compileAll(shaders) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) {
    throw new Error("Chromium has no WebGPU adapter");
  }
  const device = await adapter.requestDevice();
  const problems = [];
  const outputs = {};
  device.lost.then(({ message }) => problems.push(`device lost: ${message}`));
  for (const shader of shaders) {
    await compile(shader).catch((error) => problems.push(`${shader.name}: ${error.message}`));
  }
  return { problems, outputs };

  async function compile({ name, source, readOnly, constants, run }) {
    const module = device.createShaderModule({ code: source });
    const { messages } = await module.getCompilationInfo();
    const lines = source.split("\n");
    messages.forEach(({ type, lineNum, message }) =>
      problems.push(`${name}: line ${lineNum} (${lines[lineNum - 1]?.trim()}): ${type}: ${message}`));
    if (messages.some(({ type }) => type === "error")) {
      return;
    }
    // As the engine binds them: storage in the order of its numbers, then the parameters.
    const types = [...readOnly.map((only) => (only ? "read-only-storage" : "storage")), "uniform"];
    const entries = types.map((type, binding) =>
      ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type, hasDynamicOffset: type === "uniform" } }));
    const group = device.createBindGroupLayout({ entries });
    const layout = device.createPipelineLayout({ bindGroupLayouts: [group] });
    await Promise.all(constants.map(async (values) => {
      const compute = { module, entryPoint: "main", constants: values };
      const pipeline = await device.createComputePipelineAsync({ layout, compute })
        .catch((error) => problems.push(`${name} with ${JSON.stringify(values)}: ${error.message}`));
      if (run && pipeline instanceof GPUComputePipeline) {
        outputs[name] = await results(pipeline, group, run);
      }
    }));
  }

  async function results(pipeline, layout, { buffers, parameters, groups }) {
    const filled = (words, usage) => {
      const buffer = device.createBuffer({ size: 4 * words.length, usage: usage | GPUBufferUsage.COPY_DST });
      device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
      return buffer;
    };
    const storage = buffers.map((words) => filled(words, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC));
    const bound = [...storage, filled(parameters, GPUBufferUsage.UNIFORM)];
    const entries = bound.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }), [0]);
    pass.dispatchWorkgroups(...groups);
    pass.end();
    const back = storage.map((buffer) => {
      const read = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      encoder.copyBufferToBuffer(buffer, 0, read, 0, buffer.size);
      return read;
    });
    device.queue.submit([encoder.finish()]);
    return Promise.all(back.map(async (buffer) => {
      await buffer.mapAsync(GPUMapMode.READ);
      return [...new Uint32Array(buffer.getMappedRange())];
    }));
  }
}
