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
# # 6 · Unrolled: a network that may not contradict the data
#
# What changes when the measured lines are put back after every step of the network?
#
# The network of notebook 4 looks at an aliased picture and paints a clean one. Nothing holds it
# to the measurement. Here network and measurement take turns: the network proposes, the data
# correct, several times over. The result is a *cascade*, or *unrolled* network.
#
# **When you are through, you can**
#
# 1. measure how far a reconstruction contradicts its data;
# 2. derive hard and soft data consistency from the normal equations, and code both;
# 3. build a cascade and follow the image through it, cascade by cascade;
# 4. say what more cascades cost in time and memory, and what they bring;
# 5. tell by measuring which of the report's mistakes cost how much, and why one of them can pay;
# 6. read the whole ladder of this course on your own machine, and defend every rung.
#
# **You need** notebooks [02](02_aliasing.ipynb) (forward model, ladder) and
# [04](04_training.ipynb) (training).
#
# **Time:** two hours to work through; about three minutes to run on two cores when the trained
# networks are loaded, about ten minutes when they are trained. Section 6.6 always trains.

# %% [markdown]
# ## Set up

# %%
import json
from dataclasses import replace

import torch
from IPython.display import Markdown

from dmri_helpers import (
    classical, data, exercises, fourier, methods, metrics, networks, operators, plotting, profiles, results,
    runs, sampling, training, unrolled, widgets,
)  # fmt: skip

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# The split, the masks and the stand-alone network are those of notebook 4: loaded if that
# notebook (or this package) trained it, trained here if not.

# %%
train, val, test = data.split(cines, seed=seed)
config = profile.dual_unet_training
samples, validation_set, test_set = data.samples((train, val, test), config)
dual_unet, *_ = runs.trained(
    "dual_unet", profile.dual_unet, config, samples, validation_set, profiles.runs_folder()
)

# %% [markdown]
# ## 6.1 How far does the network contradict the data?
#
# Take one test cine, reconstruct it, and measure it again: $U F \hat m$ should be what the
# scanner measured, $y$.
#
# > **Predict 6.1.** Which of the two is further from its data: the zero-filled image, which looks
# > terrible, or the network's image, which looks good?

# %%
kspace, A, target = test_set[0]
mask, truth = A.mask, target[0].abs()
with torch.no_grad():
    painted = dual_unet(kspace, A)
for name, image in {"zero-filled": A.adjoint(kspace), "network": painted}.items():
    print(f"{name:12} {(A(image) - kspace).norm() / kspace.norm():.1%} away from its data")

# %% [markdown]
# The ugly image agrees with its data to the last digit: it contains nothing else. The
# good-looking one has changed lines that were measured without any error.
#
# ## 6.2 Data consistency, derived
#
# We have an image $x$ that we like (the network's) and data $y$ that we trust. We look for the
# image closest to both, with a weight $\lambda$ for the data:
#
# $$
# m^\star = \arg\min_m \; \lVert m - x \rVert^2 + \lambda\, \lVert A m - y \rVert^2,
# \qquad A = U F .
# $$
#
# Set the derivative to zero. These are the *normal equations*:
#
# $$
# (1 + \lambda A^H A)\, m^\star = x + \lambda A^H y .
# $$
#
# A system with as many unknowns as the cine has pixels. But $A^H A = F^{-1} U F$, so we apply $F$
# from the left and everything becomes diagonal, one line of k-space after the other:
#
# $$
# (F m^\star)_k =
# \begin{cases}
# \dfrac{(F x)_k + \lambda\, y_k}{1 + \lambda} & \text{line } k \text{ was sampled,} \\[2ex]
# (F x)_k & \text{it was not.}
# \end{cases}
# $$
#
# For $\lambda \to \infty$ the sampled lines become $y$ itself: **hard** consistency, right for
# data without noise. A finite $\lambda$ is **soft** consistency. Your own few lines:

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
# The helper works in the hybrid space $(k_y, x)$: columns are independent (notebook 2), so it
# never transforms the readout at all. Does the formula really solve the normal equations?

