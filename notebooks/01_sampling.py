# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     notebook_metadata_filter: kernelspec,jupytext,-widgets
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Sampling: which lines to leave out
#
# Which lines of k-space may we leave out, and is the mask the same in every frame?
#
# A heart beats faster than a scanner can measure it, so we measure less. Every frame of a heart film keeps a
# fifth of its data. You choose which fifth.
#
# **When you are through, you can**
#
# 1. say what a cine is, and where the energy of its k-space lies;
# 2. explain why one direction is undersampled, and how much time that saves;
# 3. draw a variable-density mask, and count what it achieves;
# 4. answer whether the mask is the same in every frame;
# 5. recognise a wrong mask by its symptom.

# %% [markdown]
# **You need** Python with arrays and the idea of a Fourier transform. A PyTorch tensor behaves like a NumPy array
# here.
#
# **Time:** reading and running about 45 minutes, exercises about 30, deeper sections about 15 and 10.

# %% [markdown]
# ## Set up (1 min)
#
# The *profile* says how large everything is. The *source* says which cines we look at.

# %%
import math

from IPython.display import display

from dmri_helpers import (
    classical, data, exercises, fourier, metrics, operators, plotting, profiles, results, sampling, widgets,
)  # fmt: skip

import torch

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# **Your own cines?** Give their path to `open_cine`, here or in any notebook, or set `DMRI_DATA` to it:
#
# ```python
# cines = data.open_cine("patient001_4d.nii.gz")  # or a folder of DICOM files, .npz, .npy, .mat, .h5
# ```

# %% [markdown]
# ## 1.1 A cine is a film of the heart (7 min)
#
# A [cine](../site/conventions.md#term-cine) is a film of the beating heart in one slice. The shape above is
# `(n, t, y, x)`: `n` cines of `t` [frames](../site/conventions.md#term-frame), and each frame is an image of `y`
# lines and `x` columns.

# %%
n, t, y, x = cines.shape
cine = cines[0].abs()
print(f"one cine: {tuple(cine.shape)}, {cine.dtype}, from {cine.min():.2f} to {cine.max():.2f}")

# %% [markdown]
# All cines show the heart in cross-section. Two bright pools of blood have a dark wall of muscle: the round left
# ventricle and, beside it, the right one.
#
# They are **simulated**, unless you brought your own. A program, the *phantom*, draws a chest and a heart. So we know
# what no scanner tells: the tissue of each pixel.

# %% [markdown] tags=["report"]
# The phantom imitates stored images: it adds noise, weakens the outer k-space, and scales every frame to [0, 1] by
# itself.
#
# > **Predict 1.1.** In what share of the pixels does anything change from frame to frame: a twentieth, a
# > quarter, or half? Then move the slider.

