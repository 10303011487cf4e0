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
# %% [markdown]
# # 6 · Unrolled: a network that may not contradict the data
#
# What changes when the measured lines are put back after every step of the network?
#
# **When you are through, you can**
#
# 1. measure how far an image contradicts its data;
# 2. derive hard and soft data consistency, and code both;
# 3. build a cascade and follow an image through it;
# 4. say what more cascades bring, and what they cost in time and memory;
# 5. read the ladder of this course in both worlds, and defend every rung.
#
# **You need** notebooks [02](02_aliasing.ipynb) (forward model, ladder) and
# [04](04_training.ipynb) (training).
#
# **Time:** reading and running about 50 minutes, exercises about 33, deeper sections about 25 and 11.

# %% [markdown]
# Nothing holds the network of notebook 4 to the measurement. Here network and data take turns, several times: the
# network proposes an image, and the data correct it. This is an *unrolled* network, and each turn is a
# [cascade](../site/conventions.md#term-cascade).

# %% [markdown]
# ## Set up

# %%
import json
from dataclasses import replace

from IPython.display import Markdown

from dmri_helpers import (
    classical, data, exercises, fourier, methods, metrics, networks, operators, plotting, profiles, results,
    runs, sampling, training, unrolled, widgets,
)  # fmt: skip

import torch

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# The split, the masks and the network are those of notebook 4. The network is loaded, or trained here if there is none.

# %%
train, val, test = data.split(cines, seed=seed)
config = profile.dual_unet_training
samples, validation_set, test_set = data.samples((train, val, test), config)
dual_unet, *_ = runs.trained(
    "dual_unet", profile.dual_unet, config, samples, validation_set, profiles.runs_folder()
)

# %% [markdown]
# ## 6.1 How far does the network contradict the data? (3 min)
#
# Take one test cine, reconstruct it, and measure the result again. If a reconstruction $\hat m$ agrees with its data,
# $A \hat m = U F \hat m$ is the measured [k-space](../site/conventions.md#term-k-space) $y$.
#
# > **Predict 6.1.** Which is further from its data: the
# > [zero-filled](../site/conventions.md#term-zero-filled) image, or the network's image, which looks better?

# %%
kspace, A, target = test_set[0]
mask, truth = A.mask, target[0].abs()
with torch.no_grad():
    painted = dual_unet(kspace, A)
for name, image in {"zero-filled": A.adjoint(kspace), "network": painted}.items():
    print(f"{name:12} {(A(image) - kspace).norm() / kspace.norm():.1%} away from its data")

# %% [markdown]
# <details><summary>Answer to 6.1</summary>
#
# The network's image. The zero-filled image contains nothing but its data, so it agrees with them. The network has
# changed lines that were measured without any error.
#
# </details>

# %% [markdown] tags=["report"]
# ## 6.2 Data consistency, derived (13 min)
#
# The network gives an image $x$, and the scanner gives the data $y$. We look for the image that is close to both. The
# weight $\lambda_\text{data}$ says how much the data count in this
# [data consistency](../site/conventions.md#term-data-consistency):
#
# $$
# m^\star = \arg\min_m \; \lVert m - x \rVert^2 + \lambda_\text{data}\, \lVert A m - y \rVert^2,
# \qquad A = U F .
# $$

# %% [markdown] tags=["report"]
# At the minimum the derivative is zero. This gives the *normal equations*:
#
# $$
# (1 + \lambda_\text{data} A^H A)\, m^\star = x + \lambda_\text{data} A^H y .
# $$
#
# But $A^H A = F^{-1} U F$. So after a Fourier transform of both sides every line $\ell$ of k-space has an equation of
# its own:
#
# $$
# (F m^\star)_\ell =
# \begin{cases}
# \dfrac{(F x)_\ell + \lambda_\text{data}\, y_\ell}{1 + \lambda_\text{data}} & \text{line } \ell \text{ was sampled,}
# \\[2ex]
# (F x)_\ell & \text{it was not.}
# \end{cases}
# $$

# %% [markdown]
# A toy has two lines, and only the first was sampled. The network says 3 and 5, the data say 1 and nothing.

# %%
of_network, measured = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 0.0])
sampled = torch.tensor([True, False])
for weight in (0, 1, 3, 1000):
    mixed = (of_network + weight * measured) / (1 + weight)
    print(f"weight {weight:4}:", torch.where(sampled, mixed, of_network))

# %% [markdown]
# As the weight grows, the sampled line goes to the measured value. The limit $\lambda_\text{data} \to \infty$ is
# **hard** consistency, which is right for data without noise. A finite weight gives **soft** consistency. In code:

# %%
def consistent(image, kspace, mask, weight):
    """Soft data consistency in k-space; an infinite weight gives hard consistency."""
    share = 1.0 if weight == torch.inf else weight / (1 + weight)
    of_image = fourier.fft2c(image)
    return fourier.ifft2c(torch.where(mask, of_image + share * (kspace - of_image), of_image))


