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
# A beating heart moves faster than a scanner can measure. So we measure less: in this notebook
# every frame of a heart film keeps only a fifth of its data. You will choose *which* fifth.
#
# **When you are through, you can**
#
# 1. say what a cine is, and where in its k-space the energy sits;
# 2. explain why only the phase-encode direction is undersampled, and how much time that saves;
# 3. draw a variable-density mask with 11 centre lines in a few lines of code, and count what it
#    really achieves;
# 4. answer from the data whether the mask is the same in every frame, and what that buys;
# 5. recognise two wrong masks by their symptoms.
#
# **You need** Python with arrays (a PyTorch tensor behaves like a NumPy array) and the idea of
# a Fourier transform. No MRI is presumed.
#
# **Time:** an hour to work through; about 10 seconds to run on a laptop with two cores.

# %% [markdown]
# ## Set up
#
# The profile says how large everything is, the source which cines we look at: `phantom` unless you
# say otherwise.

# %%
import math

import torch

from dmri_helpers import (
    data, exercises, fourier, operators, plotting, profiles, results, sampling, widgets,
)  # fmt: skip
from dmri_helpers.studies import fingerprint

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# **Your own cines?** One line, here or in any notebook of the course, and nothing else changes:
#
# ```python
# cines = data.open_cine("patient001_4d.nii.gz")  # or a folder of DICOM files, .npz, .npy, .mat, .h5
# ```
#
# Or set `DMRI_DATA` to that path before you start; then all six notebooks use it.

# %% [markdown]
# ## 1.1 A cine is a film of one heart beat
#
# The four numbers above are `(n, t, y, x)`: so many cines, each of `t` frames, each frame an
# image of `y` lines and `x` columns. All cines show the heart in cross-section (the *short
# axis*): two dark-rimmed pools of blood, the round left ventricle and, wrapped around its side,
# the right one. Magnitudes lie between 0 and 1.

# %%
n, t, y, x = cines.shape
cine = cines[0].abs()
print(f"one cine: {tuple(cine.shape)}, {cine.dtype}, from {cine.min():.2f} to {cine.max():.2f}")

# %% [markdown]
# ### These hearts are simulated, so we know the truth about them
#
# Unless you brought your own, the cines of this course are **not measured: a program drew them**. A
# phantom draws a chest and a heart from random numbers: anatomy, disease, contraction, breathing, the
# signal of each tissue, noise. In return it knows what no scanner tells: which pixel is which
# tissue, and how much blood the left ventricle holds.
#
# > **Predict 1.1.** Press play in your mind: in what share of the picture will anything change
# > from frame to frame? A twentieth? A quarter? Half? Write it down, then move the slider.

