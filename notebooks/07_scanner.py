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
# # 7 · Scanner: phase, coils and noise
#
# What changes when a scanner measures the heart, and what stays as it is?
#
# **When you are through, you can**
#
# 1. say what a phase does to k-space;
# 2. unfold two aliased pixels with two coils, on paper and in code;
# 3. write the forward model $y = U F S m + n$ and its adjoint, and test them;
# 4. say why SENSE makes noise stronger, and prewhiten data;
# 5. go from raw k-space to a movie, and recognise two typical mistakes.
#
# **You need** notebooks [02](02_aliasing.ipynb) (forward model, adjoint) and [06](06_unrolled_dc.ipynb) (data
# consistency).
#
# **Time:** reading and running about 60 minutes, exercises about 35, deeper sections about 18 and 15.

# %% [markdown]
# So far images were magnitudes, measured by one perfect coil. A scanner measures images with a phase, through several
# coils, and with noise. Only the forward model changes; every method stays.

# %% [markdown]
# ## Set up

# %%
from IPython.display import Markdown

from dmri_helpers import (
    calibration, classical, data, exercises, fourier, methods, metrics, operators, plotting, profiles, results,
    sampling, training, widgets,
)  # fmt: skip
from dmri_helpers.data.phantom import coils as coil_array
from dmri_helpers.data.phantom import phase as scanner_phase

import torch

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# Several coils cost several times the time, so at most two test cines are used. `fastest` is the
# [acceleration](../site/conventions.md#term-acceleration) of this notebook.

