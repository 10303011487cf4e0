/* An own cine: .npz (a zip of .npy) or .npy, read in the page. What is no cine is refused in the words of Python. */
function files() {
  const SIZES = {f4: 4, f8: 8, c8: 8, c16: 16, u1: 1, i1: 1, u2: 2, i2: 2, u4: 4, i4: 4};
  const refuse = (name, found, expected) => { throw new Error(`${name}: found ${found}; expected ${expected}`); };
  const npy = (name, bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes[0] !== 0x93 || bytes[1] !== 78) refuse(name, "no .npy array", "cines of shape (n, t, y, x) in a .npz or .npy");
    const long = bytes[6] > 1, length = long ? view.getUint32(8, true) : view.getUint16(8, true), start = (long ? 12 : 10) + length;
    const header = new TextDecoder().decode(bytes.subarray(long ? 12 : 10, start));
    const [, order, kind] = header.match(/'descr': *'([<>|=])(\w+)'/) ?? [], fortran = /'fortran_order': *True/.test(header);
    const shape = (header.match(/'shape': *\(([^)]*)\)/)?.[1] ?? "").split(",").filter(part => part.trim()).map(Number);
    if (!SIZES[kind] || order === ">") refuse(name, `values of type ${order === "|" ? "" : order ?? ""}${kind ?? "object"}`, "float, complex or integer numbers");
    if (![3, 4].includes(shape.length)) refuse(name, `${shape.length} dimensions, shape (${shape.join(", ")}${shape.length === 1 ? "," : ""})`, "(n, t, y, x) or (t, y, x)");
    if (fortran) refuse(name, "an array in Fortran's order", "one in C's order (numpy.ascontiguousarray)");
    const count = shape.reduce((a, b) => a * b), size = SIZES[kind];
    if (bytes.length - start < count * size) refuse(name, "a file that ends too early", "a whole array");
    return {shape, kind, size, at: start, view};
  };
  const read = async file => {
    let bytes = new Uint8Array(await file.arrayBuffer()), name = file.name;
    if (bytes[0] === 80 && bytes[1] === 75) {
      const view = new DataView(bytes.buffer), names = [];
      let end = bytes.length - 22;
      while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
      if (end < 0) refuse(name, "a damaged zip", "a .npz");
      let chosen = null;
      for (let at = view.getUint32(end + 16, true), n = view.getUint16(end + 10, true); n > 0; n--) {
        const long = view.getUint16(at + 28, true), entry = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + long));
        names.push(entry.replace(/\.npy$/, ""));
        if (names.at(-1) === "dataset") chosen = at;
        at += 46 + long + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
      }
      if (chosen === null) refuse(name, `the keys ${names.map(one => `'${one}'`).join(", ")}`, "the key 'dataset'");
      const local = view.getUint32(chosen + 42, true), size = view.getUint32(chosen + 20, true);
      const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      let part = bytes.subarray(from, size === 0xffffffff ? undefined : from + size);
      if (view.getUint16(chosen + 10, true) === 8)
        part = new Uint8Array(await new Response(new Blob([part]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer());
      bytes = part;
    }
    const {shape, kind, size, at, view} = npy(name, bytes), [T, Y, X] = shape.slice(-3), count = T * Y * X;
    const cines = shape.length === 4 ? shape[0] : 1;
    if (!count || !cines) refuse(name, `an array of shape (${shape.join(", ")})`, "cines with something in them");
    const get = {f4: "getFloat32", c8: "getFloat32", f8: "getFloat64", c16: "getFloat64", u1: "getUint8", i1: "getInt8",
      u2: "getUint16", i2: "getInt16", u4: "getUint32", i4: "getInt32"}[kind], complex = kind[0] === "c", part = size / (complex ? 2 : 1);
    /* Cine n as data.open_cine scales it: one that exceeds 1, and one of integers, is divided by its largest magnitude. */
    const cine = n => {
      const magnitude = new Float32Array(count), angle = complex || "fi".includes(kind[0]) ? new Float32Array(count) : null;
      let largest = 0, turned = false, bad = 0, varies = false;
      for (let i = 0; i < count; i++) {
        const place = at + (n * count + i) * size, re = view[get](place, true), im = complex ? view[get](place + part, true) : 0;
        if (!Number.isFinite(re + im)) { bad++; continue; }
        magnitude[i] = Math.hypot(re, im);
        if (angle && (im || re < 0)) { angle[i] = Math.atan2(im, re); turned = true; }
        varies ||= magnitude[i] !== magnitude[0] || angle?.[i] !== angle?.[0];
        largest = Math.max(largest, magnitude[i]);
      }
      if (bad) refuse(name, `${bad} values that are NaN or infinite in cine ${n}`, "finite numbers");
      if (!varies) refuse(name, `a constant cine (number ${n}, ${magnitude[0]} everywhere)`, "an image that varies");
      const scale = largest > 1 || largest < 0.1 || !"fc".includes(kind[0]) ? largest : 1;
      for (let i = 0; i < count; i++) magnitude[i] /= scale;
      return {shape: [T, Y, X], magnitude, angle: turned ? angle : null};
    };
    return {name, cines, cine};
  };
  return read;
}
