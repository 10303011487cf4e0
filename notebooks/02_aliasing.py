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
# The first notebook decided which lines of k-space are measured. Here we look at the damage, put a
# number on it, and repair it with five methods that learn nothing. They are the bar for every
# network that follows.
#
# **When you are through, you can**
#
# 1. write the forward model $y = U F m$ and its adjoint, and *test* that they belong together;
# 2. predict from the point-spread function whether a mask makes ghosts or noise;
# 3. explain why every readout column is a problem of its own, and use it;
# 4. measure quality with PSNR and SSIM so that the numbers mean something;
# 5. reconstruct a cine by temporal mean, view sharing, k-t total variation and low rank plus sparse,
#    say what each of them costs the moving heart, and what their parameters do;
# 6. read a ladder in two worlds, and say which decibels come from stored images or from a definition.
#
# **You need** [01_sampling](01_sampling.ipynb), and complex numbers.
#
# **Time:** two and a half hours to work through; about two minutes to run on a laptop with two cores.

# %% [markdown]
# ## Set up

# %%
import torch
from IPython.display import Markdown, display

from dmri_helpers import (
    classical, data, exercises, fourier, metrics, operators, plotting, profiles, results, sampling,
    training, widgets,
)  # fmt: skip
from dmri_helpers.data.phantom import cine_phantom
from dmri_helpers.studies import crimes, passport

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# One cine to look at, and the mask of notebook 1: a fifth of the lines, 11 of them the centre.
# From here on a cine carries a batch axis in front, `(b, t, y, x)`, as the helpers expect it.

# %%
n, t, y, x = cines.shape
cine = cines[0][None].to(torch.complex64)
mask = sampling.ky_t_mask(cine.shape, acceleration=5, center_lines=11, seed=seed)
print(f"cine {tuple(cine.shape)} {cine.dtype}, mask {tuple(mask.shape)} {mask.dtype}")

# %% [markdown]
# ## 2.1 $F$: a Fourier transform that keeps its length
#
# Two conventions have to be settled once and for all.
#
# *Centred*: zero frequency at index `n // 2`, in k-space and in the image. PyTorch wants it at
# index 0, so we shift before and after. *Orthonormal*: divided by $\sqrt{N_y N_x}$, so that the
# transform keeps the length of a vector (Parseval's theorem) and its inverse is its adjoint:
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
# The innermost call shifts *back* (`ifftshift`), the outermost *forth* (`fftshift`). For even sizes
# the two are the same; with 191 lines, the wrong one is off by a pixel.

# %% tags=["nbval-check-output"]
exact = cine.to(torch.complex128)  # sums of many numbers need double precision
print("Parseval holds:", torch.allclose(my_fft2c(exact).norm(), exact.norm()))
print("the inverse undoes it:", torch.allclose(my_ifft2c(my_fft2c(exact)), exact))
odd = torch.randn(5, 7, dtype=torch.complex64)
print("also for odd sizes:", torch.allclose(my_ifft2c(my_fft2c(odd)), odd, atol=1e-5))

# %% [markdown]
# ## 2.2 $y = U F m$: the forward model, and $b = F^{-1} U F m$
#
# The scanner Fourier transforms (nature does that) and keeps the lines of the mask $U$:
#
# $$ y = U F m . $$
#
# The simplest image one can make of it leaves the missing lines at zero and transforms back:
#
# $$ b = F^{-1} y = F^{-1} U F m . $$
#
# This $b$ is called the *zero-filled* or *aliased* image.

# %%
kspace = mask * my_fft2c(cine)  # y = U F m
b = my_ifft2c(kspace)  # b = F^-1 U F m

A = operators.ForwardModel(mask)
torch.testing.assert_close(kspace, A(cine))
torch.testing.assert_close(b, A.adjoint(kspace))

# %% [markdown]
# > **Predict 2.1.** Four fifths of the lines are gone. What will the image look like? Choose before
# > you scroll: (a) an image with holes; (b) several shifted copies of the heart; (c) the heart
# > under noise-like streaks; (d) a blurred heart. And in which direction does the damage run?
#
# > **Assignment, part a.** *Form $b = F^{-1} U F m$ and show aliased images beside fully sampled
# > ones.*
#
# Two frames of our cine, each with its own mask:

# %%
beside = {"fully sampled": cine, "aliased (zero-filled)": b}
for frame in (0, t // 2):
    figure = plotting.cine_comparison(beside, frame=frame, mask=mask)
    figure.set_dpi(85)  # a notebook should stay light
    plotting.save(figure, figures / f"02_aliased_frame_{frame}.png")
    display(figure)

# %% [markdown]
# **Figure 2.1.** Fully sampled, aliased, and the mask of that frame, for two frames. The heart
# shines through, under a blur and streaks along $y$; nothing is displaced along $x$. Look closely:
# the streaks differ from frame to frame, since the mask is another.

# %% [markdown]
# ## 2.3 $A^H$: test the adjoint, do not believe it
#
# Write $A = U F$. Its adjoint $A^H = F^H U^H = F^{-1} U$ is defined by
#
# $$ \langle A m, y \rangle = \langle m, A^H y \rangle \quad\text{for all } m \text{ and } y . $$
#
# Iterative methods and networks with data consistency use $A^H$ in every step; if it is wrong by a
# shift or a factor, they still run and quietly converge to something else. The test takes five
# lines: draw any $m$ and any $y$, compute both sides.

# %% tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(seed)
m = torch.randn(cine.shape, dtype=torch.complex128, generator=generator)
z = torch.randn(cine.shape, dtype=torch.complex128, generator=generator)
left = torch.vdot(A(m).flatten(), z.flatten())
right = torch.vdot(m.flatten(), A.adjoint(z).flatten())
print("adjointness holds:", bool((left - right).abs() / left.abs() < 1e-10))

# %% [markdown]
# Do it whenever you write an operator. Three more facts follow from $U^2 = U$ and $F^H F = 1$:
#
# - $A^H A$ is a *projection*: undersampling an aliased image once more changes nothing;
# - the error $m - b$ is at right angles to $b$, so energies add: $\lVert m\rVert^2 =
#   \lVert b\rVert^2 + \lVert m-b\rVert^2$;
# - of all images that agree with the measured lines, $b$ is the one with the smallest norm. Zero
#   filling is not neutral: it claims that what was not measured is zero.

# %% tags=["nbval-check-output"]
b = A.normal(cine)  # A^H A m, one helper for both steps
again = (A.normal(b) - b).norm() / b.norm()
energies = (b.norm() ** 2 + (cine - b).norm() ** 2) / cine.norm() ** 2
print("undersampling twice changes anything:", again.item() > 1e-5)
print("energies add up to those of the cine:", abs(energies.item() - 1) < 0.01)  # single precision

# %% [markdown]
# ## 2.4 The point-spread function: ghosts or noise?
#
# Multiplying k-space by a mask is convolving the image with the mask's transform. Along $y$,
#
# $$ b(y) = \sum_{j} p(j)\, m(y - j), \qquad p = F_y^{-1} U / \sqrt{N_y} . $$
#
# $p$ is the *point-spread function*: the image of a single bright point. In words: **the aliased
# image is a sum of shifted copies of the true one**. Let us really add them up, for frame 0.

# %%
p = fourier.ifftc_y(mask.to(torch.complex64))[0, 0, :, 0] / y**0.5  # of frame 0, shape (y,)
copies = sum(p[j] * cine[0, 0].roll(j - y // 2, dims=0) for j in range(y))
torch.testing.assert_close(copies, b[0, 0], atol=1e-4, rtol=0)

# %% [markdown]
# So the shape of $p$ decides what aliasing looks like. Compare three ways to keep a fifth of the
# lines: every fifth line; as many, anywhere, at random; and ours with its full centre.
#
# > **Predict 2.2.** Sketch the three point-spread functions. How many peaks has the first, and how
# > far apart are they? Which of the three images could you clean up by eye?

# %%
every_fifth = ((torch.arange(y) - y // 2) % 5 == 0)[None, None, :, None].expand(1, t, y, 1)
uniform = torch.rand(1, t, y, 1, generator=generator).argsort(dim=2) < int(mask[0, 0].sum())
designs = {"every fifth line": every_fifth, "uniform random": uniform, "variable density": mask}
for name, design in designs.items():
    print(f"{name}: {int(design[0, 0].sum())} of {y} lines")


# %%
def spread_db(mask):
    p = fourier.ifftc_y(mask[:, :1].to(torch.complex64)).abs().flatten()
    return 20 * (p / p.max()).clamp(min=1e-3).log10()


spreads = {f"{name}: level (dB)": spread_db(design) for name, design in designs.items()}
plotting.curves(torch.arange(y) - y // 2, spreads, "shift along y (pixels)", share_y=True)

# %% [markdown]
# **Figure 2.2.** Point-spread functions in decibels (20 dB are a factor of ten in amplitude). Every
# fifth line: five peaks of nearly equal height, a fifth of the field apart (exactly equal if 5
# divided the number of lines). Uniform random: one peak over a floor of noise. Variable density: a
# broader peak, that is some blur, over a floor. The technical words are *coherent* and *incoherent*
# aliasing.

# %%
images = {}
for name, gain in (("every fifth line", 2), ("uniform random", 5)):  # both lose brightness
    images[f"{name} × {gain}"] = gain * operators.ForwardModel(designs[name]).normal(cine)
figure = plotting.cine_comparison(images, frame=0)
figure.set_dpi(85)
figure

# %% [markdown]
# **Figure 2.3.** Frame 0 under the two other masks, brightened by the factor in the title; fully
# sampled and under our own mask it is in Figure 2.1. Every fifth line gives five overlapping
# hearts: *ghosts*, as sharp as the heart itself, and nothing in the image tells which one is real.
# Uniform random sampling spreads the same energy into noise, but misses most of the centre, so
# brightness is wrong everywhere. Variable density keeps brightness and pays with blur and a mild
# noise. Noise-like errors can be told from anatomy; that is the reason for sampling at random.

# %% [markdown]
# ## 2.5 Every column is a problem of its own
#
# The mask has no $x$ axis: `(b, t, y, 1)`. The readout is complete, so $F_x$ is undone exactly,
#
# $$ b = F_y^{-1} F_x^{-1} U F_x F_y\, m = F_y^{-1} U F_y\, m , $$
#
# because $U$, constant along $k_x$, commutes with $F_x$. **No column ever learns of another.** So
# cropping columns before or after undersampling must give the same.

# %% tags=["nbval-check-output"]
strip = slice(x // 4, x // 2)
crop_last = A.adjoint(A(cine))[..., strip]  # two-dimensional transforms, whole width
crop_first = fourier.ifftc_y(mask * fourier.fftc_y(cine[..., strip]))  # one-dimensional, a strip
print("crop first or last, the same:", torch.allclose(crop_first, crop_last, atol=1e-5))

# %% [markdown]
# It is the cheapest speed-up there is: transforms along $k_y$ alone are enough, and a network may
# train on strips of columns and lose nothing. Along $y$ a crop would be wrong, since aliasing
# brings in what lies outside. `A.normal` and the training of notebooks 4 to 6 make use of it.

# %% [markdown]
# ## 2.6 How good is an image? Definitions, once
#
# With magnitudes in [0, 1], peak 1, reference $m$, reconstruction $\hat m$ and $N$ pixels:
#
# $$ \text{PSNR} = -10 \log_{10} \Big( \frac1N \sum \big(|\hat m| - |m|\big)^2 \Big) \text{ dB},
#    \qquad \text{NMSE} = \frac{\sum (|\hat m| - |m|)^2}{\sum |m|^2} . $$
#
# Plus 6 dB is half the error amplitude. **SSIM** compares brightness, contrast and structure in
# small windows; 1 is identical. Both come in three variants, and reports differ because they mix
# them:
#
# - *per frame*, then the mean over the frames: our default;
# - *volume*: the whole cine at once, with a three-dimensional SSIM window;
# - *dynamic*: only pixels whose reference moves (standard deviation over time above 0.05).

# %%
def my_psnr(recon, reference):
    return -10 * (recon.abs() - reference.abs()).square().mean(dim=(-2, -1)).log10()


scores = metrics.cine_metrics(b[0], cine[0])
assert abs(my_psnr(b, cine).mean().item() - scores["psnr"]) < 1e-3
for name, value in scores.items():
    print(f"{name:13s} {value:.3f}")

# %% [markdown]
# The mean over the frames (first line) and over the volume differ a little; the moving pixels are
# the worst. A still background is easy and flatters every method: **read the dynamic number**.
#
# ### A deliberate mistake: let the prediction set the scale
#
# PSNR needs a peak. Many scripts take it from the images at hand: `peak = recon.max()`. Now one
# single pixel of one frame goes wrong, a spike three times brighter than anything else.
#
# > **Predict 2.3.** The image got worse. What do the two scores do?

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
# The symptom: a score that *rises* when the image gets worse, and that compares nothing between two
# methods, for each brings its own ruler. Peak and `data_range` are 1 in this course, always passed,
# never guessed. SSIM has the same trap: its `data_range` sits in its constants.

# %% [markdown]
# ## 2.7 Five reconstructions that learn nothing
#
# All have one form, `reconstruct(kspace, A)`, and so will the networks. The first exists
# already: zero filling. The next two are yours.
#
# ### Temporal mean
#
# A line that frame $t$ did not measure was measured by some others. Take their mean:
#
# $$ \hat m_t = F^{-1}\Big( U_t y_t + (1 - U_t)\, \frac{\sum_s U_s y_s}{\sum_s U_s} \Big) . $$

# %%
def my_temporal_mean(kspace, A):
    mask = A.mask
    mean = kspace.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return fourier.ifft2c(torch.where(mask, kspace, mean))


kspace = A(cine)
torch.testing.assert_close(my_temporal_mean(kspace, A), classical.temporal_mean(kspace, A))

# %% [markdown]
# ### View sharing
#
# The mean over the whole beat mixes systole and diastole. Better take the line from the *nearest*
# frame that has it. The beat repeats, so the last frame is a neighbour of the first:
#
# $$ \hat m_t = F^{-1}\big( U_t y_t + (1 - U_t)\, y_s \big), \quad
#    s = \text{the nearest frame with } U_s = 1 . $$

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
# Both keep every line that was measured. You can check that of any method: put the result through
# $A$ and compare with the data. (A network of notebook 4 will fail this test.)

# %% tags=["nbval-check-output"]
for method in (classical.zero_filled, my_temporal_mean, my_view_sharing):
    error = (A(method(kspace, A)) - kspace).norm() / kspace.norm()
    print(f"{method.__name__} agrees with the measured lines: {error.item() < 1e-5}")

# %% [markdown]
# > **Predict 2.4.** Which of the two is better in the still chest wall? Which in the heart?
#
# ### k-t total variation
#
# Copying is crude. *Compressed sensing* says what a cine should be like, and looks for the cine
# that is most like it among all those that agree with the data:
#
# $$ \min_m\ \lVert D_t m \rVert_1
#    + \lambda \big( \lVert D_y m \rVert_1 + \lVert D_x m \rVert_1 \big)
#    \quad\text{such that}\quad U F m = y . $$
#
# $D$ are differences between neighbours. The sum of their *magnitudes* (not squares) is small if
# most pixels do not change from frame to frame and a few change a lot: just what we saw in
# Figure 1.1. There is no formula for the minimum. The helper approaches it step by step: pull the
# differences towards zero, put the measured lines back, repeat.
#
# ### Low rank plus sparse
#
# Another wish, and a good one for hearts. Write every frame as one row of a matrix, `t` rows of
# `y x` pixels. If nothing moved, all rows would be equal: rank one. Breathing and slow changes add a
# few more. What beats is left over, in few places, and periodic, so that its temporal spectrum has few
# large coefficients. So look for two films whose sum agrees with the data:
#
# $$ m = L + S, \qquad \min_{L,S}\ \lVert L \rVert_* + \lambda \lVert T S \rVert_1
#    \quad\text{such that}\quad U F (L + S) = y . $$
#
# $\lVert L \rVert_*$ is the sum of the singular values of the matrix; small means: few different
# frames are enough. $T$ is the Fourier transform over *time*. Both wishes have a simple step towards
# them, *soft-thresholding*: make every singular value (every coefficient) smaller by the same amount,
# and those below it zero. The method of Otazo et al. takes turns: shrink, shrink, put the data back.

# %%
def shrink_singular_values(part, threshold):
    u, s, v = torch.linalg.svd(part.reshape(t, -1), full_matrices=False)
    return ((u * (s - threshold).clamp(min=0)) @ v).reshape(part.shape)


def shrink_spectrum(part, threshold):
    spectrum = torch.fft.fft(part, dim=1, norm="ortho")
    spectrum = spectrum * (1 - threshold / spectrum.abs().clamp(min=1e-9)).clamp(min=0)
    spectrum[:, 0] = 0  # what does not move belongs to L alone
    return torch.fft.ifft(spectrum, dim=1, norm="ortho")


# %%
def my_low_rank_sparse(kspace, A, data_weight, iterations, sparse=2.0):
    image = classical.temporal_mean(kspace, A)
    scale, S = image.abs().max(), torch.zeros_like(image)  # the weights are meant for images up to 1
    for _ in range(iterations):
        L = shrink_singular_values(image - S, scale * image[0].numel() ** 0.5 / data_weight)
        S = shrink_spectrum(image - L, scale * sparse * t**0.5 / data_weight)
        image = L + S - A.adjoint(A(L + S) - kspace)
    return L, S


# %%
motion = cine.abs().std(dim=1, keepdim=True).square()  # (1, 1, y, x)
column = int(motion.sum(dim=2).argmax())  # the column that moves most
first = min(max(column - x // 8, 0), x - x // 4)
part = cine[..., first : first + x // 4]  # a quarter of the columns is enough for trying things out
kspace_part = A(part)
mine = sum(my_low_rank_sparse(kspace_part, A, data_weight=50, iterations=100))
helper = classical.low_rank_sparse(kspace_part, A, data_weight=50, iterations=1000, tolerance=1e-5)
print(f"relative difference to the helper: {((mine - helper).norm() / helper.norm()).item():.4f}")
assert (mine - helper).norm() < 0.01 * helper.norm()

# %% [markdown]
# Two quite different iterations (the helper's, Douglas-Rachford, keeps the data exactly and needs fewer
# steps) arrive at one minimum. That is the test for such methods: the minimum does not depend on the
# way to it. Now the whole cine, with data that are trusted completely. What are the two parts?

# %%
low_rank, rest = classical.low_rank_sparse_parts(kspace, A)
parts = {"L + S": low_rank + rest, "L: low rank": low_rank, "S × 3: sparse": 3 * rest}
figure = plotting.xt_profiles(parts, column=column)
figure.set_dpi(85)
figure

# %% [markdown]
# **Figure 2.4.** The two parts of one reconstruction: the column marked at the left, over time. $L$ holds
# the still tissue and a blurred heart that hardly moves; $S$ (magnitude, three times brighter) is
# dark except where something moves. Nobody told the method where the heart is.
#
# ### How both converge
#
# > **Predict 2.5.** Both start from the temporal mean. Is the best image always the last one?

# %%
def follow(method):
    """Reconstruct the cine; quality and change of every iterate, as many as the method may take."""
    psnr, change, previous = [], [], [classical.temporal_mean(kspace, A)]

    def watch(iteration, current):
        psnr.append(my_psnr(current, cine).mean().item())
        change.append(((current - previous[0]).norm() / current.norm()).log10().item())
        previous[0] = current

    return method(kspace, A, callback=watch), psnr, change


tv, tv_psnr, tv_change = follow(classical.kt_tv)
ls, ls_psnr, ls_change = follow(classical.low_rank_sparse)
longest = max(len(tv_psnr), len(ls_psnr))
fill = lambda values: [*values, *[float("nan")] * (longest - len(values))]  # noqa: E731
history = {"PSNR (dB)": {"k-t TV": fill(tv_psnr), "L + S": fill(ls_psnr)},
           "relative change (log10)": {"k-t TV": fill(tv_change), "L + S": fill(ls_change)}}
plotting.curves(range(1, longest + 1), history, "iteration")

# %% [markdown]
# **Figure 2.5.** Left: PSNR of the iterates; they start from the temporal mean. Right: how much an
# iteration still changes the cine, as a power of ten. Both stop once an iteration changes less than
# 0.001 (of the image for k-t TV, of $L$ and $S$ for the other), or after 100. The PSNR of k-t TV passes a
# summit and falls a little: the minimum of what we *wished for* is not the best image, since a heart is
# not exactly what we wished for. One cannot stop at the summit: at the scanner there is no reference.
#
# ### What the parameters do
#
# k-t TV has one weight, $\lambda$ (`spatial`): how much neighbours in *space* count beside neighbours in
# *time*. L + S has one too (`sparse`): how expensive $S$ is, compared with $L$.
#
# > **Predict 2.6.** What does `spatial` = 0 mean, what a very large one? With `sparse` very large, $S$
# > stays empty: which image is left? With `sparse` very small, $L$ may be simple and $S$ takes all: what
# > else, beside the beating heart, ends up in $S$?

# %%
weights = {"k-t TV": (classical.kt_tv, "spatial", (0, 0.05, 0.1, 0.2, 0.4, 0.8)),
           "L + S": (classical.low_rank_sparse, "sparse", (0.5, 1, 1.5, 2, 3, 4, 6, 8))}
moves = motion[..., first : first + x // 4].expand_as(part) > 0.05**2
for name, (method, parameter, values) in weights.items():
    tried = {"all pixels": [], "where it moves": []}
    for value in values:
        error = method(kspace_part, A, **{parameter: value}).abs() - part.abs()
        tried["all pixels"].append(-10 * error.square().mean().log10())
        tried["where it moves"].append(-10 * error[moves].square().mean().log10())
    display(plotting.curves(values, {f"{name}: PSNR (dB)": tried}, parameter))

# %% [markdown]
# **Figure 2.6.** PSNR of the strip of columns around the heart against the weight, over all pixels and
# over those that move. Without spatial variation the moving pixels lose most: a pixel that changes is
# rebuilt from nothing; too much of it flattens the image like a poor painter. `sparse` too small lets
# aliasing, which flickers, pass as motion; far to the right $S$ is empty, and what is left is low rank
# alone, hardly worse here: most of the gain comes from $L$. The defaults (0.1 and 2) were chosen on other
# phantoms; `figures/classical` has all parameters, over several phantoms and over real cines.

# %% [markdown]
# ## 2.8 The ladder, by eye
#
# > **Predict 2.7.** Draw the x-t profile of a beating wall for each of the five. Which flattens it?
# > Which makes steps?

# %%
recons = {"zero-filled": b, "temporal mean": classical.temporal_mean(kspace, A),
          "view sharing": classical.view_sharing(kspace, A), "L + S": ls, "k-t TV": tv}
films = {"reference": cine, **recons}
figure = plotting.xt_profiles(films, column=column)
figure.set_dpi(85)
figure

# %% [markdown]
# **Figure 2.7.** The column marked at the left, over time. *Zero-filled*: streaks that flicker from
# frame to frame. *Temporal mean*: still tissue is clean, but what moves is blurred, for only its
# coarse outline (the centre lines) belongs to the right frame. *View sharing*: motion is back, with
# small steps and flicker, for a line may come from several frames away. *L + S*: calmer, the fastest
# motion a little rounded. *k-t TV*: smooth and close to the reference; what is faint and fast is ironed
# out.

# %%
spots = torch.nn.functional.avg_pool2d(motion, (y // 8, x // 8), stride=1)[0, 0]
row, spot = divmod(int(spots.argmax()), spots.shape[1])  # where most moves
top, left = max(row + y // 16 - y // 6, 0), max(spot + x // 16 - x // 6, 0)
box = {name: film[..., top : top + y // 3, left : left + x // 3] for name, film in films.items()}
del box["temporal mean"], box["zero-filled"]

# %% [markdown]
# A box around the place where most moves, a third of the image high and wide. There is the heart.

# %%
scores = {name: metrics.cine_metrics(film[0], cine[0]) for name, film in recons.items()}
scores = {name: {key: s[key] for key in ("psnr", "ssim")} for name, s in scores.items()}
figure = plotting.cine_comparison(box, t // 3, reference="reference", scores=scores)
plotting.save(figure, figures / "02_ladder_images.png")
figure

# %% [markdown]
# **Figure 2.8.** The region of the heart while it moves; below, the magnitude of the error, five
# times brighter than the images. PSNR and SSIM above each image are those of the whole cine. Errors
# of view sharing are everywhere, like grain; those that remain further right are smaller and gather at
# edges and where something moves. (Zero filling and temporal mean would only be worse: left out here.)

# %%
widgets.cine_viewer(box, errors_against="reference", column=x // 6)

# %% [markdown]
# **Figure 2.9.** The same in motion, with the x-t profile of one column. Play it: the eye is
# merciless with flicker. Look at the wall of the left ventricle while it contracts, and drag the
# column slider across it.

# %% [markdown]
# ## 2.9 The ladder, in numbers
#
# One cine proves nothing. We take test cines (the split of all notebooks is 4 : 1 : 2 with this
# seed; at most four of them here, to save time), each with a mask of its own. Every method is
# measured twice, in two *worlds*.
#
# **Magnitudes.** The report's cines were stored as magnitudes, and so are ours: real numbers. The
# k-space of a real image is symmetric, $y(-k) = \overline{y(k)}$. A method can exploit this, even
# without being asked to. This is the report's protocol, and that of many papers.

# %% [markdown]
# **With a phase.** A scanner's image is complex. Coil, magnetic field and flowing blood turn its
# phase, here by up to 2.5 rad at the rim. The magnitude, which we look at, stays the same; the
# symmetry is gone. No method is given the phase. This world is closer to a scanner, though it
# still has one coil and no noise.

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

# %% [markdown]
# One rung is new. *Conjugate view sharing* uses every measured line a second time, mirrored, after
# it has estimated the phase (exercise 2.4).
#
# > **Predict 2.8.** Which rungs lose when the images have a phase? Which one loses most? Think of what
# > each method believes about a cine.

# %%
names = ("zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing", "low_rank_sparse", "kt_tv")
rows = {world: {name: training.evaluate(getattr(classical, name), some, title=f"{name}, {world}")
                for name in names} for world, some in worlds.items()}
summaries = {world: {name: metrics.summarise(found) for name, found in rungs.items()}
             for world, rungs in rows.items()}
Markdown(results.ladder(summaries, ("psnr", "ssim", "psnr_dynamic")))

# %% [markdown]
# **Table 2.1.** Mean ± standard deviation (with $n - 1$) over $n$ test cines: PSNR and SSIM per frame,
# and PSNR where the reference moves. Each stands once for magnitudes and once for the same cines
# with a phase.

# %%
figure = plotting.ladder(summaries)
plotting.save(figure, figures / "02_ladder.png")
figure

# %% [markdown]
# **Figure 2.10.** The same ladder. Compare the middle panel with the left one: in the moving pixels
# all values are lower, and temporal mean and view sharing are further apart, for there a mean over
# the beat is simply the wrong guess. What do these numbers say on *your* cines?

# %%
for name in names:
    pairs = zip(rows["phase"][name], rows["magnitude"][name])
    change = torch.tensor([turned["psnr"] - real["psnr"] for turned, real in pairs])
    seconds = sum(row["seconds"] for row in rows["magnitude"][name]) / len(few)
    print(f"{results.NAMES[name]:22} a phase changes the PSNR of a cine by {change.mean():+.2f} dB "
          f"({change.min():+.2f} to {change.max():+.2f}); {seconds:.2f} s per cine")

# %% [markdown]
# Zero filling, temporal mean and view sharing believe nothing about the phase, and change little. A phase that
# stands still does not change the rank of a cine, so low rank plus sparse hardly minds. k-t TV prefers
# flat images, and a phase makes them less flat. Conjugate view sharing believes that the phase is slow: each
# detail that its estimate misses becomes an error. Compare it with plain view sharing in the second block.

# %% [markdown]
# ### The lesson of the ladder
#
# This course grew from a student report on the same assignment (first reference below). Its better
# networks, two U-Nets of 31 million parameters each, trained for two hours on a graphics card,
# reach 29 to 32 dB on test cines out of 200 measured ones (PSNR of the whole cine). On 32 of those
# 200, with the report's mask and metric, **view sharing reaches 34.5 dB**: copying a line from a
# neighbouring frame, the eight lines of code you wrote above. The report could not notice: it
# compared with zero filling alone.

# %% [markdown]
# That is no reason to give up learning: there is room above this ladder. It is a reason to *always*
# build the ladder first. A method that was compared only with zero filling was compared with
# nothing.

# %% [markdown]
# ## 2.10 One reconstruction, many decibels
#
# PSNR has no single definition. Papers and challenges differ in the peak, in the crop, and in whether
# frames or whole cines are scored. `passport` scores one reconstruction under seven conventions.
#
# > **Predict 2.9.** By how many decibels can the definition alone move one and the same image?

# %%
passports = {name: passport.passport(recons[name][0], cine[0]) for name in ("view sharing", "L + S", "k-t TV")}
figure = passport.figure(passports)
plotting.save(figure, figures / "02_passport.png")
figure

# %%
for name, scored in passports.items():
    values = {row["convention"]: row["psnr"] for row in scored}
    low, high = min(values, key=values.get), max(values, key=values.get)
    print(f"{name}: {values[high] - values[low]:.1f} dB between {low} and {high}")
orders = {tuple(sorted(passports, key=lambda name: passports[name][k]["psnr"])) for k in range(len(values))}
print("orders of the three methods that occur:", *(" < ".join(order) for order in orders), sep="\n  ")

# %% [markdown]
# **Figure 2.11.** Three reconstructions of one cine under seven definitions of PSNR. The legend gives the
# smallest and the largest value of each. Every frame of a phantom has peak 1, so definitions that differ in
# the peak alone agree here. Those of CMRxRecon look only at the middle of the image, where the heart is.

# %% [markdown]
# So numbers of two papers can be compared only if their definitions agree. Whether two definitions can even
# order methods differently, the last lines say for this cine.

# %% [markdown]
# ## 2.11 Deeper: data crimes
#
# Stored images are not raw data. Whoever undersamples them may solve an easier problem without
# noticing; Shimron and others (2022) call this a *data crime*. We commit four of them on phantoms
# that are innocent: complex, without noise, scaled as a whole. Each row of the table changes one
# thing:

# %% [markdown]
# - **magnitude**: the magnitude is taken first;
# - **zero padded**: the images were interpolated by a factor 1.5 before they were stored;
# - **noisy data**, the control of the next row: noise on the lines alone;
# - **noisy reference**: the same noise in the reference, too;
# - **frame scaled**: every frame was divided by its own maximum.

# %% [markdown]
# > **Predict 2.10.** Which of these raise the PSNR? Which one most?

# %%
drawn = [cine_phantom(100 + i, profile.shape, noise=0, per_frame=False).complex_image for i in range(3)]
crime_rows = crimes.crimes(torch.stack([torch.from_numpy(one) for one in drawn]), seed=seed)
Markdown(crimes.table(crime_rows))

# %% [markdown]
# **Table 2.2.** By how many decibels each crime changes the volume PSNR: the mean over three phantoms,
# and its 95 % interval in brackets (paired, Student's $t$). An interval that contains zero does not
# tell.

# %% [markdown]
# **Zero padding** is the largest gift: the outer lines of an interpolated image are empty, so leaving them
# out costs nothing, and the better methods gain. **Magnitude** moves energy into the centre lines, which
# every frame has, and makes the outermost lines fuller: zero filling gains, k-t TV does not.

# %% [markdown]
# Compare the two rows with **noise**: a noisy reference rewards whoever keeps the noise of the measured
# lines, and can punish whoever removes it. **Frame scaling** changes the brightness from frame to frame;
# three phantoms cannot tell what that is worth. The phantoms of the other sections are stored images, too:
# magnitudes, each frame scaled by itself.

# %%
results.record(figures / "02_aliasing.json", profile=profile.name, data=cines.source, seed=seed,
                n_cines=len(few), worlds=summaries, passports=passports, crimes=crime_rows,
                iterations={"kt_tv": len(tv_psnr), "low_rank_sparse": len(ls_psnr)})

# %% [markdown]
# ## Exercises
#
# Each asks for a function. Write it in the cell below the question, then run the check: it tries your
# function on small examples and says what is right, or what is not. (In the teacher's form a solution
# lies below the question, folded away.)

# %% [markdown]
# ### Exercise 2.1 · How far away is the line?
#
# View sharing takes a missing line from the nearest frame that has it. How many frames away is that?
# Write `frames_away(mask)`: from a boolean mask `(b, t, y, 1)` a float32 tensor of the same shape. It is
# 0 where the line is measured, `inf` where no frame has it, and otherwise the distance in frames, back or
# ahead, whichever is nearer. The beat repeats.
#
# Then **predict**. Every frame gets the mask of frame 0: what are temporal mean and view sharing worth
# now? With different masks again, go faster, from acceleration 2 to 8: what happens to the two?
#
# *Hint:* begin with the largest distance there can be and end with 0; `roll` goes around the end.

# %% tags=["hide-cell", "solution"]
# Solution 2.1
def frames_away(mask):
    """Frames to the nearest one that has the line, cyclic; 0 where measured, inf if none: float32."""
    away = torch.full(mask.shape, torch.inf)
    for distance in range(mask.shape[1] // 2, -1, -1):
        away[mask.roll(distance, dims=1) | mask.roll(-distance, dims=1)] = distance
    return away


# %%
exercises.check_2_1(frames_away)

# %% tags=["hide-cell", "solution"]
# Solution 2.1: the same mask in every frame
same = mask[:, :1].expand_as(mask)
A_same = operators.ForwardModel(same)
kspace_same = A_same(cine)
print(f"lines that are nowhere: {int(frames_away(same)[0, 0].isinf().sum())} of {y}")
for method in (classical.temporal_mean, classical.view_sharing):
    equal = torch.allclose(method(kspace_same, A_same), A_same.adjoint(kspace_same), atol=1e-6)
    print(f"{method.__name__} equals zero filling: {equal}")

# %% tags=["hide-cell", "solution"]
# Solution 2.1: faster, with 5 centre lines, so that all accelerations are possible
accelerations, psnr_by_method, distances = (2, 3, 4, 5, 6, 8), {}, []
for acceleration in accelerations:
    faster = sampling.ky_t_mask(cine.shape, acceleration, center_lines=5, seed=seed)
    A_faster, away = operators.ForwardModel(faster), frames_away(faster)
    distances.append(away[(away > 0) & away.isfinite()].mean().item())
    for name in names[:3]:
        value = my_psnr(getattr(classical, name)(A_faster(cine), A_faster), cine).mean().item()
        psnr_by_method.setdefault(results.NAMES[name], []).append(value)
plotting.curves(accelerations, {"PSNR (dB)": psnr_by_method, "frames away": distances}, "acceleration")

# %% [markdown] tags=["solution"]
# A line that no frame measured cannot be borrowed. The gain of both methods comes *only* from masks
# that differ from frame to frame. Zero filling is far behind at every acceleration. At the highest ones
# view sharing loses much of its lead over the temporal mean: the faster one goes, the further away in
# time is the line that it copies.

# %% [markdown]
# ### Exercise 2.2 · Prove that they belong together
#
# Make a tool of the test of section 2.3, for any operator: `adjointness_gap(forward, adjoint, image_shape,
# kspace_shape, seed)` draws a random $m$ and a random $y$ and returns one number,
#
# $$ \frac{|\langle A m, y \rangle - \langle m, A^H y \rangle|}{|\langle A m, y \rangle|} . $$
#
# The two shapes need not agree: a forward model may store the sampled lines alone. Then **predict**.
# Forget `norm="ortho"` in the forward transform only. Which of these notices: the round trip
# `my_ifft2c(F(m)) == m`, Parseval, the gap? What if it is forgotten in both directions?
#
# *Hint:* `torch.vdot` conjugates its first vector. PyTorch's default divides by $N$ in the inverse and by
# nothing in the forward transform.

# %% tags=["hide-cell", "solution"]
# Solution 2.2
def adjointness_gap(forward, adjoint, image_shape, kspace_shape, seed):
    """Gap between <A m, y> and <m, A^H y> for random complex m and y, relative to <A m, y>: a number."""
    generator = torch.Generator().manual_seed(seed)
    m = torch.randn(image_shape, dtype=torch.complex128, generator=generator)
    y = torch.randn(kspace_shape, dtype=torch.complex128, generator=generator)
    left = torch.vdot(forward(m).flatten(), y.flatten())
    right = torch.vdot(m.flatten(), adjoint(y).flatten())
    return ((left - right).abs() / left.abs()).item()


# %%
exercises.check_2_2(adjointness_gap)

# %% tags=["hide-cell", "solution"]
# Solution 2.2: which test notices?
pairs = {"ortho, ortho": (my_fft2c, my_ifft2c),
         "default, ortho": (torch.fft.fft2, lambda k: torch.fft.ifft2(k, norm="ortho")),
         "default, default": (torch.fft.fft2, torch.fft.ifft2)}
for name, (forward, inverse) in pairs.items():
    round_trip = torch.allclose(inverse(forward(m)), m)
    parseval = torch.allclose(forward(m).norm(), m.norm())
    gap = adjointness_gap(forward, inverse, m.shape, m.shape, seed)
    print(f"{name}: round trip {round_trip}, Parseval {parseval}, adjoint {gap < 1e-10}")

# %% [markdown] tags=["solution"]
# Forgotten once, every test complains. Forgotten twice, the round trip is content, and only
# Parseval and the adjoint test see that the inverse is no longer the adjoint. A round trip alone
# proves little.

# %% [markdown]
# ### Exercise 2.3 · Find the bugs
#
# Raw images `(b, t, y, x)` come in the scanner's own units, and with a boolean tensor `(1, t, y, 1)` of the
# lines that were *skipped*. The function below makes of them what a network is trained with: images whose
# largest magnitude is 1, their k-space on the measured lines, and the mask. It runs without complaint,
# and has four mistakes. Repair it: `prepare(raw, skipped)` returns these three in this order, as
# complex64, complex64 and boolean.
#
# *Hint:* for each mistake there is a test in this notebook: count the mask, Parseval, the brightest line,
# and whether the images, put through $A$, give the data.

# %%
def faulty(raw, skipped):
    kspace = torch.fft.fftshift(torch.fft.fft2(raw)) * skipped
    image = raw / raw.abs().max()
    return image, kspace, skipped


# %% tags=["hide-cell", "solution"]
# Solution 2.3
def prepare(raw, skipped):
    """(images up to 1, their k-space, mask) from raw images (b, t, y, x) and lines skipped (1, t, y, 1)."""
    image, mask = raw / raw.abs().max(), ~skipped
    return image, mask * my_fft2c(image), mask


# %%
exercises.check_2_3(prepare)

# %% tags=["hide-cell", "solution"]
# Solution 2.3: the symptoms, in raw units 200 times ours
for function in (faulty, prepare):
    image, lines, used = function(200 * cine, ~mask)
    same_data = torch.allclose(operators.ForwardModel(used)(image), lines, atol=1e-4)
    print(f"{function.__name__}: mask keeps {int(used[0, 0].sum())} of {y} lines,",
          f"k-space {(lines.norm() / image.norm()).item():.2g} times as long as the image,",
          f"images give the data: {same_data}")

# %% [markdown] tags=["solution"]
# The four: the mask says the opposite of what the course says; the images are scaled after their k-space
# was made, so the two have different units; `norm="ortho"` is missing; and the shift lacks its `dim`, so
# it also moves the frames (and cines!), and lacks its partner, the `ifftshift` inside. No shape is wrong,
# and a network would train on all of it. Putting the images through $A$ and comparing with the data finds
# all but an inverted mask in one line; counting the mask finds that.

# %% [markdown]
# ### Exercise 2.4 · One line measured, two lines known?
#
# The cines of this course are magnitudes: real images. What does that say about $y(-k)$ when you
# know $y(k)$? Write `mirrored(kspace, mask)`: it keeps every measured line, fills in every other
# line that follows from a measured one, and returns the new k-space and the mask of all lines that are
# known now, in the shapes that they came in.
#
# How many lines per frame does our mask know then? **Predict** what view sharing and k-t total variation
# make of them. And what happens once the cine has a slow phase, as coils and field give it in a scanner?
# (`classical.with_conjugates` estimates such a phase first.)
#
# *Hint:* write $F$ of a real image and conjugate it; $-k$ is the opposite in both directions. The zero
# frequency is line `y // 2`; which line is as far from it as line `j`, on the other side? A phase:
# `torch.polar(one, angle)` with an angle that grows from top to bottom.

# %% tags=["hide-cell", "solution"]
# Solution 2.4
def mirrored(kspace, mask):
    """(k-space, mask) of a real cine with all lines that are known from y(-k) = conj y(k)."""
    minus_y, minus_x = ((2 * (n // 2) - torch.arange(n)) % n for n in kspace.shape[-2:])
    opposite = kspace[:, :, minus_y][..., minus_x].conj()
    return torch.where(mask, kspace, opposite), mask | mask[:, :, minus_y]


# %%
exercises.check_2_4(mirrored)

# %% tags=["hide-cell", "solution"]
# Solution 2.4: with and without a phase
angle = 1.5 * torch.linspace(-1, 1, y)[:, None].square() + 0.5
phased = cine * torch.polar(torch.ones_like(angle), angle)
def mirrored_lines(kspace, A):
    doubled, known = mirrored(kspace, A.mask)
    return doubled, operators.ForwardModel(known)


for label, image, doublings in (("real", cine, [mirrored_lines]),
                                ("with a phase", phased, [mirrored_lines, classical.with_conjugates])):
    cases = {"as measured": (A(image), A)} | {way.__name__: way(A(image), A) for way in doublings}
    for case, lines in cases.items():
        values = [my_psnr(method(*lines), cine).mean() for method in (classical.view_sharing, classical.kt_tv)]
        print(f"{label}, {case}: {int(lines[1].mask[0, 0].sum())} lines known in frame 0;",
              "view sharing {:.2f} dB, k-t TV {:.2f} dB".format(*values))

# %% [markdown] tags=["solution"]
# The $k$-space of a real image is symmetric, $y(-k) = \overline{y(k)}$, so most lines outside the
# centre give a second line for nothing. View sharing gains by it, k-t total variation less. With a
# phase the mirrored lines belong to the conjugate image: mirror them all the same, and the image is
# ruined. `with_conjugates` estimates the phase and turns it back, but the estimate is not perfect: view
# sharing gains less, and k-t total variation, which takes the mirrored lines for measured ones, loses.
# So **magnitude images flatter**: a network that is trained on them learns this symmetry, too, and will
# miss it in raw data. It is one reason to be careful with every decibel in this course.

# %% [markdown]
# ## What you take with you
#
# 1. The **forward model** is $y = U F m$, its adjoint $F^{-1} U$; the dot-product test proves that
#    they belong together, a round trip does not.
# 2. The **point-spread function** is the recipe of the aliasing: equal peaks make ghosts, a flat
#    floor makes noise. Random masks trade ghosts for noise.
# 3. The readout is complete, so **columns decouple**: transforms along $k_y$ are enough and crops
#    along $x$ are exact.
# 4. **PSNR with peak 1 and SSIM with data range 1**, per frame, and where the heart moves. A peak
#    guessed from the prediction rewards spikes.
# 5. **Temporal mean** is clean where nothing moves and smears what does; **view sharing** keeps
#    motion with some flicker; **k-t total variation** and **low rank plus sparse** say what a cine should
#    be like and iterate until the data agree. They are the bar for the networks.
# 6. **Two worlds**: magnitudes have a symmetry that a scanner's images lack, so every ladder has two columns.
#    A definition of PSNR, or a *data crime*, moves decibels without any better method.
#
# ## References
#
# - Deep-Learning-Dynamic-MRI-Reconstruction. Report for the course BME1312, ShanghaiTech
#   University; repository of XiongWenye on GitHub (the report this course grew from).
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli. Image quality assessment: from error
#   visibility to structural similarity. *IEEE Transactions on Image Processing* 13:600-612, 2004.
# - M. Lustig, D. Donoho, J. M. Pauly. Sparse MRI: the application of compressed sensing for rapid
#   MR imaging. *Magnetic Resonance in Medicine* 58:1182-1195, 2007.
# - R. Otazo, E. Candès, D. K. Sodickson. Low-rank plus sparse matrix decomposition for accelerated
#   dynamic MRI with separation of background and dynamic components. *Magnetic Resonance in Medicine*
#   73:1125-1136, 2015.
# - A. Chambolle, T. Pock. A first-order primal-dual algorithm for convex problems with applications
#   to imaging. *Journal of Mathematical Imaging and Vision* 40:120-145, 2011.
# - E. Shimron, J. I. Tamir, K. Wang, M. Lustig. Implicit data crimes: machine learning bias arising from
#   misuse of public data. *Proceedings of the National Academy of Sciences* 119:e2117203119, 2022.
# - O. Bernard et al. Deep learning techniques for automatic MRI cardiac multi-structures
#   segmentation and diagnosis: is the problem solved? *IEEE Transactions on Medical Imaging*
#   37:2514-2525, 2018 (the measured cines of the report).
#
# **Next:** [03_network](03_network.ipynb): a network that removes aliasing, piece by piece.