# %%
patients = len(cines) if cines.groups is None else len(set(cines.groups.tolist()))
test = data.split(cines, seed=seed)[2] if patients > 2 else cines  # what one patient brought cannot be split
few = test.subset(range(min(2, len(test)))).magnitudes()
n_lines, n_columns = cines.shape[2:]
fastest, n_coils, level = min(8, n_lines // 12), 8, 0.01
print(f"{len(few)} test cines, acceleration {fastest}, {n_coils} coils, noise {level}")

# %% [markdown]
# ## 7.1 Phase: two worlds (7 min)
#
# The image of a scanner is complex. Its *phase* comes from an uneven main field, from the coils, and from blood that
# flows. We draw such a phase and give it to a magnitude cine.

# %%
magnitude = few[0][None]
change = scanner_phase.changing(magnitude)  # blood has a phase where the image changes
image = magnitude * scanner_phase.phase([seed], magnitude.shape[1:], change=change)
torch.testing.assert_close(image.abs(), magnitude)

# %%
middle = (image[0, 0].sum() / image[0, 0].sum().abs()).conj()  # count the phase from its mean
angles = (image * middle).angle().where(magnitude.mean(1, keepdim=True) > 0.04, torch.nan)[0]
half = len(angles) // 2
plotting.maps({"frame 0": angles[0], f"frame {half}": angles[half]}, "phase (rad)", (-3.15, 3.15))

# %% [markdown]
# **Figure 7.1.** The phase of two frames, white where there is no signal. Where it leaves the scale at one end, it goes
# on at the other. Compare the two frames.

# %% [markdown]
# The [k-space](../site/conventions.md#term-k-space) of a real image is symmetric: $(Fm)(-k)$ is the complex conjugate
# of $(Fm)(k)$. The next cell measures how far a k-space is from this symmetry.

# %%
def asymmetry(image):
    """Norm of (Fm)(k) - conj (Fm)(-k), relative to that of Fm: 0 for real images."""
    kspace = fourier.fft2c(image)
    back = [1 - size % 2 for size in kspace.shape[-2:]]  # even sizes have no partner for the first line
    mirrored = kspace.flip((-2, -1)).roll(back, (-2, -1)).conj()
    return ((kspace - mirrored).norm() / kspace.norm()).item()


# %% tags=["nbval-check-output"]
assert asymmetry(magnitude) < 1e-4 and asymmetry(image) > 0.1
print("the k-space of magnitudes is symmetric, that of the image with a phase is not")

# %% [markdown]
# These are the two *worlds* of notebook 2. In the **magnitude world** k-space is computed from stored magnitudes. In
# the **scanner world** images have a phase.

# %% [markdown]
# > **Predict 7.1.** Conjugate view sharing mirrors every measured line. k-t total variation does not use symmetry. The
# > network `unrolled` was trained on images with and without a phase. Which of the three loses most by the phase?

# %%
names = ("view_sharing", "conjugate_view_sharing", "kt_tv", "unrolled")
worlds = {}
for world, strength in {"magnitude": 0, "phase": 1}.items():
    samples = data.UndersampledCines(
        few, acceleration=min(5, fastest), seed=seed, phase=strength, vary=False
    )
    found = {name: training.evaluate(methods.load(name), samples, title=name) for name in names}
    worlds[world] = {name: metrics.summarise(scores) for name, scores in found.items()}
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic")))

# %% [markdown]
# **Table 7.1.** The same cines and masks in both worlds, one coil, no noise. Compare the worlds row by row.

# %% [markdown]
# <details><summary>Answer to 7.1</summary>
#
# Table 7.1 says it. Conjugate view sharing has to estimate the phase, and loses where the estimate is wrong. k-t total
# variation prefers flat images, and a phase makes them less flat.
#
# </details>

# %% [markdown]
# ## 7.2 Two coils by hand (8 min)
#
# A receive [coil](../site/conventions.md#term-coil) is an antenna beside the body. Near tissue is bright in its image,
# and far tissue is dark. The [coil map](../site/conventions.md#term-coil-map) $S_c$ holds this sensitivity, a complex
# number for every pixel. The image of the coil is $S_c\, m$.

# %% [markdown]
# Take eight pixels in one column, and two coils: one sits above, the other below. We measure every second line of
# k-space. This is $R = 2$: on a regular lattice the acceleration is called $R$.

# %%
column = torch.tensor([0, 4, 2, 0, 0, 2, 1, 0.0])[:, None]  # (y, x) with a single x
above = torch.tensor([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])[:, None]
two_maps = torch.stack([above, above.flip(0)])  # (c, y, x)
every_second = (torch.arange(8) % 2 == 0)[:, None]
aliased = fourier.ifftc_y(fourier.fftc_y(two_maps * column) * every_second)
folded = 2 * aliased.real[:, :4, 0]
print(folded)

# %% [markdown]
# Half of the lines give half of the field of view, so pixel $i$ and pixel $i + 4$ lie on each other. (The factor 2
# makes up for the empty lines.) Pixel 1 of both coils reads:
#
# $$
# \begin{aligned}
# 0.7\, m_1 + 0.3\, m_5 &= 3.4 \\
# 0.2\, m_1 + 0.6\, m_5 &= 2.0
# \end{aligned}
# $$
#
# These are two equations for two unknowns, so **two coils can undo two-fold aliasing**. Solve them on paper first.

# %% tags=["nbval-check-output"]
system = two_maps[:, [1, 5], 0]  # rows: coils, columns: pixels
unfolded = torch.linalg.solve(system, folded[:, 1])
torch.testing.assert_close(unfolded, column[[1, 5], 0])
print("pixels 1 and 5 are", [round(value, 3) for value in unfolded.tolist()])

# %% [markdown]
# > **Predict 7.2.** Move the second coil step by step to the place of the first. What would a little noise in the data
# > do then?

# %%
for share in (0, 0.5, 0.9, 1):
    moved = torch.stack([system[0], (1 - share) * system[1] + share * system[0]])
    print(f"moved by {share:4.0%}: determinant {torch.linalg.det(moved).abs():.3f}")

# %% [markdown]
# <details><summary>Answer to 7.2</summary>
#
# The solution is divided by the determinant, and so is the noise. At the end both equations are the same, and nothing
# can be solved. Coils help as far as they *differ* at the pixels that lie on each other.
#
# </details>

# %% [markdown]
# ### Exercise 7.1 · Unfold ★★
#
# Write `unfold(folded, maps)` for $R = 2$ and any number of coils. `maps` has the shape `(c, y, x)`, complex. `folded`
# has the shape `(c, y/2, x)`: the sums of pixel $i$ and of the pixel half a field of view below, each times its
# sensitivity. Return the image `(y, x)` with the least squared difference to `folded`, 0 where no coil sees anything.
#
# *Hint:* for every pair of pixels the sensitivities are a matrix with one row per coil and two columns.
# `torch.linalg.pinv` works on a whole stack of matrices.

# %% tags=["hide-cell", "solution"]
# Solution 7.1
def unfold(folded, maps):
    """The image (y, x) of folded coil images (c, y/2, x) and coil maps (c, y, x), complex."""
    pairs = maps.unflatten(-2, (2, -1)).permute(2, 3, 0, 1)  # (y/2, x, c, 2)
    pixels = torch.linalg.pinv(pairs) @ folded.permute(1, 2, 0)[..., None]
    return pixels[..., 0].permute(2, 0, 1).flatten(0, 1)


# %%
exercises.check_7_1(unfold)

# %% [markdown] tags=["report"]
# ## 7.3 Eight coils (8 min)
#
# Eight loops lie around a chest. Their fields are computed by the law of Biot and Savart.

# %%
true_maps = coil_array.coil_maps(n_coils, (n_lines, n_columns), seed)  # (1, c, 1, y, x)
coil_images = (true_maps * image[:, None])[0, :, 0]
brightest = coil_images.abs().max()
figure = plotting.gallery([one.abs() / brightest for one in coil_images], [f"coil {c}" for c in range(n_coils)])
figure.set_dpi(65)  # a notebook should stay light
figure

# %% [markdown]
# **Figure 7.2.** Frame 0 as each coil sees it, all on one scale. Each is bright near its own place.

# %% [markdown]
# The *root sum of squares* $\sqrt{\sum_c |S_c m|^2}$ makes one image of them without any maps. Our maps are scaled so
# that their own root sum of squares is 1. Then it is exactly the magnitude of $m$.

# %%
root_sum_of_squares = coil_images.abs().square().sum(0).sqrt()
torch.testing.assert_close(root_sum_of_squares, magnitude[0, 0], atol=1e-5, rtol=1e-5)

# %% [markdown] tags=["report"]
# A scanner has to estimate its coil maps. It uses the
# [centre lines](../site/conventions.md#term-centre-lines) of k-space, which are enough because maps are smooth. The
# helper does this by ESPIRiT, and returns zero outside the body.

# %%
mask = sampling.ky_t_mask(image.shape, fastest, center_lines=11, seed=seed)
kspace = operators.ForwardModel(mask, true_maps)(image)
maps = calibration.coil_maps(kspace, mask)  # (1, c, 1, y, x)
support = maps[0, :, 0].abs().sum(0) > 0
agreement = (true_maps.conj() * maps).sum(1).abs()[0, 0]
print(f"inside the body the maps agree to {agreement[support].median():.3f} (median), where 1 is perfect")

# %% tags=["nbval-check-output"]
size = maps.abs().square().sum(1).sqrt()
assert ((size - 1).abs() < 1e-3).logical_or(size == 0).all()
print("the root sum of squares of the estimated maps is 1 in the body and 0 elsewhere")

# %%
shown = {"coil 0, true": true_maps[0, 0, 0], "coil 0, estimated": maps[0, 0, 0], "agreement": agreement}
plotting.maps(shown, "magnitude", (0, 1))

# %% [markdown]
# **Figure 7.3.** A true map, its estimate, and in each pixel the agreement of all maps, $|\sum_c \overline{S_c}\,
# \hat S_c|$. A phase that all maps share does not count, since it moves into the image.

# %% [markdown] tags=["report"]
# ## 7.4 The forward model with coils (3 min)
#
# $$
# y = U F S m + n
# $$
#
# $S$ multiplies the image by all coil maps, $F$ transforms each coil image, $U$ keeps the sampled lines, and $n$ is
# noise. k-space has an axis for coils, `(b, c, t, y, x)`. The mask has none, since all coils measure at once.

# %%
def forward(image, mask, coils):
    """y = U F S m: image (b, t, y, x), coils (b, c, 1, y, x), mask (b, t, y, 1)."""
    coil_images = coils * image[:, None]
    return fourier.fft2c(coil_images) * mask[:, None]


A = operators.ForwardModel(mask, maps)
torch.testing.assert_close(forward(image, mask, maps), A(image))

# %% [markdown]
# The [adjoint](../site/conventions.md#term-adjoint) takes the three in the opposite order: $A^H = S^H F^{-1} U$. Here
# $S^H$ multiplies each coil image by the conjugate of its map, and adds them. The dot-product test of notebook 2:

# %% tags=["nbval-check-output"]
exact = operators.ForwardModel(mask, maps.to(torch.complex128))
generator = torch.Generator().manual_seed(seed)
m = torch.randn(image.shape, dtype=torch.complex128, generator=generator)
z = torch.randn(kspace.shape, dtype=torch.complex128, generator=generator)
left = torch.vdot(exact(m).flatten(), z.flatten())
right = torch.vdot(m.flatten(), exact.adjoint(z).flatten())
torch.testing.assert_close(left, right)
print("adjointness holds with coils")

# %% [markdown]
# ### Exercise 7.2 · The adjoint ★
#
# Write `adjoint(kspace, mask, coils)`, which returns $A^H y$, shape `(b, t, y, x)`. Shapes are those of `forward`
# above. The check runs the dot-product test. Its k-space holds numbers on the lines that were *not* sampled, too.
#
# *Hint:* `mask[:, None]` adds the axis of the coils. Which of $U$, $F$ and $S$ is its own adjoint?

# %% tags=["hide-cell", "solution"]
# Solution 7.2
def adjoint(kspace, mask, coils):
    """A^H y, complex (b, t, y, x), of k-space (b, c, t, y, x)."""
    coil_images = fourier.ifft2c(kspace * mask[:, None])
    return (coils.conj() * coil_images).sum(1)


# %%
exercises.check_7_2(adjoint)

# %% [markdown]
# ## 7.5 SENSE and its price (3 min)
#
# [SENSE](../site/conventions.md#term-SENSE) is the hand calculation of section 7.2 for whole images. The least squares
# solution obeys the normal equations $A^H A\, m = A^H y$. *CG-SENSE* solves them by conjugate gradients, for any mask.

# %%
def sense(kspace, A, steps=25):
    return operators.conjugate_gradients(A.normal, A.adjoint(kspace), steps=steps, axes=(-2,))


def lattice(R, frames=1):
    """Every R-th line, the zero frequency among them, shape (1, frames, y, 1)."""
    return ((torch.arange(n_even) - n_even // 2) % R == 0)[None, None, :, None].expand(1, frames, -1, 1)


n_even = n_lines - n_lines % 4  # lines that 2 and 4 divide
body, known = support[:n_even], maps[..., :n_even, :]
frame = image[:, :1, :n_even] * body

# %% [markdown] tags=["report"]
# Noise $n$ is complex, and independent from sample to sample. $F$ keeps lengths, so noise of standard deviation 0.01 in
# k-space is noise of 0.01 in a fully sampled image. We add it, and reconstruct at $R = 2$ and $R = 4$.

# %%
noise = level * torch.randn(
    (1, n_coils, 1, n_even, n_columns), dtype=torch.complex64, generator=generator
)
B = operators.ForwardModel(lattice(2), known)
found = {"fully sampled": frame, "zero-filled, R = 2": 2 * B.adjoint(B(frame) + noise * B.lines)}
for R in (2, 4):
    B = operators.ForwardModel(lattice(R), known)
    found[f"SENSE, R = {R}"] = sense(B(frame) + noise * B.lines, B)

# %%
figure = plotting.cine_comparison(found, reference="fully sampled", error_scale=5)
figure.set_dpi(65)
figure

# %% [markdown]
# **Figure 7.4.** One frame: fully sampled, zero-filled (twice as bright, to make up for the empty lines), and SENSE,
# with errors five times brighter. Where is the noise of SENSE strongest?

# %% [markdown]
# With $R$ times fewer data, noise grows at least by $\sqrt R$. Where coils hardly differ, it grows more, as in the toy
# of section 7.2.

# %% [markdown] tags=["deeper"]
# ## Deeper: The g-factor (12 min)
#
# The *g-factor* says how much more noise SENSE has than fewer data explain:
#
# $$
# \sigma_\text{SENSE} = g\, \sqrt{R}\; \sigma_\text{full}, \qquad
# g_i = \sqrt{\bigl[(S^H S)^{-1}\bigr]_{ii}\, \bigl[S^H S\bigr]_{ii}} \ge 1 .
# $$
#
# Here $S$ is the matrix of section 7.2: a row for every coil, a column for every pixel of the stack.

# %% [markdown] tags=["deeper"]
# For $R = 2$ and maps of length 1 the inverse can be written down. Let $a = \sum_c \overline{S_c}\, S'_c$ be the
# *overlap* of the maps at the two pixels. Then $g = 1 / \sqrt{1 - |a|^2}$.

# %% [markdown] tags=["deeper"]
# > **Predict 7.3.** Eight coils surround the body. Where is $g$ largest: at the rim, or in the middle? And by how
# > much does $R = 4$ raise it?

# %% tags=["deeper"]
overlap = (known.conj() * known.roll(n_even // 2, -2)).sum(1)[0, 0]
by_formula = (1 - overlap.abs().square()).rsqrt()

# %% [markdown] tags=["deeper"]
# Another way needs no formula: reconstruct noise alone, many times, and look at the scatter of each pixel. Such
# *pseudo-replicas* work for every linear method.

# %% tags=["deeper"]
def by_replicas(R, replicas, steps):
    """The g-factor from repeated noise, shape (y, x)."""
    B = operators.ForwardModel(lattice(R, replicas), known)
    shape = (1, n_coils, replicas, n_even, n_columns)
    noise = torch.randn(shape, dtype=torch.complex64, generator=generator)
    return sense(noise * B.lines, B, steps)[0].abs().square().mean(0).sqrt() / R**0.5


g_maps = {
    "R = 2, formula": by_formula,
    "R = 2, replicas": by_replicas(2, 48, steps=10),
    "R = 4, replicas": by_replicas(4, 24, steps=25),
}
for name, g in g_maps.items():
    print(f"{name:16} median {g[body].median():.2f}, one pixel in twenty above {g[body].quantile(0.95):.2f}")

# %% tags=["nbval-check-output", "deeper"]
ratio = (g_maps["R = 2, replicas"] / by_formula)[body].median().item()
assert abs(ratio - 1) < 0.05
print("formula and replicas agree within 5 %")

# %% [markdown] tags=["deeper"]
# So few replicas give only a rough standard deviation. The g-factor is smooth, so for the picture we average its
# squares over 9 x 9 pixels.

# %% tags=["deeper"]
def smoothed(g):
    """Root of the mean square over 9 x 9 pixels of the body."""
    parts = torch.stack([g.square() * body, body.float()])[:, None]
    squares, weight = torch.nn.functional.avg_pool2d(parts, 9, stride=1, padding=4)[:, 0]
    return (squares / weight.clamp(min=1e-6)).sqrt().where(body, torch.nan)


at_two = {
    "R = 2, formula": by_formula.where(body, torch.nan),
    "R = 2, replicas": smoothed(g_maps["R = 2, replicas"]),
}
plotting.maps(at_two, "g-factor", (1, max(1.05, by_formula[body].quantile(0.99).item())))

# %% [markdown] tags=["deeper"]
# **Figure 7.5.** The g-factor at $R = 2$, by formula and by replicas. It is 1 where the partner of a pixel lies in air.

# %% tags=["deeper"]
at_four = {"R = 4, replicas": smoothed(g_maps["R = 4, replicas"])}
plotting.maps(at_four, "g-factor", (1, g_maps["R = 4, replicas"][body].quantile(0.98).item()))

# %% [markdown] tags=["deeper"]
# **Figure 7.6.** The g-factor at $R = 4$ by replicas, on a scale of its own. It has edges where the body ends, because
# there fewer pixels lie on each other.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 7.3</summary>
#
# The question has no clear answer, because $g$ belongs to the whole stack. At $R = 2$ both pixels of a pair have the
# same $g$, also when one lies at the rim and one in the middle. What counts is how alike the coils see the two. The
# printed numbers show how much $R = 4$ raises it.
#
# </details>

# %% [markdown] tags=["deeper"]
# How many coils are enough? The slider takes some of the eight, all around the body, and SENSE unfolds anew.
#
# > **Predict 7.4.** At $R = 4$, can three coils unfold anything? Where? And what happens to the g-factor of eight coils
# > when you take one away?

# %% tags=["deeper"]
widgets.coil_explorer(frame[0, 0], known[0, :, 0], acceleration=2, noise=level)

# %% [markdown] tags=["deeper"]
# **Figure 7.7.** One frame from every $R$-th line of some of the coils: zero-filled, unfolded by SENSE, its error, and
# its g-factor. Where $R$ pixels of the body lie on each other and fewer coils see them, the image stays empty.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 7.4</summary>
#
# A stack of four pixels needs four equations. Three coils unfold a stack only where one of its pixels is air; the line
# above the pictures says how much of the body stays empty. Fewer coils tell the pixels of a stack apart less well,
# so $g$ grows.
#
# </details>

# %% [markdown] tags=["deeper"]
# ### Exercise 7.3 · The g-factor for any R ★★★
#
# Write `g_factor(maps, R)`. From maps `(c, y, x)`, complex and of any scale, it makes the g-factor `(y, x)`, float32.
# `R` divides the number of lines $N_y$; the pixels of a stack are $N_y / R$ lines apart. Where no coil sees anything,
# $g$ is 0.
#
# *Hint:* make a stack of matrices `(y/R, x, c, R)`. `torch.linalg.pinv` has an inverse for singular matrices, too.

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 7.3
def g_factor(maps, R):
    """The g-factor (y, x), float32, of coil maps (c, y, x) on a lattice of every R-th line."""
    stacks = maps.unflatten(-2, (R, -1)).permute(2, 3, 0, 1)  # (y/R, x, c, R)
    gram = stacks.mH @ stacks
    inverse = torch.linalg.pinv(gram, hermitian=True)
    squared = (inverse.diagonal(dim1=-2, dim2=-1) * gram.diagonal(dim1=-2, dim2=-1)).real
    return squared.clamp(min=0).sqrt().permute(2, 0, 1).flatten(0, 1)


# %% tags=["deeper"]
exercises.check_7_3(g_factor)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 7.3: against the replicas at R = 4
ratio = g_maps["R = 4, replicas"][body] / g_factor(known[0, :, 0], 4)[body]
print(f"replicas over formula at R = 4: median {ratio.median():.2f}")

# %% [markdown]
# ## 7.6 How much noise is there? (8 min)
#
# The noise can be estimated from k-space itself. Far out on the [readout](../site/conventions.md#term-readout), and at
# fast changes over time, there is hardly any signal.

# %%
clean = operators.ForwardModel(mask, true_maps)(image)
for sigma in (0.005, 0.01, 0.02, 0.05):
    noisy = clean + sigma * mask[:, None] * torch.randn(
        clean.shape, dtype=torch.complex64, generator=generator
    )
    print(f"noise {sigma:.3f}, estimated {calibration.noise_level(noisy, mask).item():.4f}")

# %% [markdown] tags=["report"]
# Coils also share a part of their noise, since it comes from currents in the same body. The *noise covariance*
# $\Psi_{ij} = \langle n_i\, \overline{n_j} \rangle$ says how much. A scanner measures it before the scan, without
# any excitation.

# %%
covariance = coil_array.noise_covariance(n_coils, seed)
noise_scan = coil_array.coil_noise((1, n_coils, 1, 256, 64), covariance, level, seed)
heard = noise_scan[0].flatten(1)  # (c, samples)
measured_covariance = heard @ heard.mH / heard.shape[1]
plotting.maps(
    {"true": covariance, "from the noise scan": measured_covariance / level**2},
    "covariance", (0, 1), axes=("coil", "coil"),
)  # fmt: skip

# %% [markdown]
# **Figure 7.8.** Magnitude of the noise covariance, in units of the variance of one coil. Which coils share most?

# %% [markdown] tags=["report"]
# Least squares expects *white* noise: uncorrelated, and equally strong in all coils. *Prewhitening* mixes the coils
# until this holds. With the Cholesky factor $\Psi = C C^H$ the new data are $C^{-1} y$, and the new maps $C^{-1} S$.
# Whiten both, or neither.

# %% [markdown]
# > **Predict 7.5.** SENSE without prewhitening still removes all aliasing. What does it lose?

# %% tags=["nbval-check-output"]
white = coil_array.whitened(noise_scan, measured_covariance)[0].flatten(1)
torch.testing.assert_close(white @ white.mH / white.shape[1], torch.eye(n_coils) + 0j, atol=1e-3, rtol=0)
print("after whitening every coil has noise of variance 1, and no two coils share any")

# %%
B = operators.ForwardModel(lattice(4, frames=8), known)
shape = (1, n_coils, 8, n_even, n_columns)
correlated = coil_array.coil_noise(shape, covariance, level, seed + 1)
white_model = operators.ForwardModel(B.mask, coil_array.whitened(known, measured_covariance))
scatter = {
    "without prewhitening": sense(correlated * B.lines, B),
    "with prewhitening": sense(coil_array.whitened(correlated, measured_covariance) * B.lines, white_model),
}
strength = {name: images[0, :, body].abs().square().mean().sqrt() for name, images in scatter.items()}
assert strength["with prewhitening"] < strength["without prewhitening"]
for name, value in strength.items():
    print(f"noise in the image {name}: {value:.4f}")

# %% [markdown]
# <details><summary>Answer to 7.5</summary>
#
# It loses signal-to-noise, because its weights are not those of least variance. The image shows no mistake. It only has
# more noise than necessary, as the two printed numbers say.
#
# </details>

# %% [markdown]
# ### Exercise 7.4 · Whiten ★★
#
# Write `whiten(kspace, covariance)`. From k-space `(b, c, t, y, x)` and covariance `(c, c)`, both complex, it makes
# k-space of the same shape with noise of covariance 1. The check takes every solution $W$ with $W \Psi W^H = 1$.
#
# *Hint:* `torch.linalg.cholesky`, `torch.linalg.inv`, and `torch.einsum` to mix the coils.

# %% tags=["hide-cell", "solution"]
# Solution 7.4
def whiten(kspace, covariance):
    """k-space of the same shape, complex, with white noise of variance 1."""
    weights = torch.linalg.inv(torch.linalg.cholesky(covariance))
    return torch.einsum("cd,bd...->bc...", weights, kspace)


# %%
exercises.check_7_4(whiten)

# %% [markdown] tags=["report"]
# ## 7.7 The ladder in the scanner's world (10 min)
#
# Now everything comes together: a phase, eight coils with estimated maps, noise, and a high acceleration. Every method
# gets `(kspace, A)`, as before. Only the content of `A` is new.

# %%
samples = data.UndersampledCines(
    few, acceleration=fastest, seed=seed, phase=1, noise=level, coils=n_coils, vary=False, estimate_coils=True
)
scans = [samples[i] for i in range(len(samples))]
kspace, A, target = scans[0]
print(f"k-space {tuple(kspace.shape)}, maps {tuple(A.coils.shape)}, noise {A.noise.item():.3f}")

# %% [markdown]
# > **Predict 7.6.** CG-SENSE uses the coils, but only one frame at a time.
# > [View sharing](../site/conventions.md#term-view-sharing) uses time, but not the coils. k-t total variation uses
# > both. Put them in order, for the whole image and for the moving heart.

# %%
names = ("zero_filled", "temporal_mean", "cg_sense", "view_sharing", "kt_tv", "unrolled")
images, ladder = {}, {}
with torch.no_grad(), training.native_precision():
    for name in names:
        method = methods.load(name)
        images[name] = [method(measured, model)[0] for measured, model, _ in scans]

# %%
for name in names:
    pairs = zip(images[name], (truth[0] for *_, truth in scans))
    ladder[name] = metrics.summarise(metrics.cine_metrics(one, truth) for one, truth in pairs)
Markdown(results.table(ladder, ("psnr", "ssim", "nmse", "psnr_dynamic")))

# %% [markdown]
# **Table 7.2.** The ladder in the scanner's world: mean ± standard deviation over n cines. With so few cines it is an
# example and no comparison (`dmri evaluate` measures more).

# %%
figure = plotting.ladder({"": ladder})
plotting.save(figure, figures / "07_ladder.png")
results.record(
    figures / "07_ladder.json", profile=profile.name, data=cines.source, seed=seed, n_cines=len(few),
    sampling=samples.describe(), methods=ladder,
)  # fmt: skip
figure

# %% [markdown]
# **Figure 7.9.** The same ladder drawn. Compare the PSNR of the whole image with that of the moving heart.

# %% [markdown]
# <details><summary>Answer to 7.6</summary>
#
# Table 7.2 gives the order. Methods that use time can take still tissue from other frames; in the moving heart such a
# line comes from the wrong time. CG-SENSE has only the few lines of one frame, so its noise is strong. The network was
# trained with noise, but with one coil.
#
# </details>

# %%
beats = target[0].abs().std(0) > metrics.MOTION_THRESHOLD
busiest = int(beats.sum(0).argmax())  # the column in which most pixels move
shown = {"fully sampled": target[0]} | {results.NAMES[name]: images[name][0] for name in names[2:]}
plotting.xt_profiles(shown, busiest)

# %% [markdown]
# **Figure 7.10.** One column over time, through the heart. Look for edges that move, for noise, and for smearing over
# time.

# %%
movie = {name: shown[name] for name in ("fully sampled", "k-t TV", "unrolled")}
widgets.cine_viewer(movie, errors_against="fully sampled", error_scale=5, column=busiest)

# %% [markdown]
# **Figure 7.11.** Truth, k-t total variation and the cascade under one frame slider, with errors five times brighter.

# %% [markdown] tags=["deeper"]
# ### Deeper: The data step with coils (4 min)
#
# The data step of the cascade is $\arg\min_m \lVert m - x\rVert^2 + \lambda_\text{data} \lVert A m - y \rVert^2$
# (notebook 6). With several coils, `A.closest` solves it by a few conjugate gradients. So the same weights run with
# both models.

# %% tags=["nbval-check-output", "deeper"]
one_coil = operators.ForwardModel(A.mask)
with torch.no_grad():
    alone = methods.load("unrolled")(one_coil(target), one_coil)
assert alone[0].shape == images["unrolled"][0].shape
print("one coil or eight: the same weights, a cine of the same shape")

# %% [markdown] tags=["deeper"]
# Does each image agree with its data? With noise it *should not* agree completely. An image that is much closer to the
# data than the noise is has fitted noise.

# %% tags=["deeper"]
expected = level * A.lines.expand_as(kspace).sum().sqrt() / kspace.norm()
print(f"{'noise itself':14} {expected.item():.2%} of the data")
for name in names[2:]:
    misfit = (A(images[name][0][None]) - kspace).norm() / kspace.norm()
    print(f"{results.NAMES[name]:14} {misfit.item():.2%} away from its data")

# %% [markdown]
# ## 7.8 From raw k-space to a movie (10 min)
#
# A scanner gives us three things: k-space of all coils in units of its own, the mask, and a noise scan. First we make
# such data.

# %%
units = 4000.0
B = operators.ForwardModel(mask, true_maps)
raw_noise = coil_array.coil_noise(clean.shape, covariance, level, seed + 2)
raw = units * (B(image) + raw_noise * B.lines)
raw_noise_scan = units * noise_scan

# %% [markdown]
# From here on only `raw`, `mask` and `raw_noise_scan` are used.
#
# 1. Whiten, so that the noise has standard deviation 1.
# 2. Estimate the maps.
# 3. Scale the images to about 1, which networks and regularisers expect, and scale the noise alike.
# 4. Add to the noise what the estimated maps cannot explain.

# %%
def prepare(raw, mask, noise_scan):
    """From raw data to (kspace, A, noise): whitened, with estimated maps, for an image of order 1."""
    heard = noise_scan[0].flatten(1)
    kspace = coil_array.whitened(raw, heard @ heard.mH / heard.shape[1])
    maps = calibration.coil_maps(kspace, mask)
    scale = classical.temporal_mean(kspace, operators.ForwardModel(mask, maps)).abs().max()
    kspace, noise = kspace / scale, 1 / scale
    error = calibration.map_error(kspace, mask, maps)
    return kspace, operators.ForwardModel(mask, maps, (noise**2 + error**2).sqrt()), noise


kspace, A, noise = prepare(raw, mask, raw_noise_scan)
estimated = calibration.noise_level(kspace, mask).item()
print(f"noise {noise:.4f} from the noise scan, {estimated:.4f} estimated from the data")
print(f"with the error of the maps {A.noise.item():.4f}")

# %%
with torch.no_grad(), training.native_precision():
    films = {results.NAMES[name]: methods.load(name)(kspace, A)[0] for name in ("cg_sense", "unrolled")}
bright = max(film.abs().quantile(0.995).item() for film in films.values())
widgets.cine_viewer(films, window=(0, bright), column=busiest)

# %% [markdown]
# **Figure 7.12.** Two movies from raw data: CG-SENSE and the cascade. There is no truth to compare with. Look at edges
# and motion, since whitened coils change the brightness a little.

# %% [markdown]
# ### A mistake on purpose: the maps of another scan
#
# Maps depend on where the coils lie. We take those of another patient, whose coils lay a little differently.
# Everything runs, and no shape is wrong.

# %% [markdown]
# > **Predict 7.7.** What will SENSE at $R = 2$ show? And which number, computed without any truth, shows the mistake?

# %%
other_maps = coil_array.coil_maps(n_coils, (n_even, n_columns), seed + 5) * body
misfit, mistaken = {}, {"fully sampled": frame}
measured = operators.ForwardModel(lattice(2), known)(frame) + noise * lattice(2)[:, None]
for name, chosen in {"its own maps": known, "maps of another scan": other_maps}.items():
    B = operators.ForwardModel(lattice(2), chosen)
    mistaken[name] = sense(measured, B)
    misfit[name] = ((B(mistaken[name]) - measured).norm() / measured.norm()).item()
    print(f"{name:20} {misfit[name]:.1%} away from the data")

# %% tags=["nbval-check-output"]
assert misfit["maps of another scan"] > 1.5 * misfit["its own maps"]
print("wrong maps cannot explain the data: the misfit is far above the noise")

# %%
figure = plotting.cine_comparison(mistaken, reference="fully sampled", error_scale=5)
figure.set_dpi(65)
figure

# %% [markdown]
# **Figure 7.13.** SENSE at $R = 2$ with the right and with the wrong maps, errors five times brighter.

# %% [markdown]
# <details><summary>Answer to 7.7</summary>
#
# The image is shaded and keeps copies of the body. The misfit $\lVert A \hat m - y\rVert$ shows the mistake: no image
# explains these data with these maps. Forgotten prewhitening has no such sign. It only adds noise (section 7.6).
#
# </details>

# %% [markdown]
# ## Summary
#
# 1. **A phase** takes the symmetry from k-space. Every number belongs to the magnitude world or to the scanner's.
# 2. **Two coils** undo two-fold aliasing: there are two equations for every pair of pixels.
# 3. **The forward model** is $y = U F S m + n$, and its adjoint $S^H F^{-1} U$. No method changes.
# 4. **Noise** grows in SENSE, most where coils hardly differ. Prewhitening keeps it as small as possible.
# 5. **Raw data** are whitened, maps are estimated, and the image is scaled. Wrong maps raise the misfit; forgotten
#    whitening only adds noise.

# %% [markdown]
# ## References
#
# - P. B. Roemer, W. A. Edelstein, C. E. Hayes, S. P. Souza, O. M. Mueller: The NMR phased array. Magnetic Resonance
#   in Medicine 16:192, 1990.
# - K. P. Pruessmann, M. Weiger, M. B. Scheidegger, P. Boesiger: SENSE: sensitivity encoding for fast MRI. Magnetic
#   Resonance in Medicine 42:952, 1999.
# - K. P. Pruessmann, M. Weiger, P. Börnert, P. Boesiger: Advances in sensitivity encoding with arbitrary k-space
#   trajectories. Magnetic Resonance in Medicine 46:638, 2001.
# - M. Uecker et al.: ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI. Magnetic Resonance in Medicine
#   71:990, 2014.
# - M. A. Griswold et al.: Generalized autocalibrating partially parallel acquisitions (GRAPPA). Magnetic Resonance in
#   Medicine 47:1202, 2002.

# %% [markdown]
# **Next:** The course ends here. Go on with raw data of your own, or [beyond](../site/beyond.md) it, in one of six
# ways.