# %%
truth = data.phantom_truth(cines.subset([0])) if cines.source == "phantom" else None
second = {"its tissues": truth["labels"][0] / 3} if truth else {f"cine {n - 1}": cines[n - 1]}
widgets.cine_viewer({"cine 0": cine, **second}, column=x // 2)

# %% [markdown]
# **Figure 1.1.** A cine and its tissues: blood of the left ventricle (dark gray), muscle (light gray), blood of the
# right one (white). Below: one column over time, the *x-t profile*. Motion bends its stripes.

# %%
for i in range(2):
    moving = cines[i].abs().std(dim=0, correction=0) > 0.05
    print(f"cine {i}: {100 * moving.float().mean():.0f} % of the pixels move")

# %% [markdown]
# <details><summary>Answer to 1.1</summary>
#
# A few in a hundred, as printed above. Most
# of the image stands still, so one frame can help another.
#
# </details>

# %%
if truth:
    print(f"ejection fraction {100 * truth['ejection_fraction'][0]:.0f} %")
    display(plotting.curves(range(t), {"LV volume (mL)": truth["lv_volume"][0]}, "frame"))
else:
    print("measured cines: no volume curve is known")

# %% [markdown]
# **Figure 1.2.** The volume of the simulated left ventricle. It empties and then fills, and the share of blood that
# leaves it is the *ejection fraction*. A reconstruction that blurs time flattens this curve.

# %% [markdown] tags=["report"]
# ## 1.2 What the scanner measures is k-space (9 min)
#
# A scanner does not measure pixels. It measures [k-space](../site/conventions.md#term-k-space), the Fourier
# transform of the image. For an image $m$ with pixels in row $r_y$ and column $r_x$,
#
# $$ y(k_y, k_x) = \frac{1}{\sqrt{N_y N_x}} \sum_{r_y, r_x} m(r_y, r_x)\,
#    e^{-2\pi i\,(k_y r_y / N_y + k_x r_x / N_x)}, \qquad\text{in short}\quad y = F m . $$
#
# In formulas $y$ is k-space. In code, `y` and `x` are the axes of an image.

# %% [markdown]
# ### Eight pixels first
#
# Here is a bright bar in a row of eight pixels. We keep three of the eight *coefficients* of its Fourier transform: the
# zero frequency and its two neighbours.

# %%
bar = torch.tensor([0.0, 0, 1, 1, 1, 1, 0, 0])
lines = torch.fft.fftshift(torch.fft.fft(bar, norm="ortho"))  # the zero frequency is number 4
kept = lines * torch.tensor([0, 0, 0, 1, 1, 1, 0, 0])
print("kept:", torch.fft.ifft(torch.fft.ifftshift(kept), norm="ortho").real.numpy().round(2))

# %% [markdown]
# The bar is there, with smooth edges. Outer coefficients make edges sharp.
#
# For images, `fourier.fft2c` computes the transform. It is centred: the zero frequency is in the middle, at
# index `n // 2`.

# %%
kspace = fourier.fft2c(cine)
print(f"k-space: {tuple(kspace.shape)}, {kspace.dtype}")
plotting.kspace(kspace, frame=0)

# %% [markdown]
# **Figure 1.3.** The magnitude of k-space, on a logarithmic scale: each step of the colour bar is a factor of ten.

# %% [markdown] tags=["report"]
# One row of k-space is called a *line*. Its *energy* is the sum of $|y|^2$. The $n$ lines around the centre hold this
# share of all energy:
#
# $$ E(n) = \sum_{|k_y| \le (n-1)/2}\ \sum_{k_x} |y|^2 \Big/ \sum_{k_y, k_x} |y|^2 . $$

# %% [markdown]
# > **Predict 1.2.** Eleven of 192 lines are 6 % of k-space. What share of the energy do the 11 lines around the
# > centre hold?

# %%
energy = kspace.abs().square().sum(dim=(0, 2))  # of every line, shape (y,)
widths = range(1, y, 2)
share = [energy[y // 2 - w // 2 : y // 2 + w // 2 + 1].sum() / energy.sum() for w in widths]
print(f"11 of {y} lines: {100 * 11 / y:.0f} % of k-space, {100 * share[5]:.1f} % of its energy")
plotting.curves(widths, {"share of the energy": share}, "number of centre lines")

# %% [markdown]
# **Figure 1.4.** The share of the energy in the lines around the centre.

# %% [markdown]
# <details><summary>Answer to 1.2</summary>
#
# Most of it, as printed above the figure.
#
# </details>

# %% [markdown]
# Are the other lines superfluous, then? The next figure answers.

# %%
distance = (torch.arange(y) - y // 2).abs()[:, None]  # of every line from the centre
centre, rim = kspace * (distance <= 5), kspace * (distance > 5)
parts = {"all lines": cine, "11 centre lines": fourier.ifft2c(centre)}
parts["all but those 11, × 3"] = 3 * fourier.ifft2c(rim).abs()
plotting.cine_comparison(parts, frame=0)

# %% [markdown]
# **Figure 1.5.** Frame 0 from all lines, from the 11 lines around the centre, and from all others (three times
# brighter). The centre has the contrast, the other lines the detail.

# %% [markdown]
# So we never leave out the centre. Of the rim we may leave out lines, but not the same ones every time.

# %% [markdown] tags=["report"]
# ### How large is an error?
#
# Errors of images are given in decibels. With a reconstruction $\hat m$, $N$ pixels and magnitudes between 0 and 1,
#
# $$ \text{PSNR} = -10 \log_{10} \Big( \frac1N \sum \big(|\hat m| - |m|\big)^2 \Big)\ \text{dB} . $$
#
# More is better. An error of 0.1 gives 20 dB, and half that error gives 6 dB more.

# %% [markdown] tags=["deeper"]
# ### Deeper: Line by line (5 min)
#
# This slider keeps some lines of the centre or of the edge.

# %% [markdown] tags=["deeper"]
# > **Predict 1.3.** Begin with the centre and add line after line.
# >
# > - (a) From how many lines on do you recognise a heart? From how many on could you measure its wall?
# > - (b) Now only lines of the edge. How many does it take until you see anything?
# > - (c) Half of the lines: once the central ones, once the outermost ones. How far apart are they in dB?

# %% tags=["deeper"]
widgets.kspace_explorer(cine[0])

# %% [markdown] tags=["deeper"]
# **Figure 1.6.** Some lines of the centre or of the edge, the image that they make, and what is missing.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 1.3</summary>
#
# (a) In an image of 192 lines a heart appears between ten and twenty lines, and its wall from about forty.
# (b) Edges appear long before any brightness does. (c) They are far apart, because the energy is in the
# centre. Read both numbers above the image.
#
# </details>

# %% [markdown] tags=["deeper"]
# ### Deeper: How close to real hearts is the phantom? (5 min)
#
# What a method learns on phantoms counts only if phantoms behave like measured cines. So we compare what
# matters for undersampling: brightness, motion, the spectrum, and the PSNR of three simple methods. The other
# side are 32 measured short-axis cines. The course contains only these numbers of them.
#
# > **Predict 1.4.** Where do you expect a drawn heart to differ most from a real one?

# %% tags=["deeper"]
from dmri_helpers.studies import fingerprint

rows = fingerprint.fingerprint(cines.subset(range(min(n, 12))))
figure = fingerprint.figure(rows, fingerprint.real(), name=cines.source)
figure.set_dpi(85)  # many small signs, and a notebook should stay light
figure

# %% [markdown] tags=["deeper"]
# **Figure 1.7.** One row per statistic, one dot per cine, in standard deviations of the real cines from their
# mean. Circles are real cines, dots are ours, and a diamond is the mean of ours. Look for rows in which the two
# do not overlap. (With the small profile of the tests the dots do lie elsewhere.)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 1.4</summary>
#
# The numbers at the right tell it. A diamond in the gray band is closer to the real mean than a typical real
# cine is. Where it is outside, a result of this course must be shown on measured cines before one believes it.
#
# </details>

# %% [markdown] tags=["report"]
# ## 1.3 Why only one direction is undersampled (4 min)
#
# After each *excitation*, a short radio pulse, the scanner reads one line of k-space, a whole row of $k_x$, in a
# millisecond or two. This is the [readout](../site/conventions.md#term-readout). The next line needs a new
# excitation, one *repetition time* later. This direction, $k_y$, is the
# [phase encode](../site/conventions.md#term-phase-encode).

# %% [markdown] tags=["report"]
# The scan time is proportional to the number of lines. So **we leave out lines along $k_y$, and $k_x$ is complete.**
#
# An example: the repetition time is 3 ms, and 20 frames share a beat of 900 ms.
#
# > **Predict 1.5.** How many beats do 192 lines take, and how many a fifth of them?

# %% tags=["nbval-check-output", "report"]
repetition_time, beat, frames = 3.0, 900.0, 20  # ms, ms
lines_per_beat = int(beat / frames // repetition_time)
for lines in (192, 192 // 5):
    beats = math.ceil(lines / lines_per_beat)
    print(f"{lines} lines, {lines_per_beat} per frame and beat: {beats} beats")

# %% [markdown]
# <details><summary>Answer to 1.5</summary>
#
# Thirteen and three, while the patient holds the breath. For thirteen beats this is hard.
#
# </details>

# %% [markdown] tags=["report"]
# ## 1.4 Draw a mask (8 min)
#
# The mask $U$ is 1 where a line is measured and 0 elsewhere. The number of all lines over that of measured ones is
# the [acceleration](../site/conventions.md#term-acceleration). Our mask follows three rules:
#
# - every frame measures `y // acceleration` lines;
# - the 11 [centre lines](../site/conventions.md#term-centre-lines) are always among them;
# - the others are drawn at random, more often near the centre.

# %% [markdown] tags=["report"]
# The last rule is called *variable density*. Two densities are common. With $k$ the distance from the centre
# and $N$ the number of lines, a line has the weight
#
# $$ w_\text{quadratic}(k) = \Big(1 - \frac{|k|}{N/2}\Big)^2, \qquad
#    w_\text{gaussian}(k) = e^{-\frac12 \left(\frac{k}{N/8}\right)^2} + 0.01 . $$

# %%
k = torch.arange(192) - 96
quadratic = (1 - k.abs() / 96.0) ** 2
gaussian = torch.exp(-0.5 * (k / 24.0) ** 2) + 0.01
torch.testing.assert_close(quadratic.double(), sampling.line_density(192, "quadratic"))
densities = {"quadratic": quadratic, "gaussian": gaussian}
plotting.curves(k, {"density (relative)": densities}, "distance from the centre (lines)")

# %% [markdown]
# **Figure 1.8.** The quadratic density falls to zero at the rim. The Gaussian one gives every line a chance.

# %% [markdown] tags=["report"]
# ### A race of lines
#
# We draw lines *without replacement* by a race. Every line gets the arrival time $-\log(u) / w$ with a random $u$
# between 0 and 1, so a line with a large weight tends to arrive early. The first to arrive are measured. Centre lines
# always win.

# %%
def my_mask(frames, lines, per_frame, center_lines, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(frames, lines, generator=generator, dtype=torch.float64)
    arrival = -u.log() / weights.clamp(min=1e-12)
    first = lines // 2 - center_lines // 2
    arrival[:, first : first + center_lines] = -1
    chosen = arrival.topk(per_frame, largest=False).indices
    return torch.zeros(frames, lines, dtype=torch.bool).scatter(1, chosen, True)


# %% [markdown]
# The helper `sampling.ky_t_mask` does the same. Its result has the shape `(b, t, y, 1)` and is **True where a
# line is sampled**.

# %%
mine = my_mask(20, 192, 38, 11, sampling.line_density(192), seed=0)
mask192 = sampling.ky_t_mask((20, 192, 192), acceleration=5, center_lines=11, seed=0)
torch.testing.assert_close(mine, mask192[0, :, :, 0])

# %% [markdown]
# ### Count what you got
#
# Never trust a mask that you have not counted.

# %% tags=["nbval-check-output"]
counts = mine.sum(dim=1)
centre_kept = mine[:, 96 - 5 : 96 + 6].all()
print(f"lines per frame: {counts.unique().tolist()}; all 11 centre lines in all: {centre_kept}")
print(f"asked for 5, achieved 192 / 38 = {sampling.achieved_acceleration(mask192):.3f}")
assert counts.eq(38).all() and centre_kept

# %% [markdown]
# A fifth of 192 is 38.4 lines, and we round down. Always report the acceleration that was achieved.

# %% [markdown]
# ### Exercise 1.1 · Write the mask, another way ★★
#
# Draw the lines of each frame with `numpy.random.Generator.choice(..., replace=False, p=...)`, one frame after the
# other. The result is boolean, of shape `(frames, lines)`. **To reach:** exactly `per_frame` lines in every frame,
# the centre lines among them.
#
# *Hint:* set the weights of the centre lines to zero before you draw. The sum of `p` must be 1.

# %% tags=["hide-cell", "solution"]
# Solution 1.1
import numpy as np


def chosen_mask(frames, lines, per_frame, center_lines, seed):
    """Variable-density mask, boolean tensor (frames, lines), drawn by numpy's choice."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((frames, lines), dtype=bool)
    first = lines // 2 - center_lines // 2
    mask[:, first : first + center_lines] = True
    p = sampling.line_density(lines).clamp(min=1e-12).numpy() * ~mask[0]
    for frame in mask:
        frame[rng.choice(lines, per_frame - center_lines, replace=False, p=p / p.sum())] = True
    return torch.from_numpy(mask)


# %%
exercises.check_1_1(chosen_mask)

# %% tags=["hide-cell", "solution"]
# Solution 1.1: how often is each line drawn, by either way?
often = chosen_mask(2000, 192, 38, 0, seed=0).double().mean(dim=0)
race = my_mask(2000, 192, 38, 0, sampling.line_density(192), seed=1).double().mean(dim=0)
print(f"largest difference of any line: {(often - race).abs().max():.2f}")
k192 = torch.arange(192) - 96
plotting.curves(k192, {"share of frames": {"numpy choice": often, "race": race}}, "line")

# %% [markdown] tags=["solution"]
# The two agree up to the scatter of 2000 draws. Neither follows the density exactly. A line can be drawn only once
# per frame, so the most likely lines reach a limit.

# %% [markdown]
# ## 1.5 The mask of one frame, and of all (2 min)
#
# > **Assignment, part a.** *Generate a variable-density random undersampling pattern for
# > acceleration 5 with 11 central lines in every frame; plot the mask of one frame, and the masks
# > in ky-t.*

# %%
mask = sampling.ky_t_mask(cines.shape[1:], acceleration=5, center_lines=11, seed=seed)
density = sampling.line_density(y)
figure = plotting.masks(mask, frame=0, density=density)
plotting.save(figure, figures / "01_masks.png")
figure

# %% [markdown]
# **Figure 1.9.** Left: the mask of frame 0, where white lines are measured. Middle: each column is the
# mask of one frame. Right: in what share of the frames each line was measured, and the density.

# %% [markdown]
# ## 1.6 Is the mask the same in every frame? (6 min)
#
# > **Assignment, part a.** *Is the mask the same in every frame?*
#
# > **Predict 1.6.** Frame 0 and frame 1 have 38 lines each, and 11 of them are the centre. How many lines do they
# > share? How many of the 192 lines does at least one of 20 frames measure?

# %% tags=["report"]
def count_frames(mask):
    ky_t = mask[0, :, :, 0]  # (t, y)
    different = len(torch.unique(ky_t, dim=0))
    shared = (ky_t[1:] & ky_t[:-1]).sum(dim=1).double()
    print(f"{different} different masks in {len(ky_t)} frames")
    print(f"neighbours share {shared.mean():.1f} of {ky_t[0].sum()} lines (11 are the centre)")
    return different, shared.mean().item()


different, shared = count_frames(mask)

# %% [markdown]
# Now the mask of section 1.4, the same on every computer:

# %% tags=["nbval-check-output"]
different192, shared192 = count_frames(mask192)
print("lines that some frame has measured:", int(mask192.any(dim=1).sum()))
print("the same mask in every frame:", different192 == 1)

# %% [markdown]
# <details><summary>Answer to 1.6</summary>
#
# **No, every frame has its own mask.** Neighbours share the centre lines and a few others by chance. Together the
# frames see most of k-space.
#
# </details>

# %% [markdown] tags=["report"]
# Suppose all frames had the same mask. Then a line that is missing once would always be missing:

# %%
def seen_by(mask):
    """How many lines were measured at least once, after 1, 2, ... frames."""
    return mask[0, :, :, 0].cumsum(dim=0).gt(0).sum(dim=1)


same = mask[:, :1].expand_as(mask)  # the mask of frame 0 in every frame
union = {"a mask per frame": seen_by(mask), "the same mask": seen_by(same)}
plotting.curves(range(1, t + 1), {f"lines seen (of {y})": union}, "number of frames")

# %% [markdown]
# **Figure 1.10.** How many lines were measured at least once. With the same mask in every frame the number never grows.

# %% tags=["report"]
seen = mask[0, :, :, 0].any(dim=0)
missed = (torch.arange(y) - y // 2)[~seen].abs()
print(f"one frame sees {mask[0, 0].sum()} of {y} lines, all {t} frames see {seen.sum()}")
print(f"never seen: {len(missed)} lines, {missed.double().mean():.0f} from the centre on average")

# %% [markdown]
# Most of the image stands still (section 1.1). There a line that was measured two frames ago is nearly as good as
# a new one. **Every method of this course uses this.** To draw other lines in every frame is called
# [k-t sampling](../site/conventions.md#term-k-t-sampling).

# %% [markdown]
# ### Exercise 1.2 · Lost for good ★★
#
# Write `lost_for_good(cine, mask)`: the share of the energy of k-space on lines that *no* frame has measured. The cine
# is `(t, y, x)`, the mask `(t, y)`. **Predict:** suppose that all 38 lines are
# in the centre. Is more of the energy lost for good than with our mask, or less?
#
# *Hint:* a line counts with the energy of all frames.

# %% tags=["hide-cell", "solution"]
# Solution 1.2
def lost_for_good(cine, mask):
    """Share of the energy of a cine (t, y, x) on lines that no frame of the mask (t, y) has: a number."""
    energy = fourier.fft2c(cine).abs().square().sum(dim=(0, 2))  # of every line, shape (y,)
    return (energy[~mask.any(dim=0)].sum() / energy.sum()).item()


# %%
exercises.check_1_2(lost_for_good)

# %% tags=["hide-cell", "solution"]
# Solution 1.2: both masks, and two reconstructions of the next notebook
central = distance[:, 0].argsort(stable=True)[: int(mask[0, 0].sum())]
low_pass = torch.zeros(1, 1, y, 1, dtype=torch.bool).index_fill(2, central, True).expand_as(mask)
for name, design in (("variable density", mask), ("centre only", low_pass)):
    A = operators.ForwardModel(design)
    measured, lost = A(cine[None]), lost_for_good(cine, design[0, :, :, 0])
    kept = measured.abs().square().sum() / cine.square().sum()
    print(f"{name}: {100 * kept:.1f} % of the energy is measured, {100 * lost:.2f} % is lost for good")
    for method in (classical.view_sharing, classical.kt_tv):
        psnr = metrics.cine_metrics(method(measured, A)[0], cine)["psnr"]
        print(f"   {method.__name__} makes of it {psnr:.1f} dB")

# %% [markdown] tags=["solution"]
# In each frame the centre alone measures more of the energy. But no frame ever measures the rim, and no method can
# bring back what no frame has seen. It could only invent it. The random mask leaves another error in every frame, and
# this can be undone: the reconstructions show it. The next notebook explains both.

# %% [markdown] tags=["deeper"]
# ## Deeper: A mask without randomness (5 min)
#
# Is it chance that makes a good mask? A *lattice* mask is regular: it measures every fifth line, and moves by one
# line from frame to frame.

# %% [markdown] tags=["deeper"]
# ### Exercise 1.3 · No randomness at all ★★
#
# Write `lattice(frames, lines, step)`: every frame measures every `step`-th line. Frame 0 measures the zero frequency,
# line `lines // 2`, and from frame to frame all lines move up by one. The result is boolean, `(frames, lines)`. **To
# reach:** with `step = 5` every line is seen after five frames. **Predict:** is this mask better or worse than the
# random one, and where?
#
# *Hint:* which lines does frame 0 measure? Write it with `%`. Then use broadcasting, as in `torch.arange(lines)[None]`
# with `torch.arange(frames)[:, None]`.

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 1.3
def lattice(frames, lines, step):
    """Every step-th line, the zero frequency in frame 0, one line up in each frame: boolean, (frames, lines)."""
    return (torch.arange(lines)[None] - lines // 2 - torch.arange(frames)[:, None]) % step == 0


# %% tags=["deeper"]
exercises.check_1_3(lattice)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 1.3: two reconstructions of three cines, from either mask
progress = seen_by(lattice(t, y, 5)[None, :, :, None])
print("every line seen after", int((progress < y).sum()) + 1, "frames")
designs = {"random": mask, "lattice": lattice(t, y, 5)[None, :, :, None]}
for name, design in designs.items():
    A = operators.ForwardModel(design)
    for method in (classical.view_sharing, classical.kt_tv):
        rows = [metrics.cine_metrics(method(A(cines[i][None]), A)[0], cines[i]) for i in range(min(n, 3))]
        psnr, moving = (sum(row[key] for row in rows) / len(rows) for key in ("psnr", "psnr_dynamic"))
        print(f"{name}, {method.__name__}: {psnr:.2f} dB; where the heart moves {moving:.2f} dB")

# %% [markdown] tags=["solution", "deeper"]
# Compare the two masks in each column. Where the heart moves, k-t total variation does worse with the lattice: its
# errors are regular copies of the heart, and these copies move, too. Over the whole image the lattice need not be
# worse. Three cines with one mask each do not settle it.

# %% [markdown]
# ## 1.7 Try it: the mask explorer (5 min)
#
# Set the unmeasured lines to zero and transform back. The result is called
# [zero-filled](../site/conventions.md#term-zero-filled). The explorer shows it for any mask.

# %% [markdown]
# > **Predict 1.7.** Write down what you expect before you move a slider.
# >
# > - (a) Acceleration 10: how does the image change if the centre lines stay?
# > - (b) No centre lines: what goes wrong first?
# > - (c) The Gaussian density: what becomes blurred?
# > - (d) Acceleration 8 with 30 centre lines: what does the helper say?

# %%
widgets.mask_explorer(cine, seed=seed)

# %% [markdown]
# **Figure 1.11.** The mask in ky-t, the mask of one frame, its point-spread function (notebook 2), and
# the zero-filled image with its error and PSNR, computed anew at every move.

# %% [markdown]
# <details><summary>Answer to 1.7</summary>
#
# (a) The streaks become stronger. (b) The image loses brightness and gets shadows, because lines with much energy
# are missing. (c) Fine vertical detail, because the lines move towards the centre. (d) It refuses, and says what
# would be possible.
#
# </details>

# %% [markdown]
# ## 1.8 A mask that looks right and is wrong (5 min)
#
# **The mistake: half of an odd number.** A published solution of this assignment makes it. In our words, it
# asks for 11 centre lines and draws the other 27 from the rest:

# %%
def wrong_mask(frames, lines=192, per_frame=38, center_lines=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    half = center_lines // 2
    weights = sampling.line_density(lines).clamp(min=1e-12)
    weights[lines // 2 - half : lines // 2 + half] = 0  # the centre is not drawn ...
    weights = weights.expand(frames, -1)
    drawn = torch.multinomial(weights, per_frame - center_lines, generator=generator)
    mask = torch.zeros(frames, lines, dtype=torch.bool).scatter(1, drawn, True)
    mask[:, lines // 2 - half : lines // 2 + half] = True  # ... but set
    return mask


# %% [markdown]
# A plot hides the mistake. A count shows it:

# %% tags=["nbval-check-output"]
wrong = wrong_mask(20)
always = (wrong.sum(dim=0) == 20)[96 - 5 : 96 + 5].sum()  # lines -5 ... 4
print(f"lines per frame: {wrong.sum(dim=1).unique().tolist()}, asked for 38")
print(f"acceleration {192 / wrong[0].sum():.2f}, asked for 5")
plus_five = bool(wrong[:, 96 + 5].all())
print(f"centre lines set: {always}, asked for 11; line +5 in every frame: {plus_five}")

# %% [markdown]
# `11 // 2` is 5, so `96 - 5 : 96 + 5` has ten lines.

# %% [markdown]
# ### Exercise 1.4 · Find the bug ★
#
# Write `center(lines, center_lines)`: a boolean tensor that says which lines are the centre, for *any* two numbers,
# odd or even. An even number of centre lines takes its extra line from the negative frequencies. **To reach:** 11 lines
# for 11, 10 for 10, none for 0.
#
# *Hint:* the zero frequency is line `lines // 2`. On paper, mark the centre of 8 lines for 1, 2, 3 and 4 centre lines.

# %% tags=["hide-cell", "solution"]
# Solution 1.4
def center(lines, center_lines):
    """Which lines are the centre: boolean, (lines,)."""
    first = lines // 2 - center_lines // 2
    kept = torch.zeros(lines, dtype=torch.bool)
    kept[first : first + center_lines] = True
    return kept


# %%
exercises.check_1_4(center)

# %% [markdown] tags=["deeper"]
# ### Deeper: Two conventions for the centre (4 min)
#
# `torch.fft.fft2` puts the zero frequency at index 0. The mask expects it at `y // 2`. Whoever forgets the
# `fftshift` keeps the wrong lines.
#
# > **Predict 1.8.** Which lines do the 11 "centre" lines hit now? What does the image look like?

# %% tags=["deeper"]
model = operators.ForwardModel(mask)
right = model.normal(cine[None])
not_shifted = torch.fft.fft2(cine, norm="ortho")  # zero frequency at index 0
forgotten = torch.fft.ifft2(not_shifted * mask[0], norm="ortho")
pair = {"centred": right[0], "fftshift forgotten × 10": 10 * forgotten}
plotting.cine_comparison(pair, frame=0)

# %% [markdown] tags=["deeper"]
# **Figure 1.12.** The zero-filled frame 0 with the right transform, and with the `fftshift` forgotten (ten times
# brighter). The second one shows fine texture and edges, and no brightness.

# %% tags=["deeper"]
energy_full = cine.square().sum()
for name, image in (("centred", right), ("fftshift forgotten", forgotten)):
    print(f"{name}: {100 * image.abs().square().sum() / energy_full:.1f} % of the energy kept")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 1.8</summary>
#
# They hit the highest frequencies, so the mask samples the rim densely and the centre hardly at all. The image is
# almost black. The print above tells how little of the energy is left.
#
# </details>

# %% [markdown]
# ## Summary

# %%
record = {"lines": y, "lines_per_frame": int(mask[0, 0].sum()), "center_lines": 11,
          "achieved_acceleration": sampling.achieved_acceleration(mask),
          "different_masks": different, "shared_by_neighbours": shared,
          "lines_seen": int(seen.sum()), "energy_of_11_lines": share[5].item()}
results.record(figures / "01_sampling.json", profile=profile.name, data=cines.source, seed=seed,
                frames=t, **record)

# %% [markdown]
# 1. A few lines around the centre of k-space hold most of its energy. The others hold the detail.
# 2. Lines along $k_y$ cost time, so we leave out lines.
# 3. A variable-density mask is drawn by a race. Asked for 5, ours achieves 5.05.
# 4. The mask is not the same in every frame. Together the frames see most of k-space.
# 5. Count your mask. A missing centre line does not show in a picture.

# %% [markdown]
# ## References
#
# - P. S. Efraimidis, P. G. Spirakis. Weighted random sampling with a reservoir. *Information
#   Processing Letters* 97:181-185, 2006.
# - M. Lustig, D. Donoho, J. M. Pauly. Sparse MRI: the application of compressed sensing for rapid
#   MR imaging. *Magnetic Resonance in Medicine* 58:1182-1195, 2007.
# - H. Jung, K. Sung, K. S. Nayak, E. Y. Kim, J. C. Ye. k-t FOCUSS: a general compressed sensing
#   framework for high resolution dynamic MRI. *Magnetic Resonance in Medicine* 61:103-116, 2009.
#
# **Next:** [02_aliasing](02_aliasing.ipynb): what the missing lines do to the image, and how far
# one gets without learning.
