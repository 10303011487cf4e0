/* The course's forward model and its methods in plain JavaScript, for one coil; tests hold every one to Python.

A cine is (t, y, x), magnitudes from 0 to 1. In here it lies as (t, x, y), y fastest, with the centre of y at index 0:
then the centred transform along y is a plain one. The readout is fully sampled, so ky alone is transformed ("hybrid"
data). Complex arrays are pairs [re, im] of Float32Array; a mask is a Uint8Array (t, y) in the order of the image. */
function physics() {
  /* A mixed-radix Fourier transform of one length, in place at an offset, orthonormal (Stockham's, no reordering). */
  const plans = new Map();
  const plan = n => {
    if (plans.has(n)) return plans.get(n);
    const radices = [];
    let rest = n;
    for (const r of [4, 2, 3, 5, 7]) for (; rest % r === 0; rest /= r) radices.push(r);
    for (let r = 11; rest > 1; r += 2) for (; rest % r === 0; rest /= r) radices.push(r);
    const cos = new Float64Array(n), sin = new Float64Array(n), norm = 1 / Math.sqrt(n), root3 = Math.sqrt(3) / 2;
    for (let i = 0; i < n; i++) [cos[i], sin[i]] = [Math.cos(2 * Math.PI * i / n), -Math.sin(2 * Math.PI * i / n)];
    const spare = [new Float64Array(n), new Float64Array(n)], first = [new Float64Array(n), new Float64Array(n)];
    const transform = (re, im, at, inverse, stride = 1) => {
      let [ar, ai] = first, [br, bi] = spare;
      const [or, oi] = inverse ? [im, re] : [re, im];  // parts exchanged, the same sum is the inverse
      for (let i = 0; i < n; i++) { ar[i] = or[at + i * stride]; ai[i] = oi[at + i * stride]; }
      let len = n, s = 1;
      for (const r of radices) {
        const q = len / r;
        for (let p = 0; p < q; p++) {
          const c1 = cos[p * s], s1 = sin[p * s], c2 = cos[2 * p * s % n], s2 = sin[2 * p * s % n];
          if (r === 4) {
            const c3 = cos[3 * p * s % n], s3 = sin[3 * p * s % n];
            for (let k = 0; k < s; k++) {
              const i = k + s * p, j = i + s * q, l = j + s * q, m = l + s * q, o = k + 4 * s * p;
              const a = ar[i] + ar[l], b = ai[i] + ai[l], c = ar[i] - ar[l], d = ai[i] - ai[l];
              const e = ar[j] + ar[m], f = ai[j] + ai[m], g = ai[j] - ai[m], h = ar[m] - ar[j];
              br[o] = a + e; bi[o] = b + f;
              let u = c + g, v = d + h;
              br[o + s] = u * c1 - v * s1; bi[o + s] = u * s1 + v * c1;
              u = a - e; v = b - f;
              br[o + 2 * s] = u * c2 - v * s2; bi[o + 2 * s] = u * s2 + v * c2;
              u = c - g; v = d - h;
              br[o + 3 * s] = u * c3 - v * s3; bi[o + 3 * s] = u * s3 + v * c3;
            }
          } else if (r === 3) {
            for (let k = 0; k < s; k++) {
              const i = k + s * p, j = i + s * q, l = j + s * q, o = k + 3 * s * p;
              const sx = ar[j] + ar[l], sy = ai[j] + ai[l], mx = ar[i] - sx / 2, my = ai[i] - sy / 2;
              const dx = root3 * (ai[j] - ai[l]), dy = root3 * (ar[l] - ar[j]);
              br[o] = ar[i] + sx; bi[o] = ai[i] + sy;
              let u = mx + dx, v = my + dy;
              br[o + s] = u * c1 - v * s1; bi[o + s] = u * s1 + v * c1;
              u = mx - dx; v = my - dy;
              br[o + 2 * s] = u * c2 - v * s2; bi[o + 2 * s] = u * s2 + v * c2;
            }
          } else {
            for (let k = 0; k < s; k++) for (let m = 0; m < r; m++) {
              let u = 0, v = 0;
              for (let j = 0; j < r; j++) {
                const i = k + s * (p + q * j), w = (j * m * (n / r) + p * m * s) % n;
                u += ar[i] * cos[w] - ai[i] * sin[w]; v += ar[i] * sin[w] + ai[i] * cos[w];
              }
              br[k + s * (r * p + m)] = u; bi[k + s * (r * p + m)] = v;
            }
          }
        }
        len = q; s *= r;
        [ar, ai, br, bi] = [br, bi, ar, ai];
      }
      for (let i = 0; i < n; i++) { or[at + i * stride] = ar[i] * norm; oi[at + i * stride] = ai[i] * norm; }
    };
    plans.set(n, transform);
    return transform;
  };
  const pair = n => [new Float32Array(n), new Float32Array(n)];

  /* Random numbers as torch.Generator().manual_seed(seed) gives them: 32 bits of the Mersenne twister. */
  const mersenne = seed => {
    const s = new Uint32Array(624);
    let at = 624;
    s[0] = seed;
    for (let i = 1; i < 624; i++) s[i] = Math.imul(1812433253, s[i - 1] ^ (s[i - 1] >>> 30)) + i;
    return () => {
      if (at === 624) {
        for (let i = 0; i < 624; i++) {
          const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
          s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        at = 0;
      }
      let y = s[at++];
      y ^= y >>> 11; y ^= (y << 7) & 0x9d2c5680; y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    };
  };
  const doubles = seed => {  // torch.rand of float64: 53 bits of two numbers
    const next = mersenne(seed);
    return () => { const high = next(), low = next(); return ((high & 0x1fffff) * 4294967296 + low) / 9007199254740992; };
  };
  const floats = seed => { const next = mersenne(seed); return () => (next() & 0xffffff) / 16777216; };

  const density = (n, name) => Float64Array.from({length: n}, (_, i) => {
    const d = Math.abs(i - (n >> 1));
    return name === "gaussian" ? Math.exp(-0.5 * (d / (n / 8)) ** 2) + 0.01 : Math.max(1 - d / Math.max(n / 2, 1), 0) ** 2;
  });
  const short = (value, digits = 6) => String(+value.toPrecision(digits));
  /* sampling.ky_t_mask, bit by bit, and the sentences with which it refuses. */
  const mask = ([t, n], {acceleration, center_lines, density: name, seed}) => {
    const budget = Math.floor(n / acceleration), shown = short(acceleration);
    if (!(acceleration >= 1)) throw new Error(`acceleration ${acceleration} is impossible: it is at least 1 (every line sampled)`);
    if (budget < 1) throw new Error(`acceleration ${shown} leaves none of ${n} lines; at most ${n} is possible`);
    if (!(center_lines >= 0 && center_lines <= budget))
      throw new Error(`${center_lines} centre lines do not fit: acceleration ${shown} leaves ${budget} of ${n} lines per frame; `
        + `possible are 0 to ${budget} centre lines`
        + (center_lines > 0 && center_lines <= n ? `, or an acceleration of at most ${short(n / center_lines, 4)}` : ""));
    const uniform = doubles(seed), weights = density(n, name), drawn = new Uint8Array(t * n);
    const first = (n >> 1) - (center_lines >> 1);
    for (let f = 0; f < t; f++) {
      const keys = Float64Array.from(weights, w => -Math.log(Math.max(uniform(), 1e-300)) / Math.max(w, 1e-12));
      keys.fill(-1, first, first + center_lines);
      for (const i of Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b]).slice(0, budget)) drawn[f * n + i] = 1;
    }
    return drawn;
  };

  /* data.phantom.phase of strength 1, without the flow: slow, local and drifting fields, and a constant. */
  const phase = (seed, [T, Y, X]) => {
    const next = floats(seed), u = Array.from({length: 102}, next), turn = 2 * Math.PI;
    const at = (i, n) => (2 * i - (n - 1)) / Math.max(n - 1, 1);
    const power = [[0, 0, 1, 0, 1, 2, 0, 1, 2, 3], [0, 1, 0, 2, 1, 0, 3, 2, 1, 0]];
    const field = (v, x) => {
      let sum = 0;
      for (let k = 0; k < 10; k++) sum += (2 * u[k] - 1) / (k > 5 ? 2 : 1) * v ** power[0][k] * x ** power[1][k];
      for (let k = 11; k < 23; k += 4) {
        const reach = 0.35 + 0.35 * u[k + 3], dv = (v - 1.6 * u[k] + 0.8) / reach, dx = (x - 1.6 * u[k + 1] + 0.8) / reach;
        sum += (2 * u[k + 2] - 1) * Math.exp(-0.5 * (dv * dv + dx * dx));
      }
      return sum;
    };
    const middle = field(0, 0), grid = Array.from({length: 81}, (_, i) => Math.abs(field((i / 9 | 0) / 4 - 1, i % 9 / 4 - 1) - middle));
    const slow = (0.5 + 0.5 * u[10]) / Math.max(...grid, 1e-3);
    const waves = Array.from({length: 16}, (_, k) => {
      const frequency = Math.PI * 96 / (10 * 4 ** u[23 + k]), way = turn * u[39 + k];
      return [frequency * Math.sin(way), frequency * Math.cos(way), turn * u[55 + k], u[71 + k] + 0.5];
    });
    const size = Math.sqrt(2 / waves.reduce((sum, wave) => sum + wave[3] ** 2, 0));
    const angle = new Float32Array(T * Y * X);
    const course = (k, t) => (2 * u[87 + k] - 1) * 1.7 * Math.sin((u[90 + k] > 0.7 ? 2 : 1) * turn * t / T + turn * u[93 + k]);
    for (let y = 0; y < Y; y++) for (let x = 0; x < X; x++) {
      const v = at(y, Y), w = at(x, X);
      let local = 0;
      for (const [a, b, shift, height] of waves) local += height * size * Math.cos(a * v + b * w + shift);
      angle[y * X + x] = 2.5 * (field(v, w) - middle) * slow + 0.25 * local + turn * u[101];
    }
    for (let t = T - 1; t >= 0; t--) {
      const [a, b, c] = [0, 1, 2].map(k => 0.08 * course(k, t));
      for (let y = 0; y < Y; y++) for (let x = 0; x < X; x++)
        angle[(t * Y + y) * X + x] = angle[y * X + x] + a + b * at(y, Y) + c * at(x, X);
    }
    return angle;
  };

  /* A spot as bright as blood that moves along y with the beat: weights (t, y, x), 1 inside, its edge soft. */
  const lesion = ([T, Y, X], {x, y, radius, travel}) => {
    const weights = new Float32Array(T * Y * X), reach = radius + 4;
    for (let t = 0; t < T; t++) {
      const centre = y + travel * (1 - Math.cos(2 * Math.PI * t / T)) / 2;
      for (let j = Math.max(0, Math.floor(centre - reach)); j <= Math.min(Y - 1, centre + reach); j++)
        for (let i = Math.max(0, x - reach); i <= Math.min(X - 1, x + reach); i++)
          weights[(t * Y + j) * X + i] = 1 / (1 + Math.exp(2 * (Math.hypot(j - centre, i - x) - radius)));
    }
    return weights;
  };

  /* PSNR (peak 1) and SSIM, means over the frames, and the PSNR where the reference moves, as metrics.cine_metrics. */
  const psnr = (image, reference, [T, Y, X]) => {
    const n = Y * X;
    let sum = 0, wrong = 0, count = 0;
    for (let t = 0; t < T; t++) {
      let e = 0;
      for (let i = t * n; i < (t + 1) * n; i++) e += (image[i] - reference[i]) ** 2;
      sum -= 10 * Math.log10(e / n);
    }
    for (let i = 0; i < n; i++) {
      let mean = 0, square = 0, e = 0;
      for (let j = i; j < T * n; j += n) { mean += reference[j]; square += reference[j] ** 2; e += (image[j] - reference[j]) ** 2; }
      if (square / T - (mean / T) ** 2 > 0.0025) { wrong += e; count += T; }
    }
    return {psnr: sum / T, moving: count ? -10 * Math.log10(wrong / count) : NaN};
  };
  const GAUSS = Float64Array.from({length: 11}, (_, i) => Math.exp(-((i - 5) ** 2) / 4.5));
  GAUSS.forEach((_, i, all) => { if (!i) all.sum = all.reduce((a, b) => a + b); all[i] /= all.sum; });
  const ssim = (image, reference, [T, Y, X]) => {
    if (Math.min(Y, X) < 11) return NaN;
    const [ra, rb, raa, rbb, rab] = Array.from({length: 5}, () => new Float64Array(Y * (X - 10)));
    let sum = 0;
    for (let t = 0; t < T; t++) {
      for (let y = 0; y < Y; y++) for (let x = 0; x < X - 10; x++) {
        let a = 0, b = 0, aa = 0, bb = 0, ab = 0;
        for (let k = 0, i = (t * Y + y) * X + x; k < 11; k++, i++) {
          const w = GAUSS[k], p = image[i], q = reference[i], wp = w * p, wq = w * q;
          a += wp; b += wq; aa += wp * p; bb += wq * q; ab += wp * q;
        }
        const i = y * (X - 10) + x;
        ra[i] = a; rb[i] = b; raa[i] = aa; rbb[i] = bb; rab[i] = ab;
      }
      for (let i = 0; i < (Y - 10) * (X - 10); i++) {
        let a = 0, b = 0, aa = 0, bb = 0, ab = 0;
        for (let k = 0, j = i; k < 11; k++, j += X - 10) {
          const w = GAUSS[k];
          a += w * ra[j]; b += w * rb[j]; aa += w * raa[j]; bb += w * rbb[j]; ab += w * rab[j];
        }
        sum += (2 * a * b + 1e-4) * (2 * (ab - a * b) + 9e-4) / ((a * a + b * b + 1e-4) * (aa - a * a + bb - b * b + 9e-4));
      }
    }
    return sum / (T * (Y - 10) * (X - 10));
  };

  /* Jacobi's rotations: the eigenvectors, as columns, of a Hermitian n x n matrix, whose eigenvalues stand on its
     diagonal afterwards. */
  const eigenvectors = ([gr, gi], n) => {
    const ur = Float64Array.from({length: n * n}, (_, i) => +(i % (n + 1) === 0)), ui = new Float64Array(n * n);
    for (let sweep = 0; sweep < 12; sweep++) for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
      const x = gr[p * n + q], y = gi[p * n + q], size = Math.hypot(x, y), first = gr[p * n + p], last = gr[q * n + q];
      if (size <= 1e-14 * (Math.abs(first) + Math.abs(last))) continue;
      const theta = (last - first) / (2 * size), t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1)), c = 1 / Math.hypot(t, 1), s = t * c;
      const turn = (re, im, i, j, er, ei) => {  // entry j is turned to real, then both are rotated
        const a = re[i], b = im[i], d = re[j] * er - im[j] * ei, e = re[j] * ei + im[j] * er;
        re[i] = c * a - s * d; im[i] = c * b - s * e; re[j] = s * a + c * d; im[j] = s * b + c * e;
      };
      for (let k = 0; k < n; k++) { turn(gr, gi, k * n + p, k * n + q, x / size, -y / size); turn(ur, ui, k * n + p, k * n + q, x / size, -y / size); }
      for (let k = 0; k < n; k++) turn(gr, gi, p * n + k, q * n + k, x / size, y / size);
    }
    return [ur, ui];
  };

  /* The scanner of one size of cine: what it measures, and what the methods make of it. */
  const scanner = ([T, Y, X]) => {
    const N = T * X * Y, half = Y >> 1, transform = plan(Y);
    const along = (h, inverse, at = 0, end = N) => { for (; at < end; at += Y) transform(...h, at, inverse); return h; };
    const overTime = (z, inverse) => { for (let i = 0; i < X * Y; i++) plan(T)(...z, i, inverse, X * Y); };
    const lines = m => Uint8Array.from({length: T * Y}, (_, i) => m[i - i % Y + (i % Y + half) % Y]);
    const move = (from, to, back) => {  // (t, y, x) to (t, x, y) with the centre first, and back
      for (let t = 0; t < T; t++) for (let y = 0; y < Y; y++) for (let x = 0, row = (t * Y + (y + half) % Y) * X; x < X; x++) {
        if (back) to[row + x] = from[(t * X + x) * Y + y]; else to[(t * X + x) * Y + y] = from[row + x];
      }
      return to;
    };
    const hybrid = (magnitude, angle) => {
      const h = pair(N), re = angle ? magnitude.map((v, i) => v * Math.cos(angle[i])) : magnitude;
      move(re, h[0]);
      if (angle) move(magnitude.map((v, i) => v * Math.sin(angle[i])), h[1]);
      return along(h);
    };
    const noise = (h, level, seed) => {  // complex, of this standard deviation; not the numbers that torch would draw
      if (!level) return h;
      const u = doubles(seed + 1000003), noisy = h.map(part => part.slice());
      for (let i = 0; i < N; i++) {
        const r = level * Math.sqrt(-Math.log(1 - u())), a = 2 * Math.PI * u();
        noisy[0][i] += r * Math.cos(a); noisy[1][i] += r * Math.sin(a);
      }
      return noisy;
    };
    const each = visit => { for (let t = 0; t < T; t++) for (let x = 0; x < X; x++) for (let y = 0, i = (t * X + x) * Y; y < Y; y++, i++) visit(i, t * Y + y, t, x, y); };
    const magnitude = image => {
      const out = new Float32Array(N);
      for (let i = 0; i < N; i++) out[i] = Math.sqrt(image[0][i] ** 2 + image[1][i] ** 2);
      return move(out, new Float32Array(N), true);
    };

    /* What the simple methods put into the lines: m is the mask as `lines` gives it. */
    const sampled = (h, m) => { const z = pair(N); each((i, j) => { if (m[j]) { z[0][i] = h[0][i]; z[1][i] = h[1][i]; } }); return z; };
    const mean = (h, m) => {
      const count = new Float32Array(Y), sum = pair(X * Y), z = pair(N);
      for (let j = 0; j < T * Y; j++) count[j % Y] += m[j];
      each((i, j, t, x, y) => { if (m[j]) { sum[0][x * Y + y] += h[0][i]; sum[1][x * Y + y] += h[1][i]; } });
      each((i, j, t, x, y) => { for (const c of [0, 1]) z[c][i] = m[j] ? h[c][i] : sum[c][x * Y + y] / Math.max(count[y], 1); });
      return z;
    };
    const shared = (h, m) => {
      const source = new Int32Array(T * Y).fill(-1), z = pair(N);
      for (let j = 0; j < T * Y; j++) for (let d = 0, t = j / Y | 0, y = j % Y; d <= T / 2; d++) {
        const early = (t - d + T) % T, late = (t + d) % T;  // of two equally near frames the earlier one
        if (m[early * Y + y]) { source[j] = early; break; }
        if (m[late * Y + y]) { source[j] = late; break; }
      }
      each((i, j, t, x, y) => {
        if (source[j] < 0) return;
        const from = (source[j] * X + x) * Y + y;
        z[0][i] = h[0][from]; z[1][i] = h[1][from];
      });
      return z;
    };
    const smoothPhase = image => {  // classical.smooth_phase, shape (x, y)
      const M = X * Y, flat = pair(M);
      each((i, j, t, x, y) => { flat[0][x * Y + y] += image[0][i] / T; flat[1][x * Y + y] += image[1][i] / T; });
      let largest = 0, re = 0, im = 0;
      for (let i = 0; i < M; i++) { largest = Math.max(largest, Math.hypot(flat[0][i], flat[1][i])); re += flat[0][i]; im += flat[1][i]; }
      const added = 0.02 * largest, size = Math.hypot(re, im), turn = pair(M);
      turn[0].fill(size ? re / size : 1); turn[1].fill(size ? im / size : 0);
      for (const width of [2, 5, 16]) {
        const left = pair(M);
        for (let i = 0; i < M; i++) {
          left[0][i] = flat[0][i] * turn[0][i] + flat[1][i] * turn[1][i];
          left[1][i] = flat[1][i] * turn[0][i] - flat[0][i] * turn[1][i];
        }
        along(left, false, 0, M);
        for (let i = 0; i < M; i++) {
          const y = i % Y, w = Math.exp(-0.5 * ((y < Y - half ? y : y - Y) / width) ** 2);
          left[0][i] *= w; left[1][i] *= w;
        }
        along(left, true, 0, M);
        for (let i = 0; i < M; i++) {
          const a = left[0][i] + added, b = left[1][i], r = Math.hypot(a, b) || 1, p = turn[0][i], q = turn[1][i];
          turn[0][i] = (p * a - q * b) / r; turn[1][i] = (p * b + q * a) / r;
        }
      }
      return turn;
    };
    const conjugates = (h, m) => {  // classical.with_conjugates, then view sharing
      const image = along(shared(h, m), true), turn = smoothPhase(image), both = m.slice();
      const rotate = (z, sign) => each((i, j, t, x, y) => {  // by exp(2 i phase), or back
        const p = turn[0][x * Y + y], q = turn[1][x * Y + y], c = p * p - q * q, s = sign * 2 * p * q, a = z[0][i], b = z[1][i];
        z[0][i] = a * c - b * s; z[1][i] = a * s + b * c;
      });
      rotate(image, -1);
      along(image);
      each((i, j, t, x, y) => {
        const opposite = (Y - y) % Y, from = i - y + opposite;
        if (m[j - y + opposite]) { image[0][i] = h[0][from]; image[1][i] = -h[1][from]; both[j] = 1; }
      });
      along(image, true);
      rotate(image, 1);
      along(image);
      each((i, j) => { if (m[j]) { image[0][i] = h[0][i]; image[1][i] = h[1][i]; } });
      return shared(image, both);
    };
    const simple = {zero_filled: sampled, temporal_mean: mean, view_sharing: shared, conjugate_view_sharing: conjugates};

    /* classical.kt_tv: the primal-dual method. Yields after every iteration; the image is what it returns. */
    function* totalVariation(h, m, level, iterations = 100, tolerance = 1e-3, spatial = 0.1) {
      const start = along(mean(h, m), true), tau = 0.007;
      let scale = 0;
      for (let i = 0; i < N; i++) scale = Math.max(scale, Math.hypot(start[0][i], start[1][i]));
      if (!scale) throw new Error("nothing to reconstruct: a cine has no signal in its sampled lines");
      for (const part of start) for (let i = 0; i < N; i++) part[i] /= scale;
      const pull = 1 / (1 + (level ? level / (tau * 5 * scale) : 0));
      const [pr, pi] = start, [er, ei] = start.map(a => a.slice()), [wr, wi] = start.map(a => a.slice()), [dr, di] = pair(N);
      const axes = [[1, 0.6, X * Y, T], [spatial, 0.2, 1, Y], [spatial, 0.2, Y, X]].map(axis => [...axis, ...pair(N)]);
      for (let iteration = 1; iteration <= iterations; iteration++) {
        dr.fill(0); di.fill(0);
        for (const [weight, share, stride, count, ur, ui] of axes) {
          const step = share / (4 * tau), within = 1 / (weight * weight), span = stride * count;
          for (let o = 0; o < N; o += span) for (let c = 0; c < count; c++) {
            const base = o + c * stride, next = o + (c + 1 === count ? 0 : c + 1) * stride;
            for (let k = 0; k < stride; k++) {
              const i = base + k, j = next + k;
              let a = (er[j] - er[i]) * step + ur[i], b = (ei[j] - ei[i]) * step + ui[i];
              const q = (a * a + b * b) * within;
              if (q > 1) { const r = 1 / Math.sqrt(q); a *= r; b *= r; }
              a = ur[i] += 1.9 * (a - ur[i]); b = ui[i] += 1.9 * (b - ui[i]);
              dr[j] += a; di[j] += b; dr[i] -= a; di[i] -= b;
            }
          }
        }
        for (let i = 0; i < N; i++) { dr[i] = pr[i] - tau * dr[i]; di[i] = pi[i] - tau * di[i]; }
        along([dr, di]);
        each((i, j) => { if (m[j]) { dr[i] += pull * (h[0][i] / scale - dr[i]); di[i] += pull * (h[1][i] / scale - di[i]); } });
        along([dr, di], true);
        let change = 0, size = 0;
        for (let i = 0; i < N; i++) {
          const a = dr[i], b = di[i];
          er[i] = 2 * a - pr[i]; ei[i] = 2 * b - pi[i]; pr[i] += 1.9 * (a - pr[i]); pi[i] += 1.9 * (b - pi[i]);
          change += (a - wr[i]) ** 2 + (b - wi[i]) ** 2; size += a * a + b * b; wr[i] = a; wi[i] = b;
        }
        if (change < tolerance ** 2 * size) break;
        yield iteration / iterations;
      }
      for (let i = 0; i < N; i++) { wr[i] *= scale; wi[i] *= scale; }
      return [wr, wi];
    }

    /* classical.low_rank_sparse: the method of Douglas and Rachford for two parts. Yields after every iteration. */
    function* lowRankSparse(h, m, level, iterations = 100, tolerance = 1e-3) {
      const a = along(mean(h, m), true), b = pair(N), norm = z => Math.sqrt(z.reduce((sum, part) => part.reduce((all, v) => all + v * v, sum), 0));
      let scale = 0, before = [a, b].map(z => z.map(part => part.slice()));
      for (let i = 0; i < N; i++) scale = Math.max(scale, Math.hypot(a[0][i], a[1][i]));
      if (!scale) throw new Error("nothing to reconstruct: a cine has no signal in its sampled lines");
      for (const z of [a, before[0]]) for (const part of z) for (let i = 0; i < N; i++) part[i] /= scale;
      const step = 0.05 * norm(a) / Math.sqrt(N), pull = 0.5 / (1 + (level ? level / (2 * step * 50 * scale) : 0)), radius = step * 2 * Math.sqrt(T);
      for (let iteration = 1; ; iteration++) {
        const s = b.map(part => part.slice()), l = shrunk(a, step * Math.sqrt(N));
        overTime(s, false);
        for (let i = 0; i < N; i++) {  // what stands still is left to the other part
          const keep = i < X * Y ? 0 : Math.max(0, 1 - radius / Math.max(Math.hypot(s[0][i], s[1][i]), 1e-30));
          s[0][i] *= keep; s[1][i] *= keep;
        }
        overTime(s, true);
        const lack = l.map((part, c) => part.map((v, i) => 2 * (v + s[c][i]) - a[c][i] - b[c][i]));
        along(lack);
        each((i, j) => { for (const c of [0, 1]) lack[c][i] = m[j] ? pull * (h[c][i] / scale - lack[c][i]) : 0; });
        along(lack, true);
        let change = 0, size = 0;
        for (const c of [0, 1]) for (let i = 0; i < N; i++) {
          const first = l[c][i] - a[c][i] + lack[c][i], second = s[c][i] - b[c][i] + lack[c][i], rest = first + s[c][i] + second;
          a[c][i] += 1.5 * first; b[c][i] += 1.5 * second;
          change += (l[c][i] - before[0][c][i]) ** 2 + (rest - before[1][c][i]) ** 2; size += l[c][i] ** 2 + rest ** 2;
          before[0][c][i] = l[c][i]; before[1][c][i] = rest;
        }
        if (iteration === iterations || change < tolerance ** 2 * size) return before[0].map((part, c) => part.map((v, i) => scale * (v + before[1][c][i])));
        yield iteration / iterations;
      }
    }
    /* A cine as a matrix with a row per frame, its singular values made smaller by a threshold. */
    const shrunk = (z, threshold) => {
      const M = X * Y, gram = [new Float64Array(T * T), new Float64Array(T * T)], out = pair(N);
      for (let p = 0; p < T; p++) for (let q = p; q < T; q++) {
        let re = 0, im = 0;
        for (let k = 0, i = p * M, j = q * M; k < M; k++, i++, j++) { re += z[0][i] * z[0][j] + z[1][i] * z[1][j]; im += z[1][i] * z[0][j] - z[0][i] * z[1][j]; }
        gram[0][p * T + q] = gram[0][q * T + p] = re; gram[1][p * T + q] = im; gram[1][q * T + p] = -im;
      }
      const [ur, ui] = eigenvectors(gram, T);
      const kept = Array.from({length: T}, (_, k) => Math.max(0, 1 - threshold / Math.sqrt(Math.max(gram[0][k * T + k], 1e-30))));
      for (let p = 0; p < T; p++) for (let q = 0; q < T; q++) {
        let re = 0, im = 0;
        for (let k = 0; k < T; k++) {
          const a = ur[p * T + k], b = ui[p * T + k], c = ur[q * T + k], d = ui[q * T + k];
          re += kept[k] * (a * c + b * d); im += kept[k] * (b * c - a * d);
        }
        for (let k = 0, i = p * M, j = q * M; k < M; k++, i++, j++) { out[0][i] += re * z[0][j] - im * z[1][j]; out[1][i] += re * z[1][j] + im * z[0][j]; }
      }
      return out;
    };

    /* unrolled.Unrolled. `net` has config and weights of a .safetensors file; `residual(channels, c, width, weights)`
       is ONNX Runtime on a strip of columns, exact inside its margins. Yields promises and, after a strip, its share. */
    function* cascade(h, m, level, net, residual, strip = 32) {
      const {config, weights} = net, wide = 3, begin = {...simple}[config.start](h, m);
      const image = along(begin, true), hint = config.hint && config.hint !== "none"
        ? (config.hint === config.start ? image.map(a => a.slice()) : along(simple[config.hint](h, m), true)) : null;
      const turn = config.phase_reference ? smoothPhase(image) : null;
      let before = null;
      const away = (z, sign) => turn && each((i, j, t, x, y) => {
        const p = turn[0][x * Y + y], q = sign * turn[1][x * Y + y], a = z[0][i], b = z[1][i];
        z[0][i] = a * p - b * q; z[1][i] = a * q + b * p;
      });
      for (let n = 0; n < config.cascades; n++) {
        const spectral = config.alternate_xf && n % 2 === 1, seen = [image.map(a => a.slice())];
        if (hint) seen.push(hint.map(a => a.slice()), image.map((a, c) => before ? a.map((v, i) => v - before[c][i]) : new Float32Array(N)));
        for (const z of seen) { away(z, -1); if (spectral) overTime(z, false); }
        const learnt = pair(N), own = weights(config.shared ? 0 : n);
        for (let start = 0; start < X; start += strip) {
          const first = Math.max(start - wide, 0), end = Math.min(start + strip, X), last = Math.min(end + wide, X), W = last - first;
          const channels = new Float32Array(2 * seen.length * T * W * Y);
          seen.flat().forEach((part, c) => {
            for (let t = 0; t < T; t++) for (let x = 0; x < W; x++) for (let y = 0; y < Y; y++)
              channels[((c * T + t) * W + x) * Y + (y + half) % Y] = part[(t * X + first + x) * Y + y];
          });
          const found = yield residual(channels, [1, 2 * seen.length, T, W, Y], own);
          for (let c = 0; c < 2; c++) for (let t = 0; t < T; t++) for (let x = start; x < end; x++) for (let y = 0; y < Y; y++)
            learnt[c][(t * X + x) * Y + y] = found[((c * T + t) * W + x - first) * Y + (y + half) % Y];
          yield (n + end / X) / config.cascades;
        }
        if (spectral) overTime(learnt, true);
        away(learnt, 1);
        for (const c of [0, 1]) for (let i = 0; i < N; i++) image[c][i] += learnt[c][i];
        if (hint) before = image.map(a => a.slice());
        const scale = net.scale(n), share = level && scale ? 1 / (1 + (level / scale) ** 2) : 1 / (1 + 1 / config.data_weight);
        along(image);
        each((i, j) => { if (m[j]) for (const c of [0, 1]) image[c][i] += share * (h[c][i] - image[c][i]); });
        along(image, true);
      }
      return image;
    }
    return {hybrid, noise, lines, along, magnitude, simple, iterative: {kt_tv: totalVariation, low_rank_sparse: lowRankSparse}, cascade};
  };

  /* The inverse of a Hermitian positive matrix, r x r, by Gauss and Jordan without exchanges; false if there is none. */
  const inverse = (re, im, r) => {
    let least = 0;
    for (let i = 0; i < r; i++) least = Math.max(least, 1e-6 * re[i * r + i]);
    for (let p = 0; p < r; p++) {
      const pivot = re[p * r + p];
      if (!(pivot > least)) return false;
      re[p * r + p] = 1; im[p * r + p] = 0;
      for (let j = 0; j < r; j++) { re[p * r + j] /= pivot; im[p * r + j] /= pivot; }
      for (let i = 0; i < r; i++) if (i !== p) {
        const a = re[i * r + p], b = im[i * r + p];
        re[i * r + p] = im[i * r + p] = 0;
        for (let j = 0; j < r; j++) {
          const c = re[p * r + j], d = im[p * r + j];
          re[i * r + j] -= a * c - b * d; im[i * r + j] -= a * d + b * c;
        }
      }
    }
    return true;
  };
  /* Complex normal numbers of variance 1, real and imaginary parts in turn; kept for the next call with this seed. */
  let drawn = {seed: null, values: new Float32Array(0)};
  const normals = (seed, count) => {
    if (drawn.seed === seed && drawn.values.length >= 2 * count) return drawn.values;
    const u = doubles(seed), values = new Float32Array(2 * count);
    for (let i = 0; i < 2 * count; i += 2) {
      const size = Math.sqrt(-Math.log(1 - u())), turn = 2 * Math.PI * u();
      values[i] = size * Math.cos(turn); values[i + 1] = size * Math.sin(turn);
    }
    drawn = {seed, values};
    return values;
  };
  /* SENSE on every R-th line, exactly: the least squares of the R pixels of each stack, which lie on each other, and
     the g-factor. Image and maps are pairs [re, im] of shape (y, x); maps are 0 outside the body. Where the coils cannot
     tell the pixels of a stack apart, nothing is found. `filled` is the zero-filled image, R times as bright. */
  const sense = (image, maps, [Y, X], R, level, seed) => {
    const M = Y * X / R, noise = level ? normals(seed + 1, maps.length * M) : null, scale = level * Math.sqrt(R), folded = maps.map(() => pair(M)), found = pair(Y * X), filled = pair(Y * X);
    const g = new Float32Array(Y * X), re = new Float64Array(R * R), im = new Float64Array(R * R), [dr, di] = [new Float64Array(R), new Float64Array(R)];
    const here = new Int32Array(R), own = new Float64Array(R), C = maps.length;
    let lost = 0, body = 0;
    for (let s = 0; s < M; s++) {
      let r = 0;
      for (let k = 0; k < R; k++) for (let c = 0, i = s + k * M; c < C; c++) if (maps[c][0][i] || maps[c][1][i]) { here[r++] = i; break; }
      re.fill(0); im.fill(0); dr.fill(0); di.fill(0);
      for (let c = 0; c < C; c++) {
        const [a, b] = maps[c];
        let x = 0, y = 0;
        if (noise) { x = scale * noise[2 * (c * M + s)]; y = scale * noise[2 * (c * M + s) + 1]; }
        for (let p = 0; p < r; p++) { const i = here[p]; x += a[i] * image[0][i] - b[i] * image[1][i]; y += a[i] * image[1][i] + b[i] * image[0][i]; }
        folded[c][0][s] = x; folded[c][1][s] = y;
        for (let p = 0; p < r; p++) {  // the normal equations of the stack
          const e = a[here[p]], f = b[here[p]];
          dr[p] += e * x + f * y; di[p] += e * y - f * x;
          for (let q = 0; q < r; q++) { const j = here[q]; re[p * r + q] += e * a[j] + f * b[j]; im[p * r + q] += e * b[j] - f * a[j]; }
        }
      }
      for (let p = 0; p < r; p++) own[p] = re[p * r + p];
      const solved = r <= C && inverse(re, im, r);
      body += r; lost += solved ? 0 : r;
      for (let p = 0; p < r; p++) {
        const i = here[p];
        filled[0][i] = dr[p]; filled[1][i] = di[p];
        if (!solved) continue;
        for (let q = 0; q < r; q++) {
          found[0][i] += re[p * r + q] * dr[q] - im[p * r + q] * di[q];
          found[1][i] += re[p * r + q] * di[q] + im[p * r + q] * dr[q];
        }
        g[i] = Math.sqrt(Math.max(own[p] * re[p * r + p], 1));
      }
    }
    return {folded, found, filled, g, lost: lost / Math.max(body, 1)};
  };
  return {plan, mask, phase, lesion, psnr, ssim, scanner, sense};
}
