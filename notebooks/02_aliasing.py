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
# # 2 · Aliasing: what the missing lines do
#
# What does leaving out lines do to the image, and how far do we get without learning?
#
# Here are methods that learn nothing. Every network has to beat them.
#
# **When you are through, you can**
#
# 1. write the forward model $y = U F m$ and its adjoint, and *test* them;
# 2. predict from the point-spread function what a mask does;
# 3. measure quality with PSNR and SSIM;
# 4. reconstruct a cine by copying lines, and by compressed sensing;
# 5. read a ladder in two worlds.
#
# **You need** [01_sampling](01_sampling.ipynb), and complex numbers.

# %% [markdown]
# **Time:** reading and running about 60 minutes, exercises about 20, deeper sections about 30 and 25.
#
# ## Set up (1 min)

# %%
from IPython.display import Markdown, display

from dmri_helpers import (
    classical, data, exercises, fourier, metrics, operators, plotting, profiles, results, sampling,
    training, widgets,
)  # fmt: skip

import torch

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# We take one [cine](../site/conventions.md#term-cine) and the mask of notebook 1. From here on a cine has a batch
# axis in front: `(b, t, y, x)`.

# %%
n, t, y, x = cines.shape
cine = cines[0][None].to(torch.complex64)
mask = sampling.ky_t_mask(cine.shape, acceleration=5, center_lines=11, seed=seed)
print(f"cine {tuple(cine.shape)} {cine.dtype}, mask {tuple(mask.shape)} {mask.dtype}")

# %% [markdown]
# ## 2.1 $F$: a Fourier transform that keeps lengths (4 min)
#
# Our transform is *centred*: the zero frequency has the index `n // 2`. PyTorch wants it at index 0, so we shift
# before and after. It is also *orthonormal*: it keeps the length of a vector, so its inverse is its adjoint:
#
# $$ \lVert F m \rVert = \lVert m \rVert, \qquad F^{-1} = F^H . $$

# %%
def my_fft2c(image):
    image = torch.fft.ifftshift(image, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(image, norm="ortho"), dim=(-2, -1))


def my_ifft2c(kspace):
    kspace = torch.fft.ifftshift(kspace, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(kspace, norm="ortho"), dim=(-2, -1))


torch.testing.assert_close(my_fft2c(cine), fourier.fft2c(cine))
torch.testing.assert_close(my_ifft2c(cine), fourier.ifft2c(cine))

# %% [markdown]
# We use `ifftshift` before and `fftshift` after the transform. For odd sizes the two differ.

# %% tags=["nbval-check-output"]
exact = cine.to(torch.complex128)  # sums of many numbers need double precision
print("lengths are kept:", torch.allclose(my_fft2c(exact).norm(), exact.norm()))
print("the inverse undoes it:", torch.allclose(my_ifft2c(my_fft2c(exact)), exact))
odd = torch.randn(5, 7, dtype=torch.complex64)
print("also for odd sizes:", torch.allclose(my_ifft2c(my_fft2c(odd)), odd, atol=1e-5))

# %% [markdown] tags=["report"]
# ## 2.2 $y = U F m$: the forward model (5 min)
#
# The scanner measures [k-space](../site/conventions.md#term-k-space), and the mask $U$ keeps some lines. The simplest
# image leaves the others at zero:
#
# $$ y = U F m, \qquad b = F^{-1} y = F^{-1} U F m . $$
#
# It is called [zero-filled](../site/conventions.md#term-zero-filled), or aliased.

# %%
kspace = mask * my_fft2c(cine)  # y = U F m
b = my_ifft2c(kspace)  # b = F^-1 U F m

A = operators.ForwardModel(mask)
torch.testing.assert_close(kspace, A(cine))
torch.testing.assert_close(b, A.adjoint(kspace))

# %% [markdown]
# > **Predict 2.1.** Four fifths of the lines are missing. Is the image (a) full of holes, (b) several hearts,
# > (c) a heart under streaks, (d) blurred? In which direction?
#
# > **Assignment, part a.** *Form $b = F^{-1} U F m$ and show aliased images beside fully sampled
# > ones.*