# %% tags=["nbval-check-output"]
for weight in (0.5, 10.0, torch.inf):
    helper = unrolled.DataConsistency(weight)(painted, A.adjoint(kspace), A)
    torch.testing.assert_close(helper, consistent(painted, kspace, mask, weight), atol=1e-5, rtol=1e-5)
print("my consistency and the helper's agree, soft and hard")

# %% [markdown]
# The next cell inserts the result into both sides of the normal equations.

# %% tags=["nbval-check-output"]
soft, hard = (consistent(painted, kspace, mask, weight) for weight in (10.0, torch.inf))
left, right = soft + 10 * A.normal(soft), painted + 10 * A.adjoint(kspace)
torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)
torch.testing.assert_close(A(hard), kspace, atol=1e-4, rtol=1e-4)
print("soft: the normal equations hold;  hard: A m = y")

# %% [markdown]
# > **Predict 6.2.** We put the measured lines back into the network's image, once. A fifth of k-space changes. By how
# > many decibels does the PSNR rise?

# %%
def with_consistency(kspace, A):
    return consistent(dual_unet(kspace, A), kspace, A.mask, torch.inf)


rows = {"dual_unet": training.evaluate(dual_unet, test_set, title="network")}
rows["dual U-Net + data"] = training.evaluate(with_consistency, test_set, title="network + data")
summary = {name: metrics.summarise(of) for name, of in rows.items()}
Markdown(results.table(summary))

# %% [markdown]
# **Table 6.1.** The network of notebook 4 on the test cines, alone and with one data step behind it.

# %% [markdown]
# <details><summary>Answer to 6.2</summary>
#
# By the difference of the two rows. All of it comes from the measured lines, whose error is now zero. The error on the
# other lines stays.
#
# </details>

# %% [markdown]
# > **Predict 6.3.** The explorer corrects three wrong images with the data of one frame.
# >
# > - (a) At weight 1, what happens to the error on the measured lines? And on the others?
# > - (b) From which weight on do you see no difference to $\infty$?
# > - (c) The image is that of another frame. Will the heart stand in the right position?