# %% tags=["nbval-check-output"]
soft, hard = (consistent(painted, kspace, mask, weight) for weight in (10.0, torch.inf))
left, right = soft + 10 * A.normal(soft), painted + 10 * A.adjoint(kspace)
torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)
torch.testing.assert_close(A(hard), kspace, atol=1e-4, rtol=1e-4)
print("soft: the normal equations hold;  hard: A m = y")

# %% [markdown]
# > **Predict 6.2.** Put the measured lines back into the network's image, once, without training
# > anything. About a fifth of k-space changes. How many dB?

# %%
def with_consistency(kspace, A):
    return consistent(dual_unet(kspace, A), kspace, A.mask, torch.inf)


rows = {"dual_unet": training.evaluate(dual_unet, test_set, title="network")}
rows["dual U-Net + data"] = training.evaluate(with_consistency, test_set, title="network + data")
summary = {name: metrics.summarise(of) for name, of in rows.items()}
Markdown(results.table(summary))

# %% [markdown]
# One line of algebra, no training. How does it depend on the weight, and on the image it is given?
#
# > **Predict 6.3.** The explorer below weighs the data of one frame against three wrong images.
# >
# > - (a) Weight 1: what happens to the error on the measured lines? And on the others?
# > - (b) From which weight on would you no longer see a difference to $\infty$?
# > - (c) The image of another frame, made consistent: will the heart stand in the right phase?