# %%
truth = data.phantom_truth(cines.subset([0])) if cines.source == "phantom" else None
second = {"its tissues": truth["labels"][0] / 3} if truth else {f"cine {n - 1}": cines[n - 1]}
widgets.cine_viewer({"cine 0": cine, **second}, column=x // 2)

# %% [markdown]
# **Figure 1.1.** A simulated heart beside its tissues, under one frame slider. (With measured cines:
# two of them, since nobody knows their tissues.) Black: the rest; dark gray: blood of the left
# ventricle; light gray: heart muscle; white: blood of the right ventricle. Below: one column of it
# against time (an *x-t profile*; the second slider moves the column). Still tissue draws straight
# horizontal stripes there; what moves bends them.

# %%
if truth:
    print(f"ejection fraction {100 * truth['ejection_fraction'][0]:.0f} %")
    volume = plotting.curves(range(t), {"LV volume (mL)": truth["lv_volume"][0]}, "frame")
volume if truth else print("measured cines: no volume curve is known")

# %% [markdown]
# **Figure 1.2.** Volume of the simulated left ventricle over the beat: it empties (systole), then
# fills (diastole). The share that leaves it is the ejection fraction. A reconstruction that
# blurs time flattens this curve: that is why speed matters to a cardiologist, and notebook 4
# measures it.
#
# How much of the picture moves? A pixel is called dynamic here if its standard deviation over time
# exceeds 0.05.

# %%
for i in range(2):
    moving = cines[i].abs().std(dim=0) > 0.05
    print(f"cine {i}: {100 * moving.float().mean():.0f} % of the pixels move")

# %% [markdown]
# Most of the picture stands still. Keep this in mind: it is why one frame can help out another.
#
# ### How close does a drawing come?
#
# What a method learns here is worth something only if these cines behave like measured ones *under
# undersampling*. So we compare numbers that matter for it: brightness, how much moves, how fast and
# where, how the energy spreads over k-space, and how well three simple methods do. The other
# side are 32 measured short-axis cines; only these numbers of them are part of the course.
#
# > **Predict 1.2.** Where would you expect a drawn heart to differ most from a real one?

# %%
rows = fingerprint.fingerprint(cines.subset(range(min(n, 12))))
figure = fingerprint.figure(rows, fingerprint.real(), name=cines.source)
figure.set_dpi(85)  # many small signs, and a notebook should stay light
figure

# %% [markdown]
# **Figure 1.3.** The fingerprint: one line per statistic, one dot per cine, measured in standard
# deviations of the real cines from their mean. Open circles: real; filled: ours; diamond: mean of
# ours. A diamond inside the gray band is closer to the real mean than a typical real cine is. Look for
# rows where the dots of the two do not overlap: there, a result of this course would need to be shown
# on measured cines before anyone believes it. (The small profile of the tests has fewer
# frames and pixels: its dots do lie elsewhere.)

# %% [markdown]
# ## 1.2 What the scanner measures is k-space
#
# A scanner does not see pixels. It measures the Fourier transform of the image,
#
# $$ y(k_y, k_x) = \frac{1}{\sqrt{N_y N_x}} \sum_{y,x} m(y, x)\,
#    e^{-2\pi i\,(k_y y / N_y + k_x x / N_x)}, \qquad\text{in short}\quad y = F m . $$
#
# `fourier.fft2c` computes it, centred: the zero frequency sits in the middle, at index `n // 2`.
# (The next notebook writes this function itself.)

# %%
kspace = fourier.fft2c(cine)
print(f"k-space: {tuple(kspace.shape)}, {kspace.dtype}")
plotting.kspace(kspace, frame=0)

# %% [markdown]
# **Figure 1.4.** Magnitude of k-space of frame 0. Mind the colour bar: it is logarithmic, every
# step is a factor of ten. The centre is brighter than the rim by orders of magnitude.
#
# Let us put a number on "sits in the centre". The share of the energy in the $n$ central lines is
#
# $$ E(n) = \sum_{|k_y| \le (n-1)/2}\ \sum_{k_x} |y|^2 \Big/ \sum_{k_y, k_x} |y|^2 . $$
#
# > **Predict 1.3.** 11 of 192 lines are 6 % of k-space. What share of the energy do they hold?

# %%
energy = kspace.abs().square().sum(dim=(0, 2))  # of every line, shape (y,)
widths = range(1, y, 2)
share = [energy[y // 2 - w // 2 : y // 2 + w // 2 + 1].sum() / energy.sum() for w in widths]
print(f"11 of {y} lines: {100 * 11 / y:.0f} % of k-space, {100 * share[5]:.1f} % of its energy")

# %%
plotting.curves(widths, {"share of the energy": share}, "number of centre lines")

# %% [markdown]
# **Figure 1.5.** The curve starts high, climbs steeply and then creeps: a handful of lines carries
# most of the energy. Are the others superfluous, then? Look at what each part of k-space *means*:

# %%
distance = (torch.arange(y) - y // 2).abs()[:, None]  # of every line from the centre
centre, rim = kspace * (distance <= 5), kspace * (distance > 5)
halves = {"all lines": cine, "11 centre lines": fourier.ifft2c(centre)}
halves["all but those 11"] = 3 * fourier.ifft2c(rim).abs()
plotting.cine_comparison(halves, frame=0)

# %% [markdown]
# **Figure 1.6.** Left: frame 0. Middle: from its 11 centre lines alone; contrast is right, but
# everything is smeared along $y$. Right: from all the other lines, shown three times brighter;
# hardly any brightness, but the fine detail, and every edge one crosses when moving along $y$.
#
# > **Predict 1.4.** Keep the centre and add line after line to it.
# >
# > - (a) From how many lines on would you recognise a heart? From how many on would you measure its wall?
# > - (b) Now the edge alone: how many of the outermost lines does it take until you see anything?
# > - (c) 96 lines: once the central ones, once the outermost ones. How far apart are the two in dB?

# %%
def keep(part, lines):
    order = distance[:, 0].argsort(stable=True, descending=part == "edge")
    kept = torch.zeros_like(kspace[0])
    kept[order[:lines]] = kspace[0, order[:lines]]
    return kept


widgets.kspace_explorer(keep, cine[0])

# %% [markdown]
# **Figure 1.7.** So many lines of the centre, or of the edge, and the image they make (shown as bright
# as it comes; the numbers tell how bright it is). In a page without a kernel the slider stops at some
# of the numbers. What you should find: (a) a heart somewhere between ten and twenty lines, its wall from
# about forty; (b) edges appear long before any brightness does; (c) worlds apart: the energy is in the centre.
#
# So the answer to "which lines may we leave out" begins like this: *never the centre, and from
# the rim some, but not always the same ones.*

# %% [markdown]
# ## 1.3 Why only one direction is undersampled
#
# After each excitation the scanner reads one *line* of k-space, a whole row of $k_x$, within a
# millisecond or two: this is the **readout**, and leaving out samples of it would save nothing.
# The next line, another $k_y$, needs a new excitation, one repetition time TR later. That
# direction is the **phase encode**. Time is proportional to the number of lines, so:
#
# *lines left out along $k_y$ are time saved; $k_x$ is always complete.*
#
# In this course $y$ is the phase encode and $x$ the readout, everywhere. How much time is it?
# Say TR = 3 ms, a beat of 900 ms, 20 frames. Within one frame's 45 ms only a few lines fit, so a
# frame is pieced together over many beats, during which the patient holds the breath.

# %% tags=["nbval-check-output"]
repetition_time, beat, frames = 3.0, 900.0, 20  # ms, ms
lines_per_beat = int(beat / frames // repetition_time)
for lines in (192, 192 // 5):
    beats = math.ceil(lines / lines_per_beat)
    print(f"{lines} lines, {lines_per_beat} per frame and beat: {beats} beats")

# %% [markdown]
# A breath-hold of thirteen beats is hard for a patient with heart failure. Three are easy.

# %% [markdown]
# ## 1.4 Draw a mask
#
# The mask $U$ is 1 where a line is measured and 0 elsewhere. Ours follows three rules:
#
# - every frame measures the same number of lines, `y // acceleration`;
# - the 11 centre lines are always among them;
# - the others are drawn at random, near the centre more often than at the rim: *variable density*.
#
# Two densities are in use. With $k$ the distance from the centre and $N$ the number of lines,
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
# **Figure 1.8.** The quadratic density falls to zero at the edge of k-space. The Gaussian is
# narrower, and has a floor of one per cent so that no line is excluded for ever.
#
# Now the draw itself: take the `m` best of `N` lines *without replacement*, with chances
# proportional to $w$. A neat way is a race. Every line gets a random arrival time
# $-\log(u) / w$ with $u$ uniform in (0, 1): lines with a larger weight tend to arrive earlier.
# The first `m` to arrive are the sample. A centre line starts ahead of time zero and always wins.
# All frames race at once, so no loop is needed.

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
# The helper `sampling.ky_t_mask` does the same and adds the shape the course uses: `(b, t, y, 1)`,
# boolean, **True where sampled**. With the same seed the two must agree in every single line.

# %%
mine = my_mask(20, 192, 38, 11, sampling.line_density(192), seed=0)
mask192 = sampling.ky_t_mask((20, 192, 192), acceleration=5, center_lines=11, seed=0)
torch.testing.assert_close(mine, mask192[0, :, :, 0])

# %% [markdown]
# ### Count what you got
#
# Never trust a mask that you have not counted. Are there 38 lines in each frame? Are the 11 lines
# around line 96 all there? And is the acceleration really 5?

# %% tags=["nbval-check-output"]
counts = mine.sum(dim=1)
centre_kept = mine[:, 96 - 5 : 96 + 6].all()
print(f"lines per frame: {counts.unique().tolist()}; all 11 centre lines in all: {centre_kept}")
print(f"asked for 5, achieved 192 / 38 = {sampling.achieved_acceleration(mask192):.3f}")
assert counts.eq(38).all() and centre_kept

# %% [markdown]
# 192 is not divisible by 5: a fifth would be 38.4 lines, and there are no 0.4 lines. We round down
# to 38, so the achieved acceleration is 5.05. Report the achieved one.
#
# Where is the middle of an *even* number of centre lines? One side must get one more. The helper
# gives it to the negative frequencies, and still keeps exactly as many as you asked for:

# %% tags=["nbval-check-output"]
for center_lines in (11, 10, 1, 0):
    only_centre = sampling.ky_t_mask((1, 192, 1), 192 / max(center_lines, 1), center_lines, seed=0)
    kept = (only_centre.flatten().nonzero().flatten() - 96).tolist()
    print(f"{center_lines:2d} centre lines:", kept if center_lines else "none promised")

# %% [markdown]
# ## 1.5 The mask of one frame, and of all
#
# > **Assignment, part a.** *Generate a variable-density random undersampling pattern for
# > acceleration 5 with 11 central lines in every frame; plot the mask of one frame, and the masks
# > in ky-t.*
#
# This is the mask for our cines:

# %%
mask = sampling.ky_t_mask(cines.shape[1:], acceleration=5, center_lines=11, seed=seed)
density = sampling.line_density(y)
figure = plotting.masks(mask, frame=0, density=density)
plotting.save(figure, figures / "01_masks.png")
figure

# %% [markdown]
# **Figure 1.9.** Left: the mask of frame 0, white lines are measured; it is constant along $k_x$,
# the readout. Middle: each column is the mask of one frame, so this is the whole mask in ky-t;
# the white band are the centre lines. Right: in what share of the frames each line was measured,
# and the density it was drawn from, scaled. The band stands at 1; away from it the steps scatter
# around the dashed line, as few random draws must.

# %% [markdown]
# ## 1.6 Is the mask the same in every frame?
#
# > **Predict 1.5.** Frame 0 and frame 1 have 38 lines each, 11 of them the centre. How many do
# > they share? And over all 20 frames, how many of the 192 lines are measured at least once?
#
# > **Assignment, part a.** *Is the mask the same in every frame?*
#
# Do not answer from the picture. Count how many different masks there are, and how many lines
# neighbours have in common.

# %%
def count_frames(mask):
    ky_t = mask[0, :, :, 0]  # (t, y)
    different = len(torch.unique(ky_t, dim=0))
    shared = (ky_t[1:] & ky_t[:-1]).sum(dim=1).double()
    print(f"{different} different masks in {len(ky_t)} frames")
    print(f"neighbours share {shared.mean():.1f} of {ky_t[0].sum()} lines (11 are the centre)")
    return different, shared.mean().item()


different, shared = count_frames(mask)

# %% [markdown]
# The same question to the 192-line mask of section 1.4, whose answer is the same on every computer:

# %% tags=["nbval-check-output"]
different192, shared192 = count_frames(mask192)
print("the same mask in every frame:", different192 == 1)

# %% [markdown]
# **No: every frame has its own.** Only the centre lines, and a few that were drawn twice by
# chance, are common to neighbours. And this is the point of it. Suppose it were one and the same
# mask, as in the second line below: a line that is missing once would be missing always.

# %%
def seen_by(mask):
    """How many lines were measured at least once, after 1, 2, ... frames."""
    return mask[0, :, :, 0].cumsum(dim=0).gt(0).sum(dim=1)


same = mask[:, :1].expand_as(mask)  # the mask of frame 0 in every frame
union = {"a mask per frame": seen_by(mask), "the same mask": seen_by(same)}
plotting.curves(range(1, t + 1), {f"lines seen (of {y})": union}, "number of frames")

# %% [markdown]
# **Figure 1.10.** Lines seen at least once. With a new draw per frame the number climbs; with the
# same mask it stays where it was.

# %%
seen = mask[0, :, :, 0].any(dim=0)
missed = (torch.arange(y) - y // 2)[~seen].abs()
print(f"one frame sees {mask[0, 0].sum()} of {y} lines, all {t} frames see {seen.sum()}")
print(f"never seen: {len(missed)} lines, {missed.double().mean():.0f} from the centre on average")

# %% [markdown]
# The film as a whole sees most of k-space, though each frame sees a fifth. Since most of the
# picture stands still (section 1.1), a line measured two frames ago is nearly as good as one
# measured now. **Every method in this course lives on that**, the simplest in the next notebook
# and the largest network alike. What is never seen lies far out, where the energy is small.

# %% [markdown]
# ## 1.7 Try it: the mask explorer
#
# Before you move a slider, write down what you expect.
#
# > **Predict 1.6.**
# >
# > - (a) Acceleration from 5 to 10: how will the image change, if the centre lines stay?
# > - (b) Centre lines from 11 to 0, acceleration 5: what goes wrong first?
# > - (c) Density from quadratic to Gaussian: where do the lines go, and what becomes blurred?
# > - (d) Another seed: does the picture get better or worse, or just different?
# > - (e) Acceleration 8 with 30 centre lines: what will the helper say?

# %%
def make_mask(**settings):
    return sampling.ky_t_mask(cines.shape[1:], **settings)


def undersample(mask, frame):
    model = operators.ForwardModel(mask[:, frame : frame + 1])
    return model.normal(cine[None, frame : frame + 1])[0, 0].abs()


widgets.mask_explorer(make_mask, undersample, cine, seed=seed)

# %% [markdown]
# **Figure 1.11.** Mask in ky-t, mask of one frame, its point-spread function (next notebook), and
# the image one gets if unmeasured lines are set to zero, with its PSNR. With a kernel every setting is
# computed when you ask for it; a page without one has some of them inside. What you should find: (a) the
# noise-like smear grows; (b) brightness is lost and shading appears, because lines with most of the
# energy go missing by chance; (c) towards the centre, so fine detail along $y$ blurs; (d) just
# different; (e) a refusal that tells what would be possible.

# %% [markdown]
# ## 1.8 Two masks that look right and are wrong
#
# **Mistake 1: halving an odd number.** A published solution of this very assignment makes it. In
# our words, its code asks for 11 centre lines and draws the remaining 27 from what is left:

# %%
def wrong_mask(frames, lines=192, per_frame=38, center_lines=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    half = center_lines // 2
    weights = sampling.line_density(lines).clamp(min=1e-12)
    weights[lines // 2 - half : lines // 2 + half] = 0  # the centre is not drawn ...
    drawn = torch.multinomial(weights.expand(frames, -1), per_frame - center_lines,
                              generator=generator)
    mask = torch.zeros(frames, lines, dtype=torch.bool).scatter(1, drawn, True)
    mask[:, lines // 2 - half : lines // 2 + half] = True  # ... but set
    return mask


# %% [markdown]
# Plotted, nobody sees anything. Counted, everybody does:

# %% tags=["nbval-check-output"]
wrong = wrong_mask(20)
always = (wrong.sum(dim=0) == 20)[96 - 5 : 96 + 5].sum()  # lines -5 ... 4
print(f"lines per frame: {wrong.sum(dim=1).unique().tolist()}, asked for 38")
plus_five = bool(wrong[:, 96 + 5].all())
print(f"centre lines set: {always}, asked for 11; line +5 in every frame: {plus_five}")

# %% [markdown]
# `11 // 2` is 5, so `96 - 5 : 96 + 5` has ten lines, and one is missing in every frame. The cure is
# to count from the first: `first = 96 - 11 // 2`, then `first : first + 11`. The symptom is a
# number, not a picture: an acceleration of 5.19 that the report calls 5.
#
# **Mistake 2: two conventions for the centre.** `torch.fft.fft2` puts the zero frequency at index
# 0, the mask expects it at `y // 2`. Forget the `fftshift` and the mask keeps the wrong lines.
#
# > **Predict 1.7.** Which lines do the 11 "centre" lines now hit? What will the image look like?

# %%
model = operators.ForwardModel(mask)
right = model.normal(cine[None])
not_shifted = torch.fft.fft2(cine, norm="ortho")  # zero frequency at index 0
forgotten = torch.fft.ifft2(not_shifted * mask[0], norm="ortho")
pair = {"centred": right[0], "fftshift forgotten × 10": 10 * forgotten}
plotting.cine_comparison(pair, frame=0)

# %% [markdown]
# **Figure 1.12.** With the shift forgotten, the mask samples the rim densely and the centre hardly
# at all. The symptom is unmistakable: the image is all but black. Shown ten times brighter, one
# sees what is left: fine texture and ghosts of edges. How much energy survives is printed below;
# compare it with Figure 1.5.

# %%
energy_full = cine.square().sum()
kept = {"centred": right, "fftshift forgotten": forgotten}
kept = {name: (image.abs().square().sum() / energy_full).item() for name, image in kept.items()}
for name, kept_share in kept.items():
    print(f"{name}: {100 * kept_share:.1f} % of the energy kept")

# %% [markdown]
# ## Exercises
#
# Each asks for a function. Write it in the cell below the question, then run the check: it tries your
# function on small examples and says what is right, or what is not. (In the teacher's form a solution
# lies below the question, folded away.)

# %% [markdown]
# ### Exercise 1.1 · Write the mask, another way
#
# Draw the lines of every frame with `numpy.random.Generator.choice(..., replace=False, p=...)`, one
# frame after the other, in place of the race. The centre lines are always in, and count.
#
# *Hint:* take the centre lines out of the weights before you draw; `p` must sum to 1.

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
# The two agree up to the scatter of 2000 draws. Neither follows the density exactly: a line can be
# drawn only once per frame, so the likeliest lines saturate.

# %% [markdown]
# ### Exercise 1.2 · Only the centre?
#
# 38 lines all in the centre would hold the most energy of any 38. Or would they? **Predict** first:
# which mask keeps more of the energy, the `"random"` one of section 1.5 or the `"centre"` one? And
# which would you rather reconstruct from? Return both words. Then look.
#
# *Hint:* `distance` from section 1.2 knows how far each line is from the centre.

# %% tags=["hide-cell", "solution"]
# Solution 1.2
def random_or_centre():
    """(which keeps more energy, which one to reconstruct from), each "random" or "centre"."""
    return "centre", "random"


# %%
exercises.check_1_2(random_or_centre)

# %% tags=["hide-cell", "solution"]
# Solution 1.2: look
central = distance[:, 0].argsort(stable=True)[: int(mask[0, 0].sum())]
low_pass = torch.zeros(1, 1, y, 1, dtype=torch.bool).index_fill(2, central, True).expand_as(mask)
low = operators.ForwardModel(low_pass).normal(cine[None])
for name, image in (("variable density", right), ("centre only", low)):
    print(f"{name}: {100 * image.abs().square().sum() / energy_full:.2f} % of the energy")
plotting.cine_comparison({"variable density": right[0], "centre only": low[0]}, frame=0)

# %% [markdown] tags=["solution"]
# Centre only keeps more energy and at first sight looks cleaner, so a careless reader picks it. But
# its detail along $y$ is gone for good: no frame ever measures the rim, and what no frame has seen
# no method can bring back, it can only invent it. The smear of the random mask is another one in
# every frame, and that can be undone, as the next notebook shows.

# %% [markdown]
# ### Exercise 1.3 · No randomness at all
#
# Build a *lattice* mask: line `k` is measured in frame `t` if `(k + t) % step == 0`. After how many
# frames has every line been seen? (Whether that makes a good mask, the next notebook will tell.)
#
# *Hint:* broadcasting: `torch.arange(lines)[None] + torch.arange(frames)[:, None]`.

# %% tags=["hide-cell", "solution"]
# Solution 1.3
def lattice(frames, lines, step):
    """Line k is measured in frame t if (k + t) % step == 0: boolean, (frames, lines)."""
    return (torch.arange(lines)[None] + torch.arange(frames)[:, None]) % step == 0


# %%
exercises.check_1_3(lattice)

# %% tags=["hide-cell", "solution"]
# Solution 1.3: count
progress = seen_by(lattice(t, y, 5)[None, :, :, None])
print("every line seen after", int((progress < y).sum()) + 1, "frames")

# %% [markdown]
# ### Exercise 1.4 · Find the bug
#
# Mistake 1 of section 1.8 loses a centre line whenever their number is odd. Repair the three lines of
# `wrong_mask` that decide where the centre is: which lines are the centre, for *any* number of lines
# and of centre lines? An even number takes its extra line from the negative frequencies.
#
# *Hint:* the zero frequency is line `lines // 2`. Find the first line; the last one follows.

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

# %% [markdown]
# ## What you take with you

# %%
record = {"lines": y, "lines_per_frame": int(mask[0, 0].sum()), "center_lines": 11,
          "achieved_acceleration": sampling.achieved_acceleration(mask),
          "different_masks": different, "shared_by_neighbours": shared,
          "lines_seen": int(seen.sum()), "energy_of_11_lines": share[5].item(), "energy_kept": kept}
results.record(figures / "01_sampling.json", profile=profile.name, data=cines.source, seed=seed,
                frames=t, **record)

# %% [markdown]
# 1. A **cine** is a film `(t, y, x)` of one heart beat. Most of the energy of its k-space sits in a
#    few lines around the centre; the rim holds the detail.
# 2. Lines along **$k_y$ cost time**, samples along $k_x$ do not: so we leave out lines.
# 3. A **variable-density mask** takes a race of random numbers. Asked for 5, it achieves
#    192 / 38 = 5.05, with exactly 11 centre lines.
# 4. The mask is **not the same in every frame**. Together the frames see most of k-space, and that
#    is where every method that follows gets the missing lines from.
# 5. **Count your mask** (10 lines instead of 11 do not show in a picture) and **know where zero
#    frequency is** (if the image is dark and all edges, it is in the wrong place).
#
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