# %%
beside = {"fully sampled": cine, "aliased (zero-filled)": b}
for frame in (0, t // 2):
    figure = plotting.cine_comparison(beside, frame=frame, mask=mask)
    figure.set_dpi(85)  # a notebook should stay light
    plotting.save(figure, figures / f"02_aliased_frame_{frame}.png")
    display(figure)

# %% [markdown]
# **Figure 2.1.** Two frames: fully sampled, aliased, and their masks.

# %% [markdown]
# <details><summary>Answer to 2.1</summary>
#
# (c) and (d), both along the phase encode. Other frames have other streaks, because they have other masks.
#
# </details>

# %% [markdown] tags=["report"]
# ## 2.3 $A^H$: test the adjoint (4 min)
#
# Write $A = U F$. Its [adjoint](../site/conventions.md#term-adjoint) $A^H = F^{-1} U$ is defined by
#
# $$ \langle A m, y \rangle = \langle m, A^H y \rangle \quad\text{for all } m \text{ and } y . $$
#
# A wrong $A^H$ runs, too, and gives a wrong image. So test it.

# %% [markdown]
# ### Exercise 2.1 · Prove that they belong together ★★
#
# Write `adjointness_gap(forward, adjoint, image_shape, kspace_shape, seed)`. It draws a random $m$ and a random $y$,
# both complex, and returns
#
# $$ \frac{|\langle A m, y \rangle - \langle m, A^H y \rangle|}{|\langle A m, y \rangle|} . $$
#
# **Predict:** if `norm="ortho"` is forgotten in both directions, does a round trip notice?
#
# *Hint:* `torch.vdot` conjugates its first vector.

# %% tags=["hide-cell", "solution"]
# Solution 2.1
def adjointness_gap(forward, adjoint, image_shape, kspace_shape, seed):
    """Gap between <A m, y> and <m, A^H y> for random complex m and y, relative to <A m, y>: a number."""
    generator = torch.Generator().manual_seed(seed)
    m = torch.randn(image_shape, dtype=torch.complex128, generator=generator)
    y = torch.randn(kspace_shape, dtype=torch.complex128, generator=generator)
    left = torch.vdot(forward(m).flatten(), y.flatten())
    right = torch.vdot(m.flatten(), adjoint(y).flatten())
    return ((left - right).abs() / left.abs()).item()


# %%
exercises.check_2_1(adjointness_gap)

# %% tags=["hide-cell", "solution"]
# Solution 2.1: the helper's adjoint, and which test notices a forgotten norm
print("adjointness holds:", adjointness_gap(A, A.adjoint, cine.shape, cine.shape, seed) < 1e-10)
m = torch.randn(cine.shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
pairs = {"ortho, ortho": (my_fft2c, my_ifft2c),
         "default, ortho": (torch.fft.fft2, lambda k: torch.fft.ifft2(k, norm="ortho")),
         "default, default": (torch.fft.fft2, torch.fft.ifft2)}
for name, (forward, inverse) in pairs.items():
    round_trip = torch.allclose(inverse(forward(m)), m)
    lengths = torch.allclose(forward(m).norm(), m.norm())
    gap = adjointness_gap(forward, inverse, m.shape, m.shape, seed)
    print(f"{name}: round trip {round_trip}, lengths kept {lengths}, adjoint {gap < 1e-10}")

# %% [markdown] tags=["solution"]
# Forgotten once, every test complains. Forgotten twice, the round trip is content. Only the lengths and the adjoint
# test see that the inverse is no longer the adjoint. A round trip alone proves little.

# %% [markdown]
# Undersampling $b$ once more changes nothing, because $U^2 = U$ and $F F^{-1} = 1$:

# %% tags=["nbval-check-output"]
b = A.normal(cine)  # A^H A m, one helper for both steps
print("undersampling twice changes anything:", (A.normal(b) - b).norm().item() > 1e-5 * b.norm().item())

# %% [markdown] tags=["report"]
# ## 2.4 The point-spread function (9 min)
#
# To multiply k-space by a mask is to *convolve* the image with the transform of the mask. Vertically, with row $r$,
#
# $$ b(r) = \sum_{j} p(j)\, m(r - j), \qquad p = F_y^{-1} U / \sqrt{N_y} . $$
#
# This $p$ is the *point-spread function*. So $b$ is a sum of shifted copies of the image.

# %% [markdown]
# ### Eight pixels first
#
# Keep every second of eight lines: $p(j) = \frac18 \sum_{k\ \text{even}} e^{2\pi i\,k j / 8}$. All four terms are 1
# for $j = 0$ and for $j = 4$. Otherwise they cancel.

# %%
every_second = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0])
print("p:", torch.fft.ifft(every_second).real.numpy().round(2))
bar = torch.tensor([0.0, 0, 1, 1, 0, 0, 0, 0])
print("b:", torch.fft.ifft(torch.fft.fft(bar) * every_second).real.numpy().round(2))

# %% [markdown]
# The bar appears twice, half as bright. Now our cine:

