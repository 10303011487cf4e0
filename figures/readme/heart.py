"""Draw the moving picture of the README: a phantom, reconstructed from a fifth of its lines.

The command `python figures/readme/heart.py` writes heart.webp and heart.json beside this file.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dmri_helpers import data, methods, metrics, results
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask

CINE_SEED, MASK_SEED, ERROR_SCALE, SIDE, HEAD, GAP = 3, 5, 5, 192, 26, 8
SHOWN = {"zero_filled": "zero-filled", "kt_tv": "k-t TV", "unrolled": "unrolled network"}

cine = torch.as_tensor(data.open_cine("phantom", n=4, seed=CINE_SEED)[3])[None]
mask = ky_t_mask(cine.shape, acceleration=5, center_lines=11, seed=MASK_SEED)
A = ForwardModel(mask)
kspace = A(cine)
truth = cine[0].abs().numpy()
lines = mask[0].expand(-1, -1, SIDE).numpy()
rows, columns = [], [("truth", truth, "lines measured in this frame", lines)]
for method, name in SHOWN.items():
    with torch.no_grad():
        image = methods.load(method)(kspace, A)[0].abs()
    rows.append({"method": method, **metrics.cine_metrics(image, cine[0])})
    error = ERROR_SCALE * np.abs(image.numpy() - truth)
    columns.append(
        (f"{name}, {rows[-1]['psnr']:.1f} dB", image.numpy(), f"its error, {ERROR_SCALE} times", error)
    )

font = ImageFont.load_default(13)
frames = []
for t in range(len(truth)):
    picture = Image.new("L", (len(columns) * (SIDE + GAP) - GAP, 2 * (SIDE + HEAD)), 255)
    draw = ImageDraw.Draw(picture)
    for number, column in enumerate(columns):
        for row, (title, movie) in enumerate([column[:2], column[2:]]):
            left, top = number * (SIDE + GAP), row * (SIDE + HEAD)
            draw.text((left + SIDE / 2, top + HEAD / 2), title, 0, font, anchor="mm")
            pixels = np.uint8(255 * np.clip(movie[t], 0, 1))
            picture.paste(Image.fromarray(pixels), (left, top + HEAD))
    frames.append(picture.convert("RGB"))
out = Path(__file__).with_name("heart.webp")
frames[0].save(out, save_all=True, append_images=frames[1:], duration=60, loop=0, quality=75, method=6)
about = {"data": "phantom", "seed": CINE_SEED, "cine": 3, "mask_seed": MASK_SEED, "acceleration": 5}
results.record(out.with_suffix(".json"), **about, rows=rows)
print(f"{out.name}: {out.stat().st_size / 1e3:.0f} kB")