# %%
later = target[0, 3 + target.shape[1] // 2]  # half a beat on
wrong = {"network": painted[0, 3], "another frame": later, "zero": torch.zeros_like(later)}


def weighed(name, weight):
    return consistent(wrong[name], kspace[0, 3], mask[0, 3], weight)


widgets.consistency_explorer(weighed, list(wrong), target[0, 3], mask[0, 3])

# %% [markdown]
# **Figure 6.1.** The image, its error, and its error in k-space. Move the weight: rows of the error go
# dark, and only the measured ones. (a) At weight 1 their error is halved, not gone; the others never
# change, whatever the weight. (b) From 10 on the picture hardly moves, though the numbers still fall.
# (c) The centre lines bring the right phase of the beat, coarsely; the detail between them is still that
# of the other frame. Consistency corrects what was measured. The rest is the network's business.
#
# The next step follows by itself: let the network work again on the corrected image, correct again,
# and train it knowing that it will be corrected.
#
# ## 6.3 The cascade
#
# $$
# x_0 = \text{start}(y), \qquad
# x_{k+1} = \mathrm{DC}\bigl(x_k + r_k(x_k),\, y\bigr), \qquad k = 0, \dots, K-1 .
# $$
#
# Each $r_k$ is a small 3-D network (notebook 3): 16 channels, three convolutions over $(t, y, x)$. The
# sum $x_k + r_k(x_k)$ is its residual path. The start is the temporal mean, which is already consistent
# with its data. The whole is the algorithm of Schlemper and others (2018), and a cousin of the
# variational network of Hammernik and others (2018). As a few lines:

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
# The seed report unrolled its network, too, and did not gain by it (28.87 dB with two cascades, 29.08
# without, by its own numbers: a difference that chance explains, notebook 5). Four things were in its
# way, and none of them is here: soft consistency with $\lambda = 1$ on data without noise, so half of
# every measured line was thrown away; a sigmoid after every cascade; no residual path, so each cascade
# had to draw the whole image anew; and the phase lost between two consistency steps. Section 6.6 measures
# what each of them costs.

# %% [markdown]
# ## 6.4 More cascades: quality, time, memory
#
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
# **Figure 6.2.** Training and validation loss, validation PSNR and learning rate of the cascades.
# Epoch 0 is the temporal mean for all of them, since every regulariser starts as the identity.
#
# What does memory mean here? The backward pass needs the intermediate results of the forward
# pass, and PyTorch keeps them until then. `results.peak_memory` follows every allocation of one
# training step and returns the largest sum.

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

# %%
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
# **Figure 6.3.** Quality, time per cine and memory in training against the number of cascades.
# Time and memory grow in proportion; quality rises steeply at first and less with every further
# cascade. The bars are the standard deviation over test cines: large, because cines differ, not
# because the comparison is unsure.
#
# Where do the cascades make their progress? The middle of the same frame, by each of them:

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
# **Figure 6.4.** The middle of one frame by cascades of different length, with the errors ten times
# brighter than the image (PSNR: of the whole cine). The errors fade first where little moves; the last to
# go are small bright vessels and the edges that move with the heart.
#
# With *checkpointing* only the image between two cascades is kept, and the inside of a cascade is
# computed again when the backward pass gets there: memory for time. The seed report needed
# 24 GB for three cascades; this is the remedy.
#
# > **Assignment, part e.** Cascades with data consistency, their number increased, images, PSNR
# > and SSIM: sections 6.3 to 6.7.
#
# ## 6.5 Through the cascade
#
# What does each turn do? We follow the longest cascade on one test cine and measure the error
# against the truth in k-space, on the lines that were measured and on those that were not, before
# and after each consistency step.

# %%
model = models[length[-1]]
with torch.no_grad():
    iterates = list(model.iterates(kspace, A))
    proposals = [regulariser(x) for regulariser, x in zip(model.regularisers, iterates)]


def relative_error(image, lines):
    return ((fourier.fft2c(image - target) * lines).norm() / fourier.fft2c(target).norm()).item()


# %%
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

# %% [markdown]
# Read the table by columns. On the measured lines the network does some damage each time, and the
# data repair it completely. On the other lines the consistency step changes nothing: all progress
# there is the network's. It makes that progress because each repair gives it a better image to
# look at.

# %%
errors = {
    f"error, {name} lines": {
        "after the network": [relative_error(x, lines) for x in proposals],
        "after the data": [relative_error(x, lines) for x in iterates[1:]],
    }
    for name, lines in (("measured", mask), ("other", ~mask))
}
plotting.curves(range(1, len(iterates)), errors, "cascade")

# %% [markdown]
# **Figure 6.5.** The same numbers: error in k-space relative to the whole of the true k-space. On the left
# the network's damage and its complete repair; on the right the two curves lie on each other.

# %%
last = len(iterates) - 1
steps = {"fully sampled": truth, "start": iterates[0][0], f"after cascade {last}": iterates[last][0]}
scores = {name: {"psnr": metrics.cine_metrics(steps[name], truth)["psnr"]} for name in list(steps)[1:]}
shown = {name: middle(cine) for name, cine in steps.items()}
figure = plotting.cine_comparison(shown, frame=3, reference="fully sampled", scores=scores, error_scale=10)
figure.set_dpi(80)
figure

# %% [markdown]
# **Figure 6.6.** One frame before and after the cascade, and the error, ten times brighter than
# the image. The temporal mean is wrong where the heart moves, and only there. Watch that ring of
# error shrink.

# %%
frame = 3
through = torch.stack([x[0, frame].abs() for x in iterates])
reference = truth[frame].expand_as(through)
widgets.cine_viewer(
    {"fully sampled": reference, "cascade by cascade": through}, errors_against="fully sampled", error_scale=10,
    milliseconds=600,
)  # fmt: skip

# %% [markdown]
# **Figure 6.7.** A slider over *cascades*, not over time: position 0 is the start, each further
# one is one more turn of network and data, in the same frame of the cine.
#
# ## 6.6 What the report's mistakes cost
#
# Enough said about mistakes; let us make them. Small cascades (3 turns, 8 channels), trained for a
# minute, one right and each of the others with one mistake of the report:
#
# - **half the data**: consistency with $\lambda = 1$;
# - **draws anew**: no residual path, and a sigmoid at the end of every network;
# - **no phase**: every network is shown the magnitude, and returns one;
# - **one mask**: the same mask for every cine, in every epoch.

# %%
class DrawsAnew(networks.ResNet3D):
    """No residual path; real and imaginary part through a sigmoid."""

    def forward(self, image):
        drawn = super().forward(image) - image
        return torch.complex(torch.sigmoid(drawn.real), torch.sigmoid(drawn.imag))


class NoPhase(networks.ResNet3D):
    """Magnitude in, magnitude out."""

    def forward(self, image):
        return super().forward(image.abs().to(image.dtype)).abs().to(image.dtype)


# %% [markdown]
# Our cines are magnitudes, so their phase is zero, and one cannot see what becomes of it. So each
# network is tested in both worlds of notebook 2: on the test cines, and on the same cines with the phase of a
# scanner's images. The metrics look at magnitudes only.

# %%
turned_set = data.UndersampledCines(test, seed=test_set.seed, phase=1, vary=False)


@torch.no_grad()
def psnr_of(model, cines):
    """Mean over frames and cines."""
    values = []
    for kspace, A, image in cines.batches(1):
        with training.native_precision():
            error = model(kspace, A).abs() - image.abs()
        values.append(-10 * error.square().mean((2, 3)).log10().mean())
    return torch.stack(values).mean().item()


# %% [markdown]
# > **Predict 6.5.** Order the five by their PSNR on the test cines, and by that on cines with a phase.

# %%
short = replace(config, epochs=min(config.epochs, 6))
same = data.UndersampledCines(
    train, seed=seed, training=True, crop=config.crop or None, mask=sampling.ky_t_mask((1, *truth.shape), seed=seed + 7)
)
variants = {
    "ours": (networks.ResNet3D, torch.inf, samples),
    "half the data": (networks.ResNet3D, 1.0, samples),
    "draws anew": (DrawsAnew, torch.inf, samples),
    "no phase": (NoPhase, torch.inf, samples),
    "one mask": (networks.ResNet3D, torch.inf, same),
}

# %%
tried = {"temporal mean, for comparison": classical.temporal_mean}
for name, (network, weight, learnt_from) in variants.items():
    torch.manual_seed(seed)
    tried[name] = unrolled.Unrolled(
        lambda: network(8), 3, start=classical.temporal_mean, data_weight=weight
    )
    training.fit(tried[name], learnt_from, validation_set, short)

# %% [markdown]
# And one remedy, on the weights of the first: take the slow phase out of the image before each network,
# and put it back behind it. It is estimated from the centre of k-space, which every frame has.

# %%
tried["ours, phase taken out"] = unrolled.Unrolled(
    lambda: networks.ResNet3D(8), 3, start=classical.temporal_mean,
    phase_of=classical.smooth_phase,
)  # fmt: skip
tried["ours, phase taken out"].load_state_dict(tried["ours"].state_dict())

# %%
real, turned = ({name: psnr_of(one, some) for name, one in tried.items()} for some in (test_set, turned_set))
table = ["| cascade | magnitudes, PSNR / dB | with a phase |", "|---|---:|---:|"]
table += [f"| {name} | {real[name]:.2f} | {turned[name]:.2f} |" for name in tried]
Markdown("\n".join(table))

# %%
for name in list(variants)[1:]:
    print(f"{name:13} against ours: {real[name] - real['ours']:+.2f} dB on magnitudes, "
          f"{turned[name] - turned['ours']:+.2f} dB with a phase")
lost, left = real["ours"] - turned["ours"], real["ours"] - turned["ours, phase taken out"]
print(f"the phase costs ours {lost:.2f} dB, and {left:.2f} dB when the slow phase is taken out")
start = turned["temporal mean, for comparison"]
print("with a phase below their own start:", [name for name in tried if turned[name] < start] or "none")

# %% [markdown]
# **Table 6.1.** Small cascades after a short training, one run each. One run cannot tell a small difference
# from chance (notebook 5), and after a long training the differences are other ones.

# %% [markdown]
# Look at the magnitudes first. A network that draws anew has to redraw in every turn all that was right
# before, from numbers between 0 and 1. With half the data, half of every measured line is thrown away in
# each turn; later turns can repair a part of it. One mask has to be seen often before it is learnt by heart.

# %% [markdown]
# And the one *without phase*? Whoever takes the magnitude of an aliased image throws away that part of
# the aliasing that is imaginary. On magnitudes such a mistake can pay. It is the symmetry of k-space
# (exercise 2.4) in another dress.

# %% [markdown]
# Now the second column. These networks have learnt from magnitudes that images have no phase, and correct
# what is no error. The one that forgets the phase cannot even return what it was given. A benchmark on
# magnitude images alone rewards such knowledge, and nobody notices.

# %% [markdown]
# Two remedies exist. The slow phase can be taken out, without any training; the lines above say how much
# that repairs. It cannot repair all, since the phase has details, and changes over the beat. And one
# can train on images with a phase: `dmri train --phase 1`.

# %% [markdown]
# ## 6.7 The whole ladder
#
# > **Predict 6.6.** All rungs on the same test cines, on your machine. Before you run it: which
# > two neighbours lie closest together? Where is the largest step?

# %% [markdown]
# All rungs are measured in both worlds. The last one is the network that comes with this package. It was
# trained for longer, on other phantoms than those of this notebook. What was tried on the way lies in
# `figures/tries`.

# %%
about = json.loads((methods.WEIGHTS / "unrolled" / "config.json").read_text(encoding="utf-8"))
network, learnt = about["network"], profiles.TrainConfig(**about["training"])
fastest = max(learnt.acceleration, learnt.acceleration_to)
named = {key: results.NAMES.get(network.get(key), "none") for key in ("start", "hint")}
Markdown(f"""`unrolled` has {network["cascades"]} cascades of {network["features"]} channels. It starts from
{named["start"]}; the image that its networks are shown beside their own: {named["hint"]}. It was trained on
{about["data"]["training"]["shape"][0]} cines ({about["data"]["source"]}) at accelerations from
{learnt.acceleration:g} to {fastest:g}, with a phase of strength up to {learnt.phase:g} (0: magnitudes alone)
and noise up to {learnt.noise:g}. Machine and date: {about["machine"]}, {about["date"]}.""")

# %%
learn_nothing = ("zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing", "low_rank_sparse", "kt_tv")
tested = {"zero_filled": classical.zero_filled, "dual_unet": dual_unet, "dual U-Net + data": with_consistency}
tested |= {name: methods.load(name) for name in learn_nothing[1:]}
tested |= {f"{length[-1]} cascades": models[length[-1]], "unrolled": methods.load("unrolled")}
for name in (*learn_nothing, "unrolled"):
    rows[name] = training.evaluate(tested[name], test_set, title=name)
turned_rows = {name: training.evaluate(one, turned_set, title=f"{name}, phase") for name, one in tested.items()}

# %%
measured = {"magnitude": rows, "phase": turned_rows}
worlds = {world: {name: metrics.summarise(found[name]) for name in tested} for world, found in measured.items()}
for name, rung in worlds["magnitude"].items():
    rung["seconds_per_cine"] = sum(row["seconds"] for row in rows[name]) / len(test)
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic", "seconds_per_cine")))

# %%
figure = plotting.ladder(worlds)
plotting.save(figure, figures / "06_ladder.png")
results.record(
    figures / "06_ladder.json", profile=profile.name, data=cines.source, seed=seed, n_cines=len(test), worlds=worlds
)
figure

# %% [markdown]
# **Figure 6.8.** The whole ladder on the test cines of this run, on magnitudes and with a phase: mean and
# standard deviation over cines of PSNR, of PSNR where the heart moves, and of SSIM.

# %%
for world, found in measured.items():
    psnr = {name: summary["psnr"]["mean"] for name, summary in worlds[world].items()}
    best = max(learn_nothing, key=psnr.get)
    for name in ("dual_unet", f"{length[-1]} cascades", "unrolled"):
        gains = torch.tensor([a["psnr"] - b["psnr"] for a, b in zip(found[name], found[best])])
        print(f"{results.WORLDS[world]}: {results.NAMES.get(name, name)} {gains.mean():+.2f} dB against "
              f"{results.NAMES[best]}, better on {int((gains > 0).sum())} of {len(gains)} cines")
for name in tested:
    change = worlds["phase"][name]["psnr"]["mean"] - worlds["magnitude"][name]["psnr"]["mean"]
    print(f"a phase changes {results.NAMES.get(name, name)} by {change:+.2f} dB")

# %% [markdown]
# Read these lines world by world: does a network beat the best method that learns nothing, and does it do
# so on every cine? Then read the last lines. A method that loses by the phase has relied on
# magnitudes. No network of this notebook but the shipped one can have learnt what a phase is.

# %% [markdown]
# The ladder compares methods as they are, not one ingredient. The large network starts from the zero-filled
# image, the cascades from better ones, and the shipped network was trained for longer. The two rungs of the
# dual U-Net differ in one thing alone: the measured lines are put back. (Fed with the copy and trained
# longer, such a network gets further: section 4.8.)

# %%
with torch.no_grad():
    final = {"fully sampled": truth, "k-t total variation": classical.kt_tv(kspace, A)[0]}
    final |= {"network alone": painted[0], "unrolled": methods.load("unrolled")(kspace, A)[0]}
widgets.cine_viewer(final, errors_against="fully sampled", error_scale=10, column=truth.shape[-1] // 2)

# %% [markdown]
# **Figure 6.9.** Three rungs of the ladder under one frame slider, with their errors ten times
# brighter than the image, and one column against time.
#
# > **Predict 6.7.** All of this was at acceleration 5. In the explorer below you choose the method and
# > the acceleration.
# >
# > - (a) Which method suffers most from 10 instead of 3? Which one least?
# > - (b) Is there an acceleration at which view sharing is good enough?
# > - (c) At 10, is the best picture one that you would diagnose from? Look at the column over time.

# %%
@torch.no_grad()
def reconstruct(method, acceleration):
    faster = sampling.ky_t_mask(target.shape[1:], acceleration, config.center_lines, seed=seed + 7)
    A_faster = operators.ForwardModel(faster)
    return methods.load(method)(A_faster(target), A_faster)


choice = ("zero_filled", "temporal_mean", "view_sharing", "kt_tv", "dual_unet", "unrolled")
fastest = target.shape[2] // (config.center_lines + 4)  # some lines beside the centre
widgets.reconstruction_explorer(
    reconstruct, choice, [r for r in (3, 5, 8, 10) if r <= fastest], truth, frame=3)

# %% [markdown]
# **Figure 6.10.** One frame of one test cine, its error, one column over time, and the truth. Every
# combination was computed once, so nothing waits. (a) On simulated hearts everything that is good at 3
# loses seven or eight decibels on the way to 10, the cascade too, and it stays on top all the way. Only
# the zero-filled image and the network alone lose fewer: they have less to lose. That network was
# trained at 5, and with the *more* data of acceleration 3 it is no better. (b) and (c) are yours to argue.
#
# ## 6.8 A mistake on purpose: another mask in the consistency step
#
# One published solution of this assignment draws a *new* random mask inside its consistency
# layer. Everything runs, the loss falls. What is wrong?

# %% tags=["nbval-check-output"]
other = sampling.ky_t_mask(mask.shape[:3] + (1,), seed=seed + 99)
mistaken = consistent(target, kspace, other, torch.inf)  # into the perfect image!
lost = ((fourier.fft2c(mistaken).abs() < 1e-6) & other & ~mask).any().item()
assert lost and (A(mistaken) - kspace).norm() / kspace.norm() < 1e-5
print("lines that were never measured have been set to zero:", lost)

# %% [markdown]
# The symptom: where the wrong mask says "sampled", $y$ holds zeros, and these zeros are written
# into the image, even into a perfect one. On the truth the check $A m = y$ with the right mask passes all
# the same. On a network's image it fails, since lines that were measured are not all put back. So test a
# consistency step on both: the data must come back, and the *truth* must come out unchanged.

# %% [markdown]
# ## Exercises
#
# Each asks for a function. Write it in the cell below the question, then run the check: it tries your
# function on small examples and says what is right, or what is not. (In the teacher's form a solution
# lies below the question, folded away.)

# %% [markdown]
# ### Exercise 6.1 · Derive and code: a weight for every line
#
# Section 6.2 trusts all measured lines alike. But a scanner may measure the centre lines several times
# over. So let each line $k$ have a weight $\lambda_k$ of its own, and minimise
#
# $$
# \lVert m - x \rVert^2 + \sum_{k \text{ sampled}} \lambda_k \, \bigl| (F m)_k - y_k \bigr|^2 .
# $$
#
# Derive the normal equations on paper and write `soft_consistency(image, kspace, mask, weight)`. The
# `weight` is a number, or a tensor of the shape of the mask, `(b or 1, t, y, 1)`; anything from 0 to
# infinity. Return the cine, complex, `(b, t, y, x)`. **Predict** two limits before you run the check: what
# comes out at weight 0, and what at infinity?
#
# *Hint:* a tensor with an infinite weight in one line cannot be handled by `if`. And
# $\lambda / (1 + \lambda)$ is no number at infinity: write the same share in another way.

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
# The equations stay diagonal, so every line is solved for itself: a sampled one becomes
# $\bigl((F x)_k + \lambda_k y_k\bigr) / (1 + \lambda_k)$. At weight 0 the image stays as it is; at
# infinity the line is the data's. Lines that were not sampled have no term in the sum, and stay.

# %% [markdown]
# ### Exercise 6.2 · When is soft better than hard?
#
# Hard consistency believes every measured line. Say the network is wrong by `error` on these lines and
# the data by `noise`: two standard deviations, of errors that know nothing of each other. Which weight
# $\lambda$ leaves the smallest error? Write `best_weight(error, noise)`, a number for another, `noise`
# above 0. **Predict**: which weight if both are equally wrong? And if the noise is nearly zero?
#
# *Hint:* with the share $s = \lambda / (1 + \lambda)$ of the data, the error that is left has the variance
# $(1-s)^2 \, \text{error}^2 + s^2 \, \text{noise}^2$. Find the best $s$, then its $\lambda$.

# %% tags=["hide-cell", "solution"]
# Solution 6.2
def best_weight(error, noise):
    """The weight of the data that leaves the smallest error on measured lines, a number."""
    return (error / noise) ** 2


# %%
exercises.check_6_2(best_weight)

# %% tags=["hide-cell", "solution"]
# Solution 6.2: the network's image, made consistent with data with and without noise
generator = torch.Generator().manual_seed(seed)
noise = 0.02 * torch.randn(kspace.shape, dtype=torch.complex64, generator=generator) * mask
error = ((A(painted) - kspace).abs().square().sum() / mask.expand_as(kspace).sum()).sqrt().item()
best = best_weight(error, 0.02)
print(f"the network is wrong by {error:.3f}, so the best weight for noise of 0.02 is {best:.2f}")
print("error on measured lines\n weight   without noise   with noise")
for weight in sorted((0.1, 1.0, best, 100.0, torch.inf)):
    images = [consistent(painted, data_, mask, weight) for data_ in (kspace, kspace + noise)]
    print("{:7.2f} {:15.5f} {:12.5f}".format(weight, *(relative_error(image, mask) for image in images)))

# %% [markdown] tags=["solution"]
# The best weight is the ratio of the two variances: each is trusted as much as the other is doubted.
# Without noise that is infinite, and hard consistency is right. With noise there is a best weight between
# nothing and all. Two things the formula leaves out: the network's error differs from line to line (so
# would the best weight, see exercise 6.1), and nobody knows it on a new patient. In a cascade $\lambda$ can be
# learnt (`learnable_weight=True`).

# %% [markdown]
# ### Exercise 6.3 · Beat k-t total variation at acceleration 8
#
# The cascades that you trained know acceleration 5; section 6.7 says what the shipped one has seen.
# **Predict**: does it keep its lead over k-t total variation at 3, and at 8? Then beat that method where
# data are scarce. Write `reconstruct(kspace, mask)`, which returns the complex cine, of the shape of
# k-space. The check has a heart of its own that no network of this course has seen, at acceleration 8: 32
# readout columns, k-space `(1, 20, 192, 32)`. It hands you k-space and its forward model, keeps the truth
# to itself, and wants 1 dB more than `classical.kt_tv` reaches.
#
# *Hint:* anything goes: a rung of the ladder (`methods.load`), a network that you train yourself, or two
# methods together. Measure on test cines at acceleration 8 before you ask the check.

# %% tags=["hide-cell", "solution"]
# Solution 6.3
def reconstruct(kspace, A):
    """The cine, complex, of the shape of k-space."""
    return methods.load("unrolled")(kspace, A)


# %%
exercises.check_6_3(reconstruct)

# %% tags=["hide-cell", "solution"]
# Solution 6.3: two test cines at other accelerations
lines = cines.shape[2]
for acceleration in (3, 5, min(8, lines // 11)):
    some = data.UndersampledCines(test.subset(range(2)), acceleration=acceleration, seed=seed + 3)
    for name, method in {"k-t TV": classical.kt_tv, "yours": reconstruct}.items():
        psnr = metrics.summarise(training.evaluate(method, some, title=name))["psnr"]["mean"]
        print(f"acceleration {acceleration}: {name:6} {psnr:.2f} dB")

# %% [markdown] tags=["solution"]
# The lines above say by how much the shipped cascade is ahead at each acceleration. Compare with exercise 4.2,
# a network alone at another acceleration. Here the measured lines get the last word in every turn,
# however many there are, and the network only fills in between.

# %% [markdown]
# ### Exercise 6.4 · Shared weights
#
# Let all cascades use the *same* regulariser. How many parameters are left? Count them by hand:
# `parameters(features, cascades, shared)` returns the number of weights and biases of a cascade. Each
# regulariser has four convolutions, all with biases: 3×3×3 from a complex image to `features` channels,
# two of 3×3×3 from `features` to `features`, and 1×1×1 back to a complex image. Hard consistency has
# nothing to learn.
#
# *Hint:* a convolution from $a$ to $b$ channels has $b$ biases and, for each of the $b$, a kernel over all
# $a$. How many channels is a complex image?

# %% tags=["hide-cell", "solution"]
# Solution 6.4
def parameters(features, cascades, shared):
    """How many weights and biases a cascade of 3-D ResNets has, a number."""
    layers = (2, features, 27), (features, features, 27), (features, features, 27), (features, 2, 1)
    one = sum(outputs * (inputs * kernel + 1) for inputs, outputs, kernel in layers)
    return one if shared else cascades * one


# %%
exercises.check_6_4(parameters)

# %% tags=["hide-cell", "solution"]
# Solution 6.4: is it as good? A small cascade, trained for three epochs, either way
short = replace(config, epochs=3)
for shared in (False, True):
    twin = methods.build(replace(profile.unrolled, features=4, cascades=3, shared=shared))
    log = training.fit(twin, samples, validation_set, short)
    count = parameters(4, 3, shared)
    print(f"shared={shared!s:5}: {count:6} parameters, {log[-1]['val_psnr']:.2f} dB on validation cines")

# %% [markdown] tags=["solution"]
# Sharing makes the cascade an iteration of one and the same step, as in MoDL (Aggarwal and
# others, 2019): fewer parameters, and one may run more steps than were trained.

# %% [markdown]
# ## Summary
#
# 1. **Contradiction** is measured by $\lVert A\hat m - y\rVert$: the stand-alone network changes
#    what was measured.
# 2. **Data consistency** follows from the normal equations, which are diagonal in k-space: one
#    `where`, soft or hard. Tested on $A m = y$ *and* on the truth.
# 3. **A cascade** alternates network and data; the network makes all the progress on the lines
#    that were not measured, the data undo its damage on those that were.
# 4. **More cascades** cost time and memory in proportion and bring less and less; checkpointing
#    buys the memory back with time.
# 5. **The report's mistakes** do not cost alike. Taking the magnitude can pay on magnitude images and fails
#    on every other: what is learnt from magnitudes need not hold for images with a phase.
# 6. **The ladder** has two columns. A rung is worth what it gains over the best method without learning, in
#    the world in which it will be used.
#
# ## References
#
# - J. Schlemper, J. Caballero, J. V. Hajnal, A. N. Price, D. Rueckert: A deep cascade of
#   convolutional neural networks for dynamic MR image reconstruction. IEEE Transactions on
#   Medical Imaging 37:491, 2018.
# - K. Hammernik et al.: Learning a variational network for reconstruction of accelerated MRI
#   data. Magnetic Resonance in Medicine 79:3055, 2018.
# - H. K. Aggarwal, M. P. Mani, M. Jacob: MoDL: Model-based deep learning architecture for inverse
#   problems. IEEE Transactions on Medical Imaging 38:394, 2019.
# - A. Sriram et al.: End-to-end variational networks for accelerated MRI reconstruction. MICCAI
#   2020.
#
# **Next:** [07_scanner](07_scanner.ipynb): coils, noise and raw data, where only the forward model changes.