# %%
p = fourier.ifftc_y(mask.to(torch.complex64))[0, 0, :, 0] / y**0.5  # of frame 0, shape (y,)
copies = sum(p[j] * cine[0, 0].roll(j - y // 2, dims=0) for j in range(y))
torch.testing.assert_close(copies, b[0, 0], atol=1e-4, rtol=0)

# %% [markdown]
# Compare three masks with a fifth of the lines each: every fifth; as many, anywhere at random; and ours.
#
# > **Predict 2.2.** Sketch the three point-spread functions. How many peaks has the first?
# > Which of the three images could you repair by eye?

# %%
every_fifth = ((torch.arange(y) - y // 2) % 5 == 0)[None, None, :, None].expand(1, t, y, 1)
generator = torch.Generator().manual_seed(seed)
uniform = torch.rand(1, t, y, 1, generator=generator).argsort(dim=2) < int(mask[0, 0].sum())
designs = {"every fifth line": every_fifth, "uniform random": uniform, "variable density": mask}


def spread_db(mask):
    p = fourier.ifftc_y(mask[:, :1].to(torch.complex64)).abs().flatten()
    return 20 * (p / p.max()).clamp(min=1e-3).log10()


spreads = {f"{name}: level (dB)": spread_db(design) for name, design in designs.items()}
plotting.curves(torch.arange(y) - y // 2, spreads, "shift along y (pixels)", share_y=True)

# %% [markdown]
# **Figure 2.2.** Point-spread functions. 20 dB less is a tenth of the amplitude.

# %%
images = {}
for name, gain in (("every fifth line", 2), ("uniform random", 5)):  # both lose brightness
    images[f"{name} × {gain}"] = gain * operators.ForwardModel(designs[name]).normal(cine)
figure = plotting.cine_comparison(images, frame=0)
figure.set_dpi(85)
figure

# %% [markdown]
# **Figure 2.3.** Zero-filled images of the two other masks, brighter by the factor in the title.

# %% [markdown]
# <details><summary>Answer to 2.2</summary>
#
# Every fifth line gives five peaks of about the same height. They make five hearts, *ghosts*, and nothing tells which
# one is real. A random mask has one peak over a low floor, which makes streaks. Streaks can be told from anatomy. Our
# mask also keeps the brightness. The technical words are *coherent* and *incoherent*
# [aliasing](../site/conventions.md#term-aliasing).
#
# </details>

# %% [markdown]
# ## 2.5 Every column is a problem of its own (3 min)
#
# The mask is the same for all $k_x$, so it commutes with the horizontal transform $F_x$:
#
# $$ b = F_y^{-1} F_x^{-1} U F_x F_y\, m = F_y^{-1} U F_y\, m . $$
#
# So no column depends on another. We may crop columns before or after undersampling:

# %% tags=["nbval-check-output"]
strip = slice(x // 4, x // 2)
crop_last = A.adjoint(A(cine))[..., strip]  # two-dimensional transforms, whole width
crop_first = fourier.ifftc_y(mask * fourier.fftc_y(cine[..., strip]))  # one-dimensional, a strip
print("crop first or last, the same:", torch.allclose(crop_first, crop_last, atol=1e-5))

# %% [markdown]
# So networks can train on strips of columns. This is exact for the *encoding* only. A method that compares
# neighbours horizontally needs a margin around its strip.

# %% [markdown] tags=["report"]
# ## 2.6 How good is an image? (7 min)
#
# PSNR compares single pixels. **SSIM** compares small windows of both images by their means $\mu$, variances
# $\sigma^2$ and covariance $\sigma_{\hat m m}$. It is the mean over all windows of
#
# $$ \frac{(2 \mu_{\hat m} \mu_m + C_1)(2 \sigma_{\hat m m} + C_2)}
#         {(\mu_{\hat m}^2 + \mu_m^2 + C_1)(\sigma_{\hat m}^2 + \sigma_m^2 + C_2)},
#    \qquad C_1 = (0.01\,R)^2,\quad C_2 = (0.03\,R)^2 . $$
#
# Equal images have SSIM 1. Peak and data range $R$ are 1 here. NMSE is the squared error divided by the energy.

# %% [markdown] tags=["report"]
# Three variants are in use:
#
# - *per frame*, then the mean over the frames, which is our default;
# - *volume*: the whole cine at once;
# - *dynamic*: only pixels that move (standard deviation over time above 0.05).

# %%
def my_psnr(recon, reference):
    return -10 * (recon.abs() - reference.abs()).square().mean(dim=(-2, -1)).log10()


scores = metrics.cine_metrics(b[0], cine[0])
assert abs(my_psnr(b, cine).mean().item() - scores["psnr"]) < 1e-3
for name, value in scores.items():
    print(f"{name:13s} {value:.3f}")

# %% [markdown]
# A still background flatters every method. **Read the dynamic number.**
#
# ### A mistake on purpose: the prediction sets the scale
#
# Many scripts take `peak = recon.max()`. We make one pixel three times brighter than anything else.
#
# > **Predict 2.3.** The image became worse. What do the two scores do?

# %%
def guessed_psnr(recon, reference):
    return my_psnr(recon, reference) + 20 * recon.abs().max().log10()  # peak from the prediction


spiked = b[0, 0].clone()
spiked[0, 0] = 3
verdicts = {}
for score in (my_psnr, guessed_psnr):
    before, after = score(b[0, 0], cine[0, 0]).item(), score(spiked, cine[0, 0]).item()
    verdicts[score.__name__] = after > before
    print(f"{score.__name__}: {before:.1f} dB before the spike, {after:.1f} dB after")

# %% tags=["nbval-check-output"]
for name, improved in verdicts.items():
    print(f"{name} says the spike made the image {'better' if improved else 'worse'}")

# %% [markdown]
# <details><summary>Answer to 2.3</summary>
#
# With a fixed peak the score falls. With the guessed peak it *rises*, because the method brings its own ruler. The
# $R$ of SSIM is the same trap.
#
# </details>

# %% [markdown] tags=["report"]
# ## 2.7 Copy the missing lines (7 min)
#
# All our methods have the form `reconstruct(kspace, A)`.
#
# **Temporal mean.** Other frames have measured the line that frame $t$ lacks. Take their mean:
#
# $$ \hat m_t = F^{-1}\Big( U_t y_t + (1 - U_t)\, \frac{\sum_s U_s y_s}{\sum_s U_s} \Big) . $$

# %%
def my_temporal_mean(kspace, A):
    mask = A.mask
    mean = kspace.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return fourier.ifft2c(torch.where(mask, kspace, mean))


kspace = A(cine)
torch.testing.assert_close(my_temporal_mean(kspace, A), classical.temporal_mean(kspace, A))

# %% [markdown] tags=["report"]
# **[View sharing](../site/conventions.md#term-view-sharing).** Take the line from the *nearest* frame $s$ that has
# it:
#
# $$ \hat m_t = F^{-1}\big( U_t y_t + (1 - U_t)\, y_s \big) . $$
#
# We treat time as a circle.

# %%
def my_view_sharing(kspace, A):
    mask = A.mask
    filled, known = kspace, mask
    for distance in range(1, mask.shape[1] // 2 + 1):
        for shift in (distance, -distance):  # an earlier frame, then a later one
            new = mask.roll(shift, dims=1) & ~known
            filled = torch.where(new, kspace.roll(shift, dims=1), filled)
            known = known | new
    return fourier.ifft2c(filled)


torch.testing.assert_close(my_view_sharing(kspace, A), classical.view_sharing(kspace, A))

# %% [markdown]
# Both keep every measured line, as a check shows:

# %% tags=["nbval-check-output"]
for method in (classical.zero_filled, my_temporal_mean, my_view_sharing):
    error = (A(method(kspace, A)) - kspace).norm() / kspace.norm()
    print(f"{method.__name__} agrees with the measured lines: {error.item() < 1e-5}")

# %% [markdown]
# > **Predict 2.4.** Which of the two is better where nothing moves? Which one in the heart?

# %%
moving = cine.abs().std(dim=1, correction=0)[0] > 0.05  # (y, x)
for method in (my_temporal_mean, my_view_sharing):
    error = (method(kspace, A).abs() - cine.abs())[0].square()
    for where, pixels in (("still", ~moving), ("moving", moving)):
        print(f"{method.__name__}, {where} pixels: {-10 * error[:, pixels].mean().log10():.1f} dB")

# %% [markdown]
# <details><summary>Answer to 2.4</summary>
#
# Where nothing moves, the mean is about as good or better. Where the heart moves, view sharing is better, because the
# mean mixes all phases of the beat.
#
# </details>

# %% [markdown]
# ### Exercise 2.2 · How far away is the line? ★★
#
# How many frames away is the line that view sharing takes? Write `frames_away(mask)` for a mask `(b, t, y, 1)`: a
# float32 tensor of that shape, 0 where the line is measured, `inf` where no frame has it, and else the distance, with
# time as a circle. **Predict:** what are the two methods worth if every frame has the same mask?
#
# *Hint:* begin with the largest distance and end with 0. `roll` goes around the end.

# %% tags=["hide-cell", "solution"]
# Solution 2.2
def frames_away(mask):
    """Frames to the nearest one that has the line, cyclic; 0 where measured, inf if none: float32."""
    away = torch.full(mask.shape, torch.inf)
    for distance in range(mask.shape[1] // 2, -1, -1):
        away[mask.roll(distance, dims=1) | mask.roll(-distance, dims=1)] = distance
    return away


# %%
exercises.check_2_2(frames_away)

# %% tags=["hide-cell", "solution"]
# Solution 2.2: the same mask in every frame
same = mask[:, :1].expand_as(mask)
A_same = operators.ForwardModel(same)
kspace_same = A_same(cine)
print(f"lines that are nowhere: {int(frames_away(same)[0, 0].isinf().sum())} of {y}")
for method in (classical.temporal_mean, classical.view_sharing):
    equal = torch.allclose(method(kspace_same, A_same), A_same.adjoint(kspace_same), atol=1e-6)
    print(f"{method.__name__} equals zero filling: {equal}")

# %% tags=["hide-cell", "solution"]
# Solution 2.2: faster, with 5 centre lines, so that all accelerations are possible
accelerations, psnr_by_method, distances = (2, 3, 4, 5, 6, 8), {}, []
for acceleration in accelerations:
    faster = sampling.ky_t_mask(cine.shape, acceleration, center_lines=5, seed=seed)
    A_faster, away = operators.ForwardModel(faster), frames_away(faster)
    distances.append(away[(away > 0) & away.isfinite()].mean().item())
    for method in (classical.zero_filled, classical.temporal_mean, classical.view_sharing):
        value = my_psnr(method(A_faster(cine), A_faster), cine).mean().item()
        psnr_by_method.setdefault(results.NAMES[method.__name__], []).append(value)
plotting.curves(accelerations, {"PSNR (dB)": psnr_by_method, "frames away": distances}, "acceleration")

# %% [markdown] tags=["solution"]
# A line that no frame has measured cannot be copied, so both methods need masks that differ from frame to frame. The
# faster one goes, the further away in time is the line that view sharing copies.

# %% [markdown] tags=["deeper"]
# ### Deeper: Is time a circle? (2 min)
#
# The frames of a phantom cover about 80 % of a beat, so the last frame is not quite a neighbour of the first. We can
# forbid view sharing to go around the end: we append as many frames in which nothing was measured.

# %% tags=["deeper"]
magnitudes = cine.abs()
ends = (magnitudes[:, 0] - magnitudes[:, -1]).square().mean() / magnitudes.diff(dim=1).square().mean()
print(f"last to first frame: {ends:.1f} times the squared difference of neighbours")
empty = torch.zeros_like(kspace)
A_line = operators.ForwardModel(torch.cat([mask, torch.zeros_like(mask)], dim=1))
line = my_view_sharing(torch.cat([kspace, empty], dim=1), A_line)[:, :t]
for name, image in (("a circle", my_view_sharing(kspace, A)), ("a line", line)):
    print(f"time is {name}: {my_psnr(image, cine).mean():.2f} dB")

# %% [markdown] tags=["deeper"]
# The ratio above 1 (if it is) says that time is no circle. We treat it as one where that gives the better image, not
# because it is true.

# %% [markdown] tags=["report"]
# ## 2.8 Say what a cine is like: compressed sensing (9 min)
#
# *Compressed sensing* states what cines are like, and looks for the image that fits this and the data:
#
# $$ \min_{\hat m}\ \tfrac12 \lVert A \hat m - y \rVert^2 + \lambda_t \lVert T \hat m \rVert_1 . $$
#
# $T$ is the Fourier transform over *time*. A beating heart has few temporal frequencies, so most numbers $T \hat m$
# should be zero. The second term, the sum of their magnitudes, is a
# [regulariser](../site/conventions.md#term-regulariser).

# %% [markdown]
# ### A step for the data
#
# The gradient of the first term is $A^H (A \hat m - y)$. Go against it:
#
# $$ \hat m \leftarrow \hat m - A^H (A \hat m - y) . $$
#
# > **Predict 2.5.** Begin with $\hat m = 0$. What does the first step give? What does the second one change?

# %% tags=["nbval-check-output"]
first = -A.adjoint(A(torch.zeros_like(cine)) - kspace)
second = first - A.adjoint(A(first) - kspace)
print("the first step gives the zero-filled image:", torch.allclose(first, b, atol=1e-5))
print("the second step changes it:", not torch.allclose(second, first, atol=1e-5))

# %% [markdown]
# <details><summary>Answer to 2.5</summary>
#
# The first step gives $A^H y = b$. The second one changes nothing, because $b$ has all measured lines already.
#
# </details>

# %% [markdown] tags=["report"]
# ### A step for the wish
#
# The regulariser is our *wish*. The step for $\lVert \cdot \rVert_1$ is *soft-thresholding*: make every number
# smaller by the same amount, and zero if it is below. With threshold 1, $(3, -1.5, 0.5, 0)$ becomes $(2, -0.5, 0, 0)$.

# %%
def soft(values, threshold):
    return values * (1 - threshold / values.abs().clamp(min=1e-9)).clamp(min=0)


def shrink_spectrum(image, threshold):
    spectrum = torch.fft.fft(image, dim=1, norm="ortho")
    return torch.fft.ifft(soft(spectrum, threshold), dim=1, norm="ortho")


print(soft(torch.tensor([3.0, -1.5, 0.5, 0.0]), 1))

# %% [markdown]
# Take turns. Notebook 6 replaces the wish by a network and calls the result *unrolled*.

# %%
image, psnr = b, []
for _ in range(50):
    image = image - A.adjoint(A(image) - kspace)  # the data
    image = shrink_spectrum(image, 0.01)  # the wish
    psnr.append(my_psnr(image, cine).mean().item())
plotting.curves(range(1, 51), {"PSNR (dB)": psnr}, "iteration")

# %% [markdown] tags=["report"]
# **Figure 2.4.** PSNR of the image after every turn.
#
# ### Two better wishes
#
# *k-t total variation* (k-t TV) wants small differences $D$ between neighbours, above all in time:
#
# $$ \min_{\hat m}\ \lVert D_t \hat m \rVert_1
#    + \lambda_D \big( \lVert D_y \hat m \rVert_1 + \lVert D_x \hat m \rVert_1 \big)
#    \quad\text{such that}\quad A \hat m = y . $$

# %% [markdown]
# *Low rank plus sparse* (L + S) is explained in a deeper section.

# %%
tv = classical.kt_tv(kspace, A)
ls = classical.low_rank_sparse(kspace, A)
for name, recon in (("fifty turns", image), ("L + S", ls), ("k-t TV", tv)):
    print(f"{name:12}: {my_psnr(recon, cine).mean():.1f} dB")

# %% [markdown] tags=["deeper", "report"]
# ## Deeper: Low rank plus sparse (8 min)
#
# Write every frame as one row of a matrix. If nothing moved, all rows would be equal, and the rank would be one. What
# beats is left over. It lies in few places, and its temporal spectrum has few large coefficients. So look for two
# films:
#
# $$ \min_{L,S}\ \lVert L \rVert_* + \lambda_S \lVert T S \rVert_1
#    \quad\text{such that}\quad A (L + S) = y . $$

# %% [markdown] tags=["deeper", "report"]
# $\lVert L \rVert_*$ is the sum of the singular values of the matrix. Both wishes have a soft threshold as their
# step. The method of Otazo et al. takes turns: shrink one, shrink the other, put the data back.

# %% tags=["deeper"]
def shrink_singular_values(part, threshold):
    u, s, v = torch.linalg.svd(part.reshape(t, -1), full_matrices=False)
    return ((u * (s - threshold).clamp(min=0)) @ v).reshape(part.shape)


def shrink_motion(part, threshold):
    still = part.mean(dim=1, keepdim=True)  # what does not move belongs to L alone
    return shrink_spectrum(part - still, threshold)

# %% tags=["deeper"]
def my_low_rank_sparse(kspace, A, data_weight, iterations, sparse=2.0):
    image = classical.temporal_mean(kspace, A)
    scale, S = image.abs().max(), torch.zeros_like(image)  # the weights are meant for images up to 1
    for _ in range(iterations):
        L = shrink_singular_values(image - S, scale * image[0].numel() ** 0.5 / data_weight)
        S = shrink_motion(image - L, scale * sparse * t**0.5 / data_weight)
        image = L + S - A.adjoint(A(L + S) - kspace)
    return L, S

# %% tags=["deeper"]
motion = cine.abs().std(dim=1, correction=0, keepdim=True).square()  # (1, 1, y, x)
column = int(motion.sum(dim=2).argmax())  # the column that moves most
first_column = min(max(column - x // 8, 0), x - x // 4)
part = cine[..., first_column : first_column + x // 4]  # a quarter of the columns is enough here
kspace_part = A(part)
mine = sum(my_low_rank_sparse(kspace_part, A, data_weight=50, iterations=100))
helper = classical.low_rank_sparse(kspace_part, A, data_weight=50, iterations=1000, tolerance=1e-5)
print(f"relative difference to the helper: {((mine - helper).norm() / helper.norm()).item():.4f}")
assert (mine - helper).norm() < 0.01 * helper.norm()

# %% [markdown] tags=["deeper"]
# The helper uses another iteration (Douglas-Rachford) and arrives at the same minimum. That is the test for such
# methods: the minimum does not depend on the way to it. What are the two parts of the whole cine?

# %% tags=["deeper"]
low_rank, rest = classical.low_rank_sparse_parts(kspace, A)
parts = {"L + S": low_rank + rest, "L: low rank": low_rank, "S × 3: sparse": 3 * rest}
figure = plotting.xt_profiles(parts, column=column)
figure.set_dpi(85)
figure

# %% [markdown] tags=["deeper"]
# **Figure 2.5.** The two parts of one reconstruction: the marked column over time. $L$ holds the still tissue and a
# blurred heart. $S$, three times brighter, is dark except where something moves.

# %% [markdown] tags=["deeper"]
# ## Deeper: What the weights do (6 min)
#
# k-t TV has the weight $\lambda_D$ (`spatial`): how much neighbours in *space* count beside neighbours in *time*. L +
# S has $\lambda_S$ (`sparse`): how expensive $S$ is, compared with $L$.
#
# > **Predict 2.6.** What does `spatial` = 0 mean, and what a very large one? With a very large `sparse`, $S$ stays
# > empty: which image is left? With a very small one, what ends up in $S$ beside the beating heart?

# %% tags=["deeper"]
weights = {"k-t TV": (classical.kt_tv, "spatial", (0, 0.05, 0.1, 0.2, 0.4, 0.8)),
           "L + S": (classical.low_rank_sparse, "sparse", (0.5, 1, 1.5, 2, 3, 4, 6, 8))}
moves = motion[..., first_column : first_column + x // 4].expand_as(part) > 0.05**2
for name, (method, parameter, values) in weights.items():
    tried = {"all pixels": [], "where it moves": []}
    for value in values:
        error = method(kspace_part, A, **{parameter: value}).abs() - part.abs()
        tried["all pixels"].append(-10 * error.square().mean().log10())
        tried["where it moves"].append(-10 * error[moves].square().mean().log10())
    display(plotting.curves(values, {f"{name}: PSNR (dB)": tried}, parameter))

# %% [markdown] tags=["deeper"]
# **Figure 2.6.** PSNR of a strip of columns around the heart against the weight, over all pixels and over those that
# move. The defaults (0.1 and 2) were chosen on other phantoms; `figures/classical` has all parameters.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 2.6</summary>
#
# With `spatial` = 0 every pixel is alone in time, and pixels that change lose most. A very large value makes the
# image flat. With a very large `sparse` only the low-rank part is left. With a very small one the aliasing, which
# flickers, passes as motion and ends up in $S$.
#
# </details>

# %% [markdown]
# ## 2.9 The ladder, by eye (6 min)
#
# > **Predict 2.7.** Draw the x-t profile of a beating wall for each method. Which one blurs it? Which makes steps?

# %%
recons = {"zero-filled": b, "temporal mean": classical.temporal_mean(kspace, A),
          "view sharing": classical.view_sharing(kspace, A), "L + S": ls, "k-t TV": tv}
films = {"reference": cine, **recons}
figure = plotting.xt_profiles(films, column=int(moving.sum(dim=0).argmax()))  # the column that moves most
figure.set_dpi(85)
figure

# %% [markdown]
# **Figure 2.7.** The marked column over time, by method.

# %% [markdown]
# <details><summary>Answer to 2.7</summary>
#
# The temporal mean blurs what moves. View sharing brings the motion back, with small steps and flicker. L + S and k-t
# TV are calmer, but smooth away what is faint and fast.
#
# </details>

# %%
# a box around what moves: the heart
where = moving.nonzero().float().mean(dim=0).round().int().tolist() if moving.any() else (y // 2, x // 2)
top, left = max(where[0] - y // 6, 0), max(where[1] - x // 6, 0)
box = {name: film[..., top : top + y // 3, left : left + x // 3] for name, film in films.items()}
del box["temporal mean"], box["zero-filled"]

# %%
scores = {name: metrics.cine_metrics(film[0], cine[0]) for name, film in recons.items()}
scores = {name: {key: s[key] for key in ("psnr", "ssim")} for name, s in scores.items()}
figure = plotting.cine_comparison(box, t // 3, reference="reference", scores=scores)
plotting.save(figure, figures / "02_ladder_images.png")
figure

# %% [markdown]
# **Figure 2.8.** The heart while it moves, and the error, five times brighter. The scores are those of the whole
# cine.

# %%
widgets.cine_viewer(box, errors_against="reference", column=x // 6)

# %% [markdown]
# **Figure 2.9.** The same in motion. Look for flicker.

# %% [markdown] tags=["report"]
# ## 2.10 The ladder, in numbers (9 min)
#
# One cine proves nothing. We take up to four test cines, each with a mask of its own, in two *worlds*.
#
# **Magnitudes.** Our cines and those of the report are stored as magnitudes, which are real. Then k-space is
# symmetric: $y(-k) = \overline{y(k)}$. A method can exploit this.

# %% [markdown] tags=["report"]
# **With a phase.** A scanner's image is complex. Coils, the magnetic field and flowing blood turn its phase. The
# magnitude stays the same, but the symmetry is gone.

# %%
train, val, test = data.split(cines, seed=seed)
few = test.subset(range(min(4, len(test)))).magnitudes()
worlds = {"magnitude": data.UndersampledCines(few, seed=seed + 2),
          "phase": data.UndersampledCines(few, seed=seed + 2, phase=1, vary=False)}

# %% tags=["nbval-check-output"]
for (_, A_magnitude, image), (_, A_phase, turned) in zip(*(some.batches(1) for some in worlds.values())):
    assert torch.equal(A_magnitude.mask, A_phase.mask)
    torch.testing.assert_close(turned.abs(), image.abs())
print("in both worlds: the same lines, the same magnitudes")

# %% [markdown] tags=["report"]
# New is *conjugate view sharing*. It estimates the phase and uses every line a second time, mirrored.
#
# > **Predict 2.8.** Which methods lose when the images have a phase?

# %%
names = ("zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing", "low_rank_sparse", "kt_tv")
rows = {world: {name: training.evaluate(getattr(classical, name), some, title=f"{name}, {world}")
                for name in names} for world, some in worlds.items()}
summaries = {world: {name: metrics.summarise(found) for name, found in rungs.items()}
             for world, rungs in rows.items()}
Markdown(results.ladder(summaries, ("psnr", "ssim", "psnr_dynamic")))

# %% [markdown]
# **Table 2.1.** Mean ± standard deviation over $n$ test cines: PSNR and SSIM per frame, and PSNR where the cine
# moves.

# %%
figure = plotting.ladder(summaries)
plotting.save(figure, figures / "02_ladder.png")
figure

# %% [markdown]
# **Figure 2.10.** The same ladder drawn. Compare all pixels with those that move.

# %%
for name in names:
    pairs = zip(rows["phase"][name], rows["magnitude"][name])
    change = torch.tensor([turned["psnr"] - real["psnr"] for turned, real in pairs])
    print(f"{results.NAMES[name]:22} a phase changes the PSNR of a cine by {change.mean():+.2f} dB "
          f"({change.min():+.2f} to {change.max():+.2f})")

# %% [markdown]
# <details><summary>Answer to 2.8</summary>
#
# The changes are printed above. Zero filling and copying assume nothing about the phase. A phase that stands still
# does not change the rank, so L + S minds little. k-t TV wants flat images. Conjugate view sharing assumes a slow
# phase, and what its estimate misses becomes an error.
#
# </details>

# %% [markdown]
# ### The lesson of the ladder
#
# This course grew from a student report (first reference) that compared its networks with zero filling alone. So it
# could not notice that copying lines reaches more, as the README shows for measured cines. **Always build the
# ladder first.**

# %%
record = {"profile": profile.name, "data": cines.source, "seed": seed}
results.record(figures / "02_aliasing.json", n_cines=len(few), worlds=summaries, **record)

# %% [markdown] tags=["deeper"]
# ## Deeper: A faulty preparation (1 min)
#
# Such tests find mistakes that no shape reveals.

# %% [markdown] tags=["deeper"]
# ### Exercise 2.3 · Find the bugs ★★★
#
# The function below gets raw images `(b, t, y, x)` in the units of a scanner, and a boolean tensor `(1, t, y, 1)` of
# the lines that were *skipped*. It has four mistakes. Repair it: `prepare(raw, skipped)` returns images whose largest
# magnitude is 1, their k-space on the measured lines, and the mask.
#
# *Hint:* count the mask, compare lengths, look for the brightest line, and put the images through $A$.

# %% tags=["deeper"]
def faulty(raw, skipped):
    kspace = torch.fft.fftshift(torch.fft.fft2(raw)) * skipped
    image = raw / raw.abs().max()
    return image, kspace, skipped


# %% tags=["hide-cell", "solution", "deeper"]
# Solution 2.3
def prepare(raw, skipped):
    """(images up to 1, their k-space, mask) from raw images (b, t, y, x) and lines skipped (1, t, y, 1)."""
    image, mask = raw / raw.abs().max(), ~skipped
    return image, mask * my_fft2c(image), mask


# %% tags=["deeper"]
exercises.check_2_3(prepare)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 2.3: the symptoms, in raw units 200 times ours
for function in (faulty, prepare):
    image, lines, used = function(200 * cine, ~mask)
    same_data = torch.allclose(operators.ForwardModel(used)(image), lines, atol=1e-4)
    print(f"{function.__name__}: mask keeps {int(used[0, 0].sum())} of {y} lines,",
          f"k-space {(lines.norm() / image.norm()).item():.2g} times as long as the image,",
          f"images give the data: {same_data}")

# %% [markdown] tags=["solution", "deeper"]
# The four mistakes: the mask says the opposite; the images are scaled after their k-space was made; `norm="ortho"` is
# missing; and the shift lacks its `dim` and its partner, the `ifftshift`. No shape is wrong, and a network would
# train on it. Put the images through $A$, and count the mask: the two find all four.

# %% [markdown] tags=["deeper"]
# ## Deeper: One line measured, two lines known (5 min)
#
# The symmetry of section 2.10 can be used by hand.

# %% [markdown] tags=["deeper"]
# ### Exercise 2.4 · The mirrored lines ★★★
#
# Our cines are real. What do you know about $y(-k)$ if you know $y(k)$? Write `mirrored(kspace, mask)`: it keeps
# every measured line, fills in every other line that follows from a measured one, and returns both, k-space and the
# mask of all lines that are known now. Then **predict** what view sharing and k-t TV make of it, without a phase and
# with one.
#
# *Hint:* write $F$ of a real image and conjugate it. $-k$ is the opposite in both directions, and zero is line `y //
# 2`.

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 2.4
def mirrored(kspace, mask):
    """(k-space, mask) of a real cine with all lines that are known from y(-k) = conj y(k)."""
    minus_y, minus_x = ((2 * (n // 2) - torch.arange(n)) % n for n in kspace.shape[-2:])
    opposite = kspace[:, :, minus_y][..., minus_x].conj()
    return torch.where(mask, kspace, opposite), mask | mask[:, :, minus_y]


# %% tags=["deeper"]
exercises.check_2_4(mirrored)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 2.4: as measured, with mirrored lines, and with mirrored lines after the phase was estimated
def compare(label, image):
    lines, known = mirrored(A(image), mask)
    cases = {"as measured": (A(image), A), "mirrored": (lines, operators.ForwardModel(known)),
             "phase estimated": classical.with_conjugates(A(image), A)}
    for case, (lines, model) in cases.items():
        shared = my_psnr(classical.view_sharing(lines, model), cine).mean()
        smooth = my_psnr(classical.kt_tv(lines, model), cine).mean()
        print(f"{label}, {case}: view sharing {shared:.2f} dB, k-t TV {smooth:.2f} dB")


angle = 1.5 * torch.linspace(-1, 1, y)[:, None].square() + 0.5
compare("real", cine)
compare("with a phase", cine * torch.polar(torch.ones_like(angle), angle))

# %% [markdown] tags=["solution", "deeper"]
# Without a phase, a measured line outside the centre often gives a second one. With a phase the mirrored lines belong
# to the conjugate image, and they ruin the result unless the phase is estimated first. So **magnitude images
# flatter**. A network that is trained on them learns this symmetry, too, and will miss it in raw data.

# %% [markdown] tags=["deeper"]
# ## Deeper: One reconstruction, many decibels (5 min)
#
# Papers differ in the peak of PSNR, in the crop, and in whether frames or whole cines are scored. `passport` scores
# one reconstruction under several conventions.
#
# > **Predict 2.9.** By how many decibels can the definition alone move one and the same image?

# %% tags=["deeper"]
from dmri_helpers.studies import passport

passports = {name: passport.passport(recons[name][0], cine[0]) for name in ("view sharing", "L + S", "k-t TV")}
figure = passport.figure(passports)
plotting.save(figure, figures / "02_passport.png")
results.record(figures / "02_passport.json", passports=passports, **record)
figure

# %% [markdown] tags=["deeper"]
# **Figure 2.11.** Three reconstructions of one cine under several definitions of PSNR. The legend gives the smallest
# and the largest value of each. Those of CMRxRecon look only at the middle of the image, where the heart is.

# %% tags=["deeper"]
for name, scored in passports.items():
    values = {row["convention"]: row["psnr"] for row in scored}
    low, high = min(values, key=values.get), max(values, key=values.get)
    print(f"{name}: {values[high] - values[low]:.1f} dB between {low} and {high}")

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 2.9</summary>
#
# By as many decibels as are printed above. So numbers of two papers can be compared only if their definitions agree.
#
# </details>

# %% [markdown] tags=["deeper"]
# ## Deeper: Data crimes (5 min)
#
# Stored images are not raw data. Whoever undersamples them may solve an easier problem without noticing it. Shimron
# and others (2022) call this a *data crime*. We commit some of them on phantoms that are innocent: complex, without
# noise, scaled as a whole.

# %% [markdown] tags=["deeper"]
# - **magnitude**: the magnitude is taken first;
# - **zero padded**: the images were interpolated by a factor 1.5 before they were stored;
# - **noisy data**, the control of the next row: noise on the lines alone;
# - **noisy reference**: the same noise in the reference, too;
# - **frame scaled**: every frame was divided by its own maximum.
#
# > **Predict 2.10.** Which of these raise the PSNR? Which one most?

# %% tags=["deeper"]
from dmri_helpers.data.phantom import cine_phantom
from dmri_helpers.studies import crimes

drawn = [cine_phantom(100 + i, profile.shape, noise=0, per_frame=False).complex_image for i in range(3)]
crime_rows = crimes.crimes(torch.stack([torch.from_numpy(one) for one in drawn]), seed=seed)
results.record(figures / "02_crimes.json", crimes=crime_rows, **record)
Markdown(crimes.table(crime_rows))

# %% [markdown] tags=["deeper"]
# **Table 2.2.** By how many decibels each crime changes the volume PSNR: the mean over three phantoms, and in
# brackets its 95 % interval (paired, Student's $t$). An interval that contains zero cannot tell.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 2.10</summary>
#
# Read the table. Zero padding leaves the outer lines empty, so leaving them out costs nothing. Magnitudes give
# k-space its symmetry. A noisy reference rewards a method that keeps the noise of the measured lines. Three phantoms
# leave wide intervals. The phantoms of the other sections are stored images, too: magnitudes, each frame scaled by
# itself.
#
# </details>

# %% [markdown]
# ## Summary
#
# 1. The forward model is $y = U F m$, its adjoint $F^{-1} U$. A dot-product test proves it.
# 2. Equal peaks of the point-spread function make ghosts. A low floor makes streaks.
# 3. PSNR has peak 1 and SSIM range 1, per frame, and where the heart moves.
# 4. View sharing copies lines. Compressed sensing takes turns between data and wish.
# 5. Magnitudes have a symmetry that a scanner's images lack.

# %% [markdown]
# ## References
#
# - Deep-Learning-Dynamic-MRI-Reconstruction. Report for BME1312, ShanghaiTech University; XiongWenye on GitHub.
# - Z. Wang et al. Image quality assessment. *IEEE Trans Image Process* 13:600, 2004.
# - M. Lustig et al. Sparse MRI. *Magn Reson Med* 58:1182, 2007.
# - R. Otazo et al. Low-rank plus sparse matrix decomposition for accelerated dynamic MRI. *Magn Reson Med*
#   73:1125, 2015.
# - A. Chambolle, T. Pock. A first-order primal-dual algorithm for convex problems. *J Math Imaging Vis* 40:120, 2011.
# - E. Shimron et al. Implicit data crimes. *PNAS* 119:e2117203119, 2022.
# - O. Bernard et al. Deep learning techniques for automatic MRI cardiac multi-structures segmentation and diagnosis.
#   *IEEE Trans Med Imaging* 37:2514, 2018.
#
# **Next:** [03_network](03_network.ipynb): a network that removes aliasing, piece by piece.
