/* What runs beside the page: one reconstruction at a time. A newer request ends the one in progress. */
function work(P) {
  const asked = new Map();
  let size = null, cine = null, scanner = null, wanted = null, running = false, measured = null, base = null;
  const asset = name => {
    if (!asked.has(name)) {
      let arrived;
      asked.set(name, Object.assign(new Promise(resolve => { arrived = resolve; }), {arrive: data => arrived(data)}));
      postMessage({want: name});
    }
    return asked.get(name);
  };
  const pause = () => new Promise(resolve => setTimeout(resolve));
  const unpacked = data => new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();

  /* ONNX Runtime with the graph of a cascade's network, whose weights are arguments. */
  let session = null;
  const runtime = async () => {
    const address = URL.createObjectURL(new Blob([await unpacked(await asset("ort.mjs"))], {type: "text/javascript"}));
    const ort = await import(address);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await unpacked(await asset("ort.wasm"));
    return {ort, graph: await ort.InferenceSession.create(new Uint8Array(await asset("residual")), {logSeverityLevel: 3})};
  };
  const residual = async (channels, shape, own) => {
    session ??= runtime();
    const {ort, graph} = await session;
    own.tensors ??= Object.fromEntries(own.map(([name, dims, data]) => [name, new ort.Tensor("float32", data, dims)]));
    const found = await graph.run({channels: new ort.Tensor("float32", channels, shape), ...own.tensors});
    return found.residual.data;
  };
  /* A .safetensors file: the length of a JSON header, the header, the numbers. Here columns come before lines, so the
     kernels are turned as well. */
  const network = async name => {
    const file = await asset(name), length = Number(new DataView(file).getBigUint64(0, true));
    const {__metadata__, ...held} = JSON.parse(new TextDecoder().decode(file.slice(8, 8 + length))), made = new Map();
    const half = v => {  // a number of 16 bits
      const sign = v & 0x8000 ? -1 : 1, exponent = v >> 10 & 31, rest = v & 1023;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
    };
    const numbers = key => {
      const {dtype, data_offsets} = held[key], part = file.slice(...data_offsets.map(at => at + 8 + length));
      if (dtype === "F32") return new Float32Array(part);
      if (dtype === "F16") return Float32Array.from(new Uint16Array(part), half);
      throw new Error(`${name}: found weights of type ${dtype}; expected F32 or F16`);
    };
    const turned = key => {
      const from = numbers(key), [o, i, t, y, x] = held[key].shape;
      if (!(y > 1)) return from;
      return from.map((_, at) => from[at - at % (y * x) + at % x * y + (at / x | 0) % y]);
    };
    const weights = n => {
      const prefix = `regularisers.${n}.`, keys = Object.keys(held).filter(key => key.startsWith(prefix));
      if (!made.has(n)) made.set(n, keys.map(key => [key.slice(prefix.length), held[key].shape, turned(key)]));
      return made.get(n);
    };
    const scale = n => held[`consistencies.${n}.log_scale`] ? Math.exp(numbers(`consistencies.${n}.log_scale`)[0]) : 0;
    return {config: JSON.parse(__metadata__.config).network, weights, scale};
  };

  /* The measurement of the job: the same numbers as long as cine, phase, noise and lesion stay. */
  const measure = ({phase, noise, seed, lesion}) => {
    const key = JSON.stringify([phase, noise, noise && seed, lesion]);
    if (measured?.key !== key) {
      const spot = lesion ? P.lesion(size, lesion) : null;
      const truth = spot ? cine.magnitude.map((v, i) => v + 0.35 * spot[i]) : cine.magnitude;
      const angle = phase ? cine.angle ?? P.phase(seed, size) : null;
      measured = {key, truth, spot, h: scanner.noise(scanner.hybrid(truth, angle), noise, seed)};
    }
    return measured;
  };
  async function* reconstruct(job) {
    const {h, truth, spot} = measure(job), m = scanner.lines(job.mask);
    let image;
    if (scanner.simple[job.method]) image = scanner.along(scanner.simple[job.method](h, m), true);
    else {
      const steps = scanner.iterative[job.method] ? scanner.iterative[job.method](h, m, job.noise)
        : scanner.cascade(h, m, job.noise, await network(job.method), residual);
      let step = steps.next();
      while (!step.done) {
        if (typeof step.value === "number") { yield step.value; step = steps.next(); } else step = steps.next(await step.value);
      }
      image = step.value;
    }
    return {image: scanner.magnitude(image), truth, spot};
  }
  /* Runs a job to its end, or until another is wanted; then nothing is returned. */
  const run = async (job, from = 0, share = 1) => {
    const steps = reconstruct(job);
    for (let then = performance.now(), step = await steps.next(); ; step = await steps.next()) {
      if (step.done) return step.value;
      if (performance.now() - then < 40) continue;
      postMessage({id: job.id, share: from + share * step.value});
      await pause();
      if (wanted) { steps.return(); return null; }
      then = performance.now();
    }
  };
  /* How much of a lesion's contrast survives, as studies.heart has it: with it against without. */
  const contrast = async (job, found) => {
    const plain = {...job, lesion: null}, key = JSON.stringify([job.method, job.noise, job.phase, job.seed, Array.from(job.mask).join("")]);
    if (base?.key !== key) {
      const without = await run(plain, 0.5, 0.5);
      if (!without) return null;
      base = {key, image: without.image};
    }
    let sum = 0, expected = 0;
    for (let i = 0; i < found.spot.length; i++) if (found.spot[i] > 0.01) {
      sum += (found.image[i] - base.image[i]) * found.spot[i]; expected += 0.35 * found.spot[i] ** 2;
    }
    return sum / expected;
  };
  const loop = async () => {
    running = true;
    while (await pause(), wanted) {
      const job = wanted, began = performance.now();
      wanted = null;
      if (!job.method) continue;  // a cancelled one
      try {
        const found = await run(job, 0, job.lesion ? 0.5 : 1);
        if (!found) continue;
        const told = {id: job.id, method: job.method, ...P.psnr(found.image, found.truth, size)};
        postMessage({...told, image: found.image, ms: performance.now() - began});
        await pause();
        if (wanted) continue;
        told.ssim = P.ssim(found.image, found.truth, size);
        if (found.spot) told.contrast = await contrast(job, found);
        if (!wanted) postMessage({...told, done: true});
      } catch (problem) { postMessage({id: job.id, problem: String(problem.message ?? problem)}); }
    }
    running = false;
  };
  onmessage = ({data}) => {
    if (data.asset) return asked.get(data.asset).arrive(data.data);
    if (data.cine) { cine = data.cine; size = cine.shape; scanner = P.scanner(size); measured = base = null; return; }
    wanted = data;
    if (!running) loop();
  };
}
