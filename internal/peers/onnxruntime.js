// Runs one ONNX model in ONNX Runtime: a JSON request per line on standard
// input, a JSON answer per line on standard output, the first one when ready.
'use strict';
const readline = require('node:readline');
const [runtime, file, threads, exact] = process.argv.slice(1);
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const arrays = { uint8: Uint8Array, int8: Int8Array, float32: Float32Array };

async function main() {
  const ort = require(runtime);
  const session = await ort.InferenceSession.create(file, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    extra: { session: { x64quantprecision: exact } },
  });
  const [input] = session.inputMetadata;
  answer({ version: ort.env.versions.node });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const bytes = Uint8Array.from(Buffer.from(request.input, 'base64'));
    const tensor = new ort.Tensor(input.type, new arrays[input.type](bytes.buffer), input.shape);
    const millis = [];
    let output;
    for (let i = 0; i < request.frames; i++) {
      const start = performance.now();
      output = (await session.run({ [input.name]: tensor }))[session.outputNames[0]].data;
      millis.push(performance.now() - start);
    }
    const raw = Buffer.from(output.buffer, output.byteOffset, output.byteLength);
    answer({ output: raw.toString('base64'), millis });
  }
}

main().catch((error) => answer({ error: error.message }));