# %%
later = target[0, 3 + target.shape[1] // 2]  # half a beat on
wrong = {"network": painted[0, 3], "another frame": later, "zero": torch.zeros_like(later)}


widgets.consistency_explorer(wrong, target[0, 3], mask[0, 3])

# %% [markdown]
# **Figure 6.1.** The corrected image, its error, and its error in k-space. Move the weight: only the measured rows of
# k-space get darker.

# %% [markdown]
# <details><summary>Answer to 6.3</summary>
#
# (a) The error on the measured lines is halved. The others never change.
#
# (b) At 10 the share of the data is 10/11, and the picture hardly changes any more.
#
# (c) Coarsely, yes: the centre lines are measured in every frame. Fine detail is still that of the other frame.
#
# </details>

# %% [markdown]
# ### Exercise 6.1 · A weight for every line ★★
#
# A scanner may measure some lines several times. Then each line $\ell$ has its own weight $\lambda_\ell$, and we
# minimise
#
# $$
# \lVert m - x \rVert^2 + \sum_{\ell \text{ sampled}} \lambda_\ell \, \bigl| (F m)_\ell - y_\ell \bigr|^2 .
# $$
#
# Derive the normal equations on paper. Then write `soft_consistency(image, kspace, mask, weight)`, which returns the
# complex cine `(b, t, y, x)`. The `weight` is a number or a tensor `(b or 1, t, y, 1)`, from 0 to infinity. What does
# it return for 0, and for infinity?
#
# *Hint:* $\lambda_\ell / (1 + \lambda_\ell)$ is not a number at infinity. Write this share in another way, without
# `if`.

# %% tags=["hide-cell", "solution"]
# Solution 6.1
def soft_consistency(image, kspace, mask, weight):
    """Cine closest to an image and its data, complex (b, t, y, x); weight: a number or one per line."""
    share = 1 - 1 / (1 + torch.as_tensor(weight))
    of_image = fourier.fft2c(image)
    return fourier.ifft2c(torch.where(mask, of_image + share * (kspace - of_image), of_image))


# %%
exercises.check_6_1(soft_consistency)

# %% [markdown] tags=["solution"]
# Every line still has an equation of its own. A sampled line becomes
# $\bigl((F x)_\ell + \lambda_\ell y_\ell\bigr) / (1 + \lambda_\ell)$. At weight 0 the image stays as it is. At
# infinity the line is that of the data. Lines that were not sampled do not appear in the sum, and stay.

# %% [markdown]
# ### Exercise 6.2 · When is soft better than hard? ★★
#
# On the measured lines the network is wrong by `error`, and the data by `noise`: two standard deviations of independent
# errors. Write `best_weight(error, noise)`, the weight $\lambda_\text{data}$ that leaves the smallest error, a number.
# `noise` is above 0. What is it for equal errors, and for nearly no noise?
#
# *Hint:* let $s = \lambda_\text{data} / (1 + \lambda_\text{data})$ be the share of the data. The variance of what is
# left is $(1-s)^2 \, \text{error}^2 + s^2 \, \text{noise}^2$. Find the best $s$ first.

# %% tags=["hide-cell", "solution"]
# Solution 6.2
def best_weight(error, noise):
    """The weight of the data that leaves the smallest error on measured lines, a number."""
    return (error / noise) ** 2


# %%
exercises.check_6_2(best_weight)

# %% tags=["hide-cell", "solution"]
# Solution 6.2: the network's image, made consistent with data with and without noise
def error_on_lines(image):
    return ((fourier.fft2c(image - target) * mask).norm() / fourier.fft2c(target).norm()).item()


generator = torch.Generator().manual_seed(seed)
noise = 0.02 * torch.randn(kspace.shape, dtype=torch.complex64, generator=generator) * mask
error = ((A(painted) - kspace).abs().square().sum() / mask.expand_as(kspace).sum()).sqrt().item()
best = best_weight(error, 0.02)
print(f"the network is wrong by {error:.3f}, so the best weight for noise of 0.02 is {best:.2f}")
print("error on measured lines\n weight   without noise   with noise")
for weight in sorted((0.1, 1.0, best, 100.0, torch.inf)):
    images = [consistent(painted, data_, mask, weight) for data_ in (kspace, kspace + noise)]
    print("{:7.2f} {:15.5f} {:12.5f}".format(weight, *(error_on_lines(image) for image in images)))

# %% [markdown] tags=["solution"]
# The best weight is the ratio of the two variances. For equal errors it is 1. Without noise it is infinite, and hard
# consistency is right. In practice nobody knows the error of the network on a new patient, and it differs from line
# to line. A cascade can learn the weight (`learnable_weight=True`).

# %% [markdown] tags=["report"]
# ## 6.3 The cascade (3 min)
#
# Now the network works on the corrected image, and the data correct it again. The whole is trained together:
#
# $$
# x_0 = \text{start}(y), \qquad
# x_{k+1} = \mathrm{DC}\bigl(r_k(x_k),\, y\bigr), \qquad k = 0, \dots, K-1 .
# $$
#
# DC is the data step of section 6.2, and $r_k$ is the network of cascade $k$.

# %% [markdown] tags=["report"]
# Each $r_k$ is a small 3-D network (notebook 3): convolutions over time and image, and a residual path, which adds the
# input to their result. The start is the temporal mean. This algorithm is due to Schlemper and others (2018). The
# variational network of Hammernik and others (2018) is similar.

# %%
def run_cascade(model, kspace, A):
    image = classical.temporal_mean(kspace, A)
    for regulariser in model.regularisers:
        image = consistent(regulariser(image), kspace, A.mask, torch.inf)
    return image


# %% tags=["nbval-check-output"]
sketch = unrolled.Unrolled(lambda: networks.ResNet3D(4), 3, start=classical.temporal_mean)
torch.nn.init.normal_(sketch.regularisers[0].last.weight, std=0.1)
with torch.no_grad():
    torch.testing.assert_close(run_cascade(sketch, kspace, A), sketch(kspace, A), atol=1e-4, rtol=1e-3)
print("my cascade and the helper's agree")

# %% [markdown]
# ## 6.4 More cascades: quality, time, memory (8 min)
#
# > **Assignment, part e.** Cascades with data consistency, their number increased, images, PSNR
# > and SSIM: sections 6.3 to 6.6.

# %% [markdown]
# > **Predict 6.4.** We train cascades of different length on the same cines, each for the same
# > number of epochs. Does quality grow in proportion to their number? Does memory?

# %%
config = profile.unrolled_training
samples, validation_set, _ = data.samples((train, val, test), config)
models, logs = {}, {}
for cascades in profile.cascades:
    network = replace(profile.unrolled, cascades=cascades)
    models[cascades], logs[f"{cascades} cascades"], folder = runs.trained(
        f"cascades_{cascades}", network, config, samples, validation_set, profiles.runs_folder()
    )

# %%
plotting.loss_curves(logs)

# %% [markdown]
# **Figure 6.2.** Training and validation loss, validation PSNR and learning rate. At epoch 0 all networks return the
# temporal mean, since every $r_k$ starts as the identity.

# %% [markdown]
# The backward pass needs the intermediate results of the forward pass, so PyTorch keeps them in memory.
# `results.peak_memory` measures how much one training step holds at most.

# %%
def training_step(model):
    kspace, A, target = samples[0]
    (model.train()(kspace, A) - target).abs().mean().backward()
    model.eval()


# %%
for cascades, model in models.items():
    rows[f"{cascades} cascades"] = training.evaluate(model, test_set, title=f"{cascades} cascades")
length = list(profile.cascades)
quality = [metrics.summarise(rows[f"{k} cascades"]) for k in length]
seconds = [sum(row["seconds"] for row in rows[f"{k} cascades"]) / len(test) for k in length]
memory = [results.peak_memory(lambda: training_step(models[k])) / 2**20 for k in length]

# %% [markdown] tags=["report"]
# *Checkpointing* keeps only the image between two cascades, and computes the inside of a cascade again when the
# backward pass needs it. This saves memory and costs time.

# %% tags=["report"]
saving = []
for cascades in length:
    twin = methods.build(replace(profile.unrolled, cascades=cascades, checkpointing=True))
    saving.append(results.peak_memory(lambda: training_step(twin)) / 2**20)
print("cascades    PSNR       time      memory   with checkpoints")
for row in zip(length, (q["psnr"]["mean"] for q in quality), seconds, memory, saving):
    print("{:5} {:9.2f} dB {:7.2f} s {:7.0f} MiB {:9.0f} MiB".format(*row))

# %%
panels = {
    "PSNR (dB)": [q["psnr"] for q in quality],
    "dynamic PSNR (dB)": [q["psnr_dynamic"] for q in quality],
    "time per cine (s)": seconds,
    "memory in training (MiB)": memory,
}
figure = plotting.quality_against(length, panels, xlabel="cascades")
plotting.save(figure, figures / "06_cascades.png")
figure

# %% [markdown]
# **Figure 6.3.** Quality, time per cine and memory in training against the number of cascades. The bars say how much
# the test cines differ (standard deviation), not how sure the comparison is.

# %% [markdown]
# <details><summary>Answer to 6.4</summary>
#
# Every further cascade needs the same memory. Quality does not grow like this: compare what the second cascade brings
# with what the last one brings. Each length was trained once, so a small step may be chance.
#
# </details>

# %%
def middle(cine):
    y, x = cine.shape[-2:]
    return cine[..., y // 4 : -(y // 4), x // 4 : -(x // 4)]


with torch.no_grad():
    found = {f"{k} cascades": model(kspace, A)[0] for k, model in models.items()}
scores = {name: {"psnr": metrics.cine_metrics(cine, truth)["psnr"]} for name, cine in found.items()}
shown = {name: middle(cine) for name, cine in ({"fully sampled": truth} | found).items()}
figure = plotting.cine_comparison(shown, frame=3, reference="fully sampled", scores=scores, error_scale=10)
figure.set_dpi(80)  # a notebook should stay light
figure

# %% [markdown]
# **Figure 6.4.** The middle of one frame, with errors ten times brighter than the image (PSNR: of the whole cine).
# Where do errors stay longest? Look at the edges that move.

# %% [markdown]
# ## 6.5 Through the cascade (6 min)
#
# We follow one test cine through the longest of these networks. Before and after each data step we measure the error in
# k-space, on the measured lines and on the others.

# %%
model = models[length[-1]]
with torch.no_grad():
    iterates = list(model.iterates(kspace, A))
    proposals = [regulariser(x) for regulariser, x in zip(model.regularisers, iterates)]


def relative_error(image, lines):
    return ((fourier.fft2c(image - target) * lines).norm() / fourier.fft2c(target).norm()).item()


# %% tags=["report"]
print("cascade   measured lines          other lines          PSNR")
print("          network   + data        network   + data")
for k, (proposal, image) in enumerate(zip(proposals, iterates[1:]), 1):
    errors = [relative_error(x, lines) for lines in (mask, ~mask) for x in (proposal, image)]
    psnr = metrics.cine_metrics(image[0], truth)["psnr"]
    print("{:4}      {:.4f}    {:.4f}        {:.4f}    {:.4f}      {:.2f} dB".format(k, *errors, psnr))

# %% tags=["nbval-check-output"]
for proposal, image in zip(proposals, iterates[1:]):
    assert relative_error(image, mask) < 1e-5  # what was measured is right after every step
    assert abs(relative_error(image, ~mask) - relative_error(proposal, ~mask)) < 1e-5
print("consistency repairs the measured lines and leaves the others alone")

# %% [markdown] tags=["report"]
# Read the table by columns. On the measured lines each $r_k$ does some damage, and the data repair it completely. On
# the other lines the data step changes nothing, so all progress there comes from the $r_k$.

# %%
frame = 3
through = torch.stack([x[0, frame].abs() for x in iterates])
reference = truth[frame].expand_as(through)
widgets.cine_viewer(
    {"fully sampled": reference, "cascade by cascade": through}, errors_against="fully sampled", error_scale=10,
    milliseconds=600,
)  # fmt: skip

# %% [markdown]
# **Figure 6.5.** One frame. The slider moves over *cascades*, not over time; position 0 is the start. Watch the error
# shrink where the heart moves.

# %% [markdown] tags=["deeper"]
# ## Deeper: What the report's mistakes cost (5 min)
#
# The seed report unrolled its network, too. By its own numbers it reached 28.87 dB with two cascades and 29.08 dB
# without. Notebook 5 shows why so small a difference between two runs may be chance.

# %% [markdown] tags=["deeper"]
# Its cascades differ from ours in several things. `dmri study cascade_mistakes` trained one small cascade as it should
# be, and others that repeat one mistake each, all with the same cines, seeds and training:
#
# - **no residual path**: every network draws the whole image anew;
# - the same, with a **sigmoid** at the end of every network;
# - **magnitude**: every network is shown a magnitude, and returns one;
# - **another mask** in every data step (section 6.7);
# - **one mask** for all cines and epochs.

# %% [markdown] tags=["deeper"]
# > **Predict 6.5.** Order the mistakes by what they cost. Which cost more in the scanner's world than on magnitudes?

# %% tags=["deeper"]
from dmri_helpers.studies import study

mistakes = study.measured("cascade_mistakes")
Markdown(study.table(mistakes["compared"]))

# %% [markdown] tags=["deeper"]
# **Table 6.2.** Differences from the cascade without a mistake, with intervals over cines and seeds. Size, training and
# seeds are in `figures/study`.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 6.5</summary>
#
# Table 6.2 gives the order. A network that is shown magnitudes costs most in the scanner's world, because it cannot
# return the image that it was given. Did you expect the last row? The network is tested with other masks than it has
# learnt from.
#
# </details>

# %% tags=["deeper"]
unet = study.measured("mistakes")
Markdown(study.table(unet["compared"]))

# %% [markdown] tags=["deeper"]
# **Table 6.3.** The same question for the report's own network, the dual U-Net. In the report the frames were channels
# of its 3-D stage, so that its convolutions saw no time. Compare the row *one mask for all cines* in both tables.

# %% [markdown] tags=["deeper"]
# On magnitudes alone, some mistakes look smaller than they are. Always ask in which world a table was measured.

# %% [markdown]
# ## 6.6 The whole ladder (10 min)
#
# All rungs are measured in both worlds of notebook 2: on the test cines, which are magnitudes, and on the same cines
# with the phase of a scanner's images. The last two rungs come with this package: five cascades that were trained as
# briefly as ours, but in both worlds and from a better start; and `unrolled`.

# %% tags=["report"]
about = json.loads((methods.WEIGHTS / "unrolled" / "config.json").read_text(encoding="utf-8"))
network, learnt = about["network"], profiles.TrainConfig(**about["training"])
fastest = max(learnt.acceleration, learnt.acceleration_to)
named = {key: results.NAMES.get(network.get(key), "none") for key in ("start", "hint")}
Markdown(f"""`unrolled` has {network["cascades"]} cascades of {network["features"]} channels. It starts from
{named["start"]}. Its networks are shown a second image beside their own: {named["hint"]}. It was trained on
{about["data"]["training"]["shape"][0]} cines ({about["data"]["source"]}) at accelerations from
{learnt.acceleration:g} to {fastest:g}, with a phase of strength up to {learnt.phase:g} (0: magnitudes alone)
and noise up to {learnt.noise:g}. Machine and date: {about["machine"]}, {about["date"]}.""")

# %% [markdown]
# > **Predict 6.6.** Which two neighbours on the ladder lie closest together? Where is the largest step? Which
# > methods lose by the phase?

# %%
turned_set = data.UndersampledCines(test, seed=test_set.seed, phase=1, vary=False)
learn_nothing = ("zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing", "low_rank_sparse", "kt_tv")
tested = {"zero_filled": classical.zero_filled, "dual_unet": dual_unet, "dual U-Net + data": with_consistency}
tested |= {name: methods.load(name) for name in learn_nothing[1:]}
shipped = ("cascades_5_both_worlds", "unrolled")
tested |= {f"{length[-1]} cascades": models[length[-1]], **{name: methods.load(name) for name in shipped}}
for name in (*learn_nothing, *shipped):
    rows[name] = training.evaluate(tested[name], test_set, title=name)
turned_rows = {name: training.evaluate(one, turned_set, title=f"{name}, phase") for name, one in tested.items()}

# %%
measured = {"magnitude": rows, "phase": turned_rows}
worlds = {world: {name: metrics.summarise(found[name]) for name in tested} for world, found in measured.items()}
for name, rung in worlds["magnitude"].items():
    rung["seconds_per_cine"] = sum(row["seconds"] for row in rows[name]) / len(test)
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic", "seconds_per_cine")))

# %% [markdown]
# **Table 6.4.** The ladder in both worlds: mean ± standard deviation over n test cines. The dynamic PSNR counts only
# pixels that move.

# %%
figure = plotting.ladder(worlds)
plotting.save(figure, figures / "06_ladder.png")
results.record(
    figures / "06_ladder.json", profile=profile.name, data=cines.source, seed=seed, n_cines=len(test), worlds=worlds
)
figure

# %% [markdown]
# **Figure 6.6.** The same ladder drawn. Compare the two worlds in each row.

# %% tags=["report"]
for world, found in measured.items():
    psnr = {name: summary["psnr"]["mean"] for name, summary in worlds[world].items()}
    best = max(learn_nothing, key=psnr.get)
    for name in ("dual_unet", f"{length[-1]} cascades", *shipped):
        gains = torch.tensor([a["psnr"] - b["psnr"] for a, b in zip(found[name], found[best])])
        print(f"{results.WORLDS[world]}: {results.NAMES.get(name, name)} {gains.mean():+.2f} dB against "
              f"{results.NAMES[best]}, better on {int((gains > 0).sum())} of {len(gains)} cines")
for name in tested:
    change = worlds["phase"][name]["psnr"]["mean"] - worlds["magnitude"][name]["psnr"]["mean"]
    print(f"a phase changes {results.NAMES.get(name, name)} by {change:+.2f} dB")

# %% [markdown]
# <details><summary>Answer to 6.6</summary>
#
# Table 6.4 shows the steps. The first lines above say whether a network beats the best method that learns nothing, and
# on how many cines. The last lines say who loses by the phase. A method that loses much has relied on magnitudes. Of
# the networks only the last two were trained on images with a phase.
#
# </details>

# %% [markdown] tags=["report"]
# Most rungs differ in several things at once, so the ladder does not prove what the data steps are worth. For this,
# `dmri study consistency` trained one small cascade with and without them, with five seeds:

# %%
from dmri_helpers.studies import study

evidence = [study.measured(name) for name in ("consistency", "consistency_full_size")]
Markdown("\n\n".join(study.table(one["compared"]) for one in evidence))

# %% [markdown]
# **Table 6.5.** Differences from hard data steps: on phantoms of 96 x 96, then some on 192 x 192. Without data steps
# the cascade loses, most from the zero-filled image. One step at its end wins back a part.

# %%
with torch.no_grad():
    final = {"fully sampled": truth, "k-t total variation": classical.kt_tv(kspace, A)[0]}
    final |= {"network alone": painted[0], "unrolled": methods.load("unrolled")(kspace, A)[0]}
widgets.cine_viewer(final, errors_against="fully sampled", error_scale=10, column=truth.shape[-1] // 2)

# %% [markdown]
# **Figure 6.7.** Three rungs under one frame slider, with errors ten times brighter, and one column against time.

# %% [markdown] tags=["deeper"]
# ### Deeper: The arena (4 min)
#
# Others have solved the same problem. `dmri study arena` built five published networks by their papers, with about as
# many parameters as ours, and trained each for the same time on the same phantoms. The first seed chose the learning
# rate of each.
#
# > **Predict 6.7.** Which start from the zero-filled image, and which know that a line lies near that of another frame?

# %% tags=["deeper"]
arena = study.measured("arena")
Markdown(study.table(arena["compared"]))

# %% [markdown] tags=["deeper"]
# **Table 6.6.** Differences from ours after equal time on one core. The time is short, so the table says who learns
# fast. It does not say who would win after days on a GPU.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 6.7</summary>
#
# Ours starts from view sharing with conjugate lines, and k-t NEXT from the temporal mean. DC-CNN shares views inside
# every network. The others start from the zero-filled image, and have to learn during training what the first ones are
# given. The row *ours, but from the zero-filled image* shows how much of our lead is the start. The rows *start* and
# *k-t TV* were not trained at all.
#
# </details>

# %% [markdown] tags=["deeper"]
# ### Deeper: Where does it fail? (6 min)
#
# A mean over many pixels says little about a small thing. `dmri study failures` drew bright lesions into the wall of
# phantoms. They move with the wall. Then it reconstructed with and without them, and compared.
#
# > **Predict 6.8.** Which method loses most of a lesion of one pixel? Does a high PSNR protect it?

# %% tags=["deeper"]
from dmri_helpers.studies import failures

found = failures.tables(study.measured("failures")["summary"])
Markdown(found["lesions"])

# %% [markdown] tags=["deeper"]
# **Table 6.7.** The share of a lesion's contrast that survives, by radius in pixels and contrast. The last column
# counts places of the wall where the error of the lesion-free cine looks like half such a lesion.

# %% tags=["deeper"]
Markdown(found["scans"])

# %% [markdown] tags=["deeper"]
# **Table 6.8.** Scans that do not go as planned: PSNR, and PSNR where it moves, in dB. With a longer beat or a movement
# the data contradict each other, and no method here knows it.

# %% tags=["deeper"]
Markdown(found["spread"])

# %% [markdown] tags=["deeper"]
# **Table 6.9.** The network reconstructs each cine four times: as it is, backwards in time, mirrored, and both. How far
# apart the four are is a warning, but not yet an error bar: see how many errors are larger.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 6.8</summary>
#
# Read Table 6.7 along a row: what survives grows with the radius. Then compare view sharing with `unrolled` for a
# faint lesion of one pixel at acceleration 8, and their PSNR in Table 6.8. A small lesion adds so little to the squared
# error that PSNR hardly sees it.
#
# </details>

# %% [markdown] tags=["deeper"]
# ### Deeper: Learning without a truth (3 min)
#
# Where no fully sampled cine exists, a network can still learn. The measured lines of every cine are split in two: the
# network gets one part, and is judged on the other (Yaman and others, 2020).

# %% tags=["deeper"]
Markdown(study.table(study.measured("without_truth")["compared"]))

# %% [markdown] tags=["deeper"]
# **Table 6.10.** The same cascade after the same number of epochs, with fully sampled cines and without any.

# %% [markdown] tags=["deeper"]
# ### Deeper: Other accelerations (6 min)
#
# So far the acceleration was 5.
#
# > **Predict 6.9.**
# >
# > - (a) Which method loses most from the lowest acceleration to the highest? Which one least?
# > - (b) Is there an acceleration at which view sharing is good enough?
# > - (c) At the highest, is the best picture one that you would diagnose from? Look at the column over time.

# %% tags=["deeper"]
choice = ("zero_filled", "temporal_mean", "view_sharing", "kt_tv", "dual_unet", "unrolled")
fastest = target.shape[2] // (config.center_lines + 4)  # some lines beside the centre
accelerations = [r for r in (3, 5, 8, 10) if r <= fastest]
faster = {}
for r in accelerations:
    A_faster = operators.ForwardModel(sampling.ky_t_mask(target.shape[1:], r, config.center_lines, seed=seed + 7))
    for name in choice:
        with torch.no_grad():
            faster[name, r] = methods.load(name)(A_faster(target), A_faster)

# %% tags=["deeper"]
print("PSNR in dB at acceleration", *(f"{r:8}" for r in accelerations))
for name in choice:
    reached = [metrics.cine_metrics(faster[name, r][0], truth)["psnr"] for r in accelerations]
    print(f"{results.NAMES[name]:26}", *(f"{value:8.2f}" for value in reached))

# %% tags=["deeper"]
widgets.reconstruction_explorer(truth, ["view_sharing", "kt_tv"], center_lines=config.center_lines, frame=3)

# %% [markdown] tags=["deeper"]
# **Figure 6.8.** One test cine, measured and reconstructed by two methods side by side: a frame, its error, and one
# column over time. The page computes; a network takes the better part of a minute. Is the motion still sharp? Below you
# can draw a mask by hand, hide a lesion in the heart, and open a cine of your own.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 6.9</summary>
#
# (a) Compare the first and the last column of the printed table. A method that is poor at the lowest acceleration has
# little to lose. The dual U-Net has seen only acceleration 5, so more data need not help it.
#
# (b) and (c) have no fixed answer: it depends on what the picture is for. Give a reason that names something you see.
#
# </details>

# %% [markdown]
# ### Exercise 6.3 · Beat k-t total variation at acceleration 8 ★★★
#
# The check has a heart that no network of this course has seen: k-space `(1, 20, 192, 32)` at acceleration 8. Write
# `reconstruct(kspace, A)`, which returns the complex cine, of the shape of k-space. It has to reach 1 dB more than
# `classical.kt_tv`. The image of the network `unrolled` itself does not count. Train one of your own, or do
# something *with* this one.
#
# *Hint:* a heart that beats backwards in time is a heart, too. A network gives another image of it, with other errors.
# Measure at acceleration 8 before you ask the check.

# %% tags=["hide-cell", "solution"]
# Solution 6.3
def reconstruct(kspace, A):
    """The cine, complex, of the shape of k-space."""
    network, backwards = methods.load("unrolled"), operators.ForwardModel(A.mask.flip(1))
    return (network(kspace, A) + network(kspace.flip(1), backwards).flip(1)) / 2


# %%
exercises.check_6_3(reconstruct)

# %% tags=["hide-cell", "solution"]
# Solution 6.3: two test cines at other accelerations
lines = cines.shape[2]
ways = {"k-t TV": classical.kt_tv, "shipped": methods.load("unrolled"), "forwards and backwards": reconstruct}
for acceleration in (3, 5, min(8, lines // 11)):
    some = data.UndersampledCines(test.subset(range(2)), acceleration=acceleration, seed=seed + 3)
    for name, method in ways.items():
        psnr = metrics.summarise(training.evaluate(method, some, title=name))["psnr"]["mean"]
        print(f"acceleration {acceleration}: {name:22} {psnr:.2f} dB")

# %% [markdown] tags=["solution"]
# The lines above say how far each is ahead of k-t total variation, and what the second run brings. The squared error
# of a mean of two images is never above the mean of their squared errors. The price is twice the time.

# %% [markdown] tags=["deeper"]
# ## Deeper: One network for all cascades (1 min)
#
# So far every cascade has had a network of its own. All cascades may also use the *same* one.

# %% [markdown] tags=["deeper"]
# ### Exercise 6.4 · Shared weights ★
#
# How many parameters are left if all cascades use the same network? Write
# `parameters(features, cascades, shared)`: the number of weights and biases of a cascade. Each network has four
# convolutions, all with biases: 3×3×3 from a complex image to `features` channels, two of 3×3×3 from `features` to
# `features`, and 1×1×1 back to a complex image. Hard consistency has nothing to learn.
#
# *Hint:* a convolution from $p$ to $q$ channels has $q$ biases and, for each of them, a kernel over all $p$. How many
# channels is a complex image?

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 6.4
def parameters(features, cascades, shared):
    """How many weights and biases a cascade of 3-D ResNets has, a number."""
    layers = (2, features, 27), (features, features, 27), (features, features, 27), (features, 2, 1)
    one = sum(outputs * (inputs * kernel + 1) for inputs, outputs, kernel in layers)
    return one if shared else cascades * one


# %% tags=["deeper"]
exercises.check_6_4(parameters)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 6.4: is it as good? A small cascade, trained for three epochs, either way
short = replace(config, epochs=3)
for shared in (False, True):
    twin = methods.build(replace(profile.unrolled, features=4, cascades=3, shared=shared))
    log = training.fit(twin, samples, validation_set, short)
    count = parameters(4, 3, shared)
    print(f"shared={shared!s:5}: {count:6} parameters, {log[-1]['val_psnr']:.2f} dB on validation cines")

# %% [markdown] tags=["solution", "deeper"]
# With shared weights the cascade repeats one and the same step, as in MoDL (Aggarwal and others, 2019). It has fewer
# parameters, and one may run more steps than were trained. One short run each cannot tell a small difference in
# quality from chance.

# %% [markdown]
# ## 6.7 A mistake on purpose: another mask in the consistency step (3 min)
#
# One published solution of this assignment draws a *new* random mask inside its data step. Everything runs, and the
# loss falls. We give this step two images: the truth, and the network's image.

# %% tags=["nbval-check-output"]
other = sampling.ky_t_mask(mask.shape[:3] + (1,), seed=seed + 99)
from_truth, from_network = (consistent(image, kspace, other, torch.inf) for image in (target, painted))
emptied = (fourier.fft2c(from_truth).abs() < 1e-6) & other & ~mask
away = [((A(image) - kspace).norm() / kspace.norm()).item() for image in (from_truth, from_network)]
assert emptied.any() and away[0] < 1e-5 < 1e-3 < away[1]
print("the truth comes out changed: lines that were never measured are now zero")
print("the check A m = y passes on the truth, and fails on the network's image")

# %% [markdown]
# Where the wrong mask says "sampled", $y$ may be zero because nobody measured this line. This zero is written even into
# a perfect image. So test a data step twice: from a wrong image it must give $A m = y$, and it must return the *truth*
# unchanged.

# %% [markdown]
# ## Summary
#
# 1. **Contradiction** is measured by $\lVert A\hat m - y\rVert$. A network alone changes what was measured.
# 2. **Data consistency** follows from the normal equations. In k-space it is one `where`, soft or hard.
# 3. **In a cascade** network and data take turns. The network makes progress on the lines that were not measured, and
#    the data undo its damage on the others.
# 4. **More cascades**: every further one costs the same time and memory; Figure 6.3 shows what it brings. Checkpointing
#    needs less memory and more time.
# 5. **The ladder** has two worlds. A network is worth what it gains over the best method that learns nothing, in the
#    world in which it will be used.

# %% [markdown]
# ## References
#
# - J. Schlemper, J. Caballero, J. V. Hajnal, A. N. Price, D. Rueckert: A deep cascade of
#   convolutional neural networks for dynamic MR image reconstruction. IEEE Transactions on
#   Medical Imaging 37:491, 2018.
# - K. Hammernik et al.: Learning a variational network for reconstruction of accelerated MRI
#   data. Magnetic Resonance in Medicine 79:3055, 2018.
# - H. K. Aggarwal, M. P. Mani, M. Jacob: MoDL: Model-based deep learning architecture for inverse
#   problems. IEEE Transactions on Medical Imaging 38:394, 2019.
# - B. Yaman et al.: Self-supervised learning of physics-guided reconstruction neural networks
#   without fully sampled reference data. Magnetic Resonance in Medicine 84:3172, 2020.
# - A. Sriram et al.: End-to-end variational networks for accelerated MRI reconstruction. MICCAI
#   2020.

# %% [markdown]
# **Next:** [07_scanner](07_scanner.ipynb): coils, noise and raw data, where only the forward model changes.
