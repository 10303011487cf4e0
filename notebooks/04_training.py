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
# # 4 · Training: what a network learns, and how we know
#
# How good does the network of notebook 3 become by training, and is that good enough?
#
# **When you are through, you can**
#
# 1. split cines into three sets so that no patient is in two of them;
# 2. write the training loop and read its curves;
# 3. report PSNR and SSIM of every test cine;
# 4. place the network on the ladder, and say how sure this place is;
# 5. check whether the heart still beats as it should.
#
# **You need** notebooks [02](02_aliasing.ipynb) (forward model, metrics, ladder) and
# [03](03_network.ipynb) (the network).
#
# **Time:** reading and running about 52 minutes, exercises about 45, deeper sections about 5.

# %% [markdown]
# ## Set up

# %%
from dataclasses import replace

from IPython.display import Markdown

from dmri_helpers import (
    data, exercises, methods, metrics, operators, plotting, profiles, results, runs, training, widgets,
)  # fmt: skip

import torch

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown] tags=["report"]
# ## 4.1 Three sets of cines, and no patient in two of them (4 min)
#
# The **training** cines move the weights of the network. The **validation** cines choose: which epoch was best, which
# learning rate. The **test** [cines](../site/conventions.md#term-cine) are looked at once, at the end. The assignment
# asks for 4 : 1 : 2.

# %% [markdown] tags=["report"]
# Two neighbouring slices of one heart are nearly the same picture. If the network is trained on one and tested on the
# other, the test measures memory. So we split *patients*. The seed makes the split the same for every method.

# %%
train, val, test = data.split(cines, ratio=(4, 1, 2), seed=seed)
for name, part in {"training": train, "validation": val, "test": test}.items():
    print(f"{name:10} {len(part):3} cines, patients known: {part.groups is not None}")

# %% tags=["nbval-check-output"]
if cines.groups is not None:
    sides = [set(part.groups.tolist()) for part in (train, val, test)]
    assert sides[0].isdisjoint(sides[1]) and (sides[0] | sides[1]).isdisjoint(sides[2])
assert len(train) + len(val) + len(test) == len(cines)
print("every cine in one set, no patient in two")

# %% [markdown]
# If a file does not say which cines belong together, every cine counts as a patient of its own. Then ask whoever made
# the file.

# %% [markdown]
# ## 4.2 A fresh mask every time (4 min)
#
# > **Predict 4.1.** The seed report drew its masks once and used them in every epoch. What could
# > a network learn from that, besides how hearts look?

# %%
config = profile.dual_unet_training
training_set, validation_set, test_set = data.samples((train, val, test), config)
kspace, A, target = training_set[0]
print("k-space, mask and target of one sample:", *(tuple(a.shape) for a in (kspace, A.mask, target)))

# %% tags=["nbval-check-output"]
masks = []
for epoch in (1, 2):
    training_set.set_epoch(epoch)
    masks.append(training_set[0][1].mask)
assert not torch.equal(*masks) and torch.equal(test_set[0][1].mask, test_set[0][1].mask)
print("training: another mask in every epoch; test: always the same")

# %% [markdown]
# <details><summary>Answer to 4.1</summary>
#
# It could learn the *mask*: which pattern of [aliasing](../site/conventions.md#term-aliasing) to subtract. This does
# not help on a scan with another mask (Table 6.3 has the price). So every training sample gets a new mask in every
# epoch. Validation and test masks stay fixed, so that epochs and methods can be compared.
#
# </details>

# %% [markdown]
# The training samples are strips: they have fewer columns of the [readout](../site/conventions.md#term-readout) than
# the cines. The measurement treats every column by itself (notebook 2), so a strip is a cheaper sample.

# %% [markdown] tags=["report"]
# ## 4.3 Loss, weight decay, learning rate (3 min)
#
# Let $f_\theta$ be the network with the weights $\theta$, $b$ a zero-filled cine and $m$ the true one. We minimise the
# mean squared error of the complex image over its $N$ pixels and frames:
#
# $$
# \text{loss}(\theta) = \frac{1}{N}\sum_{i} \bigl| f_\theta(b)_i - m_i \bigr|^2 .
# $$

# %% [markdown] tags=["report"]
# After every step each weight also shrinks a little, with the learning rate $\eta$ and the *weight decay*
# $\lambda_\text{decay}$:
#
# $$
# \theta \leftarrow \theta - \eta\,\lambda_\text{decay}\, \theta .
# $$

# %% [markdown] tags=["report"]
# Weights that the data do not ask for fade away. This is the weight regularisation of the assignment, in the form of
# Loshchilov and Hutter (AdamW). The rate $\eta$ first rises, and then falls to zero along half a cosine.

# %% [markdown]
# ## 4.4 The loop, whole (5 min)

# %%
def take_step(model, optimizer, rate, kspace, A, target):
    """One step of the optimizer on the squared error of the complex image; returns the loss, a number."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    error = model(kspace, A) - target
    loss = (error.real**2 + error.imag**2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


# %%
def train_network(model, samples, config):
    """Train with AdamW; the mean loss of every epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    losses = []
    for epoch in range(1, config.epochs + 1):
        torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout
        samples.set_epoch(epoch)  # fresh masks, strips and order
        model.train()
        batches, total = list(samples.batches(config.batch_size)), 0.0
        for step, (kspace, A, target) in enumerate(batches):
            progress = (epoch - 1 + step / len(batches)) / config.epochs
            rate = config.learning_rate * training.rate_factor(progress, "cosine")
            total += take_step(model, optimizer, rate, kspace, A, target) * len(target)
        losses.append(total / len(samples))
    return losses


# %% [markdown]
# `training.fit` has the same loop inside. It also validates after every epoch and keeps the best weights. Two short
# epochs show that both do the same:

# %%
small = replace(profiles.TINY.dual_unet, frames=cines.shape[1])
short = replace(config, epochs=2, batch_size=2, learning_rate=3e-3, mixed_precision=False)
strips = data.UndersampledCines(train.subset(range(4)), seed=seed, training=True, crop=16)
mine = train_network(methods.build(small), strips, short)
log = training.fit(methods.build(small), strips, validation_set, short)
theirs = [row["train_loss"] for row in log[1:]]

# %% tags=["nbval-check-output"]
torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs))
print("my loop and training.fit: the same losses")

# %% [markdown]
# ## 4.5 The run (5 min)
#
# > **Predict 4.2.** The network starts as the identity (notebook 3). What is its PSNR on the
# > validation cines before the first step? And which will be lower in the end, the training loss
# > or the validation loss?

# %% [markdown]
# If this run exists (same network, same settings, same data), it is loaded with its log. If not, it is trained here.

# %%
model, log, folder = runs.trained(
    "dual_unet", profile.dual_unet, config, training_set, validation_set, profiles.runs_folder()
)
best, last = max(log, key=lambda row: row["val_psnr"]), log[-1]
seconds = sum(row["seconds"] for row in log)
print(f"run {folder.name}: {config.epochs} epochs in {seconds:.0f} s, dropout {profile.dual_unet.dropout:g}")
print(f"validation PSNR: {log[0]['val_psnr']:.2f} dB untrained, {best['val_psnr']:.2f} dB in epoch {best['epoch']}")
print(f"last epoch: training loss {last['train_loss']:.5f}, validation loss {last['val_loss']:.5f}")

# %%
curves = plotting.loss_curves(log)
plotting.save(curves, figures / "04_curves.png")
curves

# %% [markdown]
# **Figure 4.1.** Loss (logarithmic), validation PSNR and learning rate against the epoch. If the validation loss still
# falls at the end, train longer. If it rises while the training loss falls, the network memorises.

# %% [markdown]
# <details><summary>Answer to 4.2</summary>
#
# Untrained, it has the PSNR of the [zero-filled](../site/conventions.md#term-zero-filled) image. The printed line says
# which loss is lower. The training loss is measured with dropout on, and over an epoch in which the network still
# improves. Both raise it, so it may lie *above* the validation loss.
#
# </details>

# %% [markdown]
# ## 4.6 Before and after (4 min)
#
# > **Assignment, part b.** Split, loss curves, test images before and after, and the scores of
# > every test slice are in sections 4.1 and 4.5 to 4.7.

# %%
kspace, A, target = test_set[0]
with torch.no_grad():
    before = model.start(kspace, A)
    after = model(kspace, A)
truth = target[0].abs()
shown = {"fully sampled": truth, "before: zero-filled": before[0], "after: network": after[0]}

# %%
scores = {name: {"psnr": metrics.cine_metrics(cine, truth)["psnr"]} for name, cine in shown.items()}
scores["fully sampled"] = "reference"
figure = plotting.cine_comparison(shown, frame=3, reference="fully sampled", scores=scores)
plotting.save(figure, figures / "04_before_after.png")
figure

# %% [markdown]
# **Figure 4.2.** One frame of the first test cine: fully sampled, before and after the network; below, the errors on
# one common scale. Look at the edges of the heart in the error map: what did the network put there?

# %%
column = target.shape[-1] // 2
widgets.cine_viewer(shown, errors_against="fully sampled", column=column)

# %% [markdown]
# **Figure 4.3.** The same cine under a frame slider; at the bottom one column against time. Do the borders of the heart
# move as much as they should?

# %% [markdown]
# ## 4.7 Every test slice (4 min)
#
# One picture proves nothing. These are all test cines, each with its own mask:

# %% tags=["report"]
rows = {"zero_filled": training.evaluate(methods.load("zero_filled"), test_set, title="zero-filled")}
rows["dual_unet"] = training.evaluate(model, test_set, title="network")
print("slice   PSNR before   after / dB    SSIM before   after")
for a, b in zip(rows["zero_filled"], rows["dual_unet"]):
    print(f"{a['cine']:5} {a['psnr']:13.2f} {b['psnr']:7.2f} {a['ssim']:17.3f} {b['ssim']:7.3f}")

# %%
before_psnr, after_psnr = ([row["psnr"] for row in rows[name]] for name in ("zero_filled", "dual_unet"))
plotting.paired_scores(before_psnr, after_psnr, "PSNR (dB)", names=("zero-filled", "network"))

# %% [markdown]
# **Figure 4.4.** PSNR of every test slice before and after; a line joins the two values of a slice. Compare how much
# the slices differ from each other with how much the gain differs.

# %% [markdown]
# ## 4.8 The same table, with everything that needs no training (9 min)
#
# Everything is measured in the two worlds of notebook 2: on the cines as they are stored, magnitudes, and on the same
# cines with the phase of a scanner's images. The network was trained on magnitudes alone.

# %% [markdown]
# > **Predict 4.3.** Rank these five by PSNR: zero-filled, temporal mean,
# > [view sharing](../site/conventions.md#term-view-sharing), k-t total variation, and the network.

# %%
turned_set = data.UndersampledCines(test, seed=test_set.seed, phase=1, vary=False)
order = ["zero_filled", "dual_unet", "temporal_mean", "view_sharing", "kt_tv"]
tested = {name: model if name == "dual_unet" else methods.load(name) for name in order}
for name in order[2:]:
    rows[name] = training.evaluate(tested[name], test_set, title=name)
turned = {name: training.evaluate(tested[name], turned_set, title=f"{name}, phase") for name in order}
worlds = {world: {name: metrics.summarise(found[name]) for name in order}
          for world, found in {"magnitude": rows, "phase": turned}.items()}
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic")))

# %% [markdown]
# **Table 4.1.** The ladder in both worlds: mean ± standard deviation over n test cines. The dynamic PSNR counts only
# pixels that move.

# %%
ladder = plotting.ladder(worlds)
plotting.save(ladder, figures / "04_ladder.png")
ladder

# %% [markdown]
# **Figure 4.5.** The same ladder drawn. Compare the network with the rungs that learn nothing.

# %%
for world, rungs in worlds.items():
    psnr = {name: rung["psnr"]["mean"] for name, rung in rungs.items()}
    gain, gap = (psnr["dual_unet"] - psnr[name] for name in ("zero_filled", "view_sharing"))
    print(f"{results.WORLDS[world]}: the network is {gain:+.1f} dB from the zero-filled image "
          f"and {gap:+.1f} dB from view sharing")
for name in order:
    change = worlds["phase"][name]["psnr"]["mean"] - worlds["magnitude"][name]["psnr"]["mean"]
    print(f"a phase changes {results.NAMES[name]} by {change:+.2f} dB")

# %% [markdown]
# <details><summary>Answer to 4.3</summary>
#
# Table 4.1 gives the order in each world. The last lines show what each method has assumed about the phase. If the
# network loses more than the others, it has learnt from magnitudes that an imaginary part is an error. Notebook 6
# comes back to this.
#
# </details>

# %% [markdown]
# A large gain over the zero-filled image is not enough: that image makes the poorest use of the data. The seed report
# reached $29.08 \pm 1.93$ dB on real cines (its README). The README of this project has the ladder on real cines, with
# view sharing in it.

# %% [markdown]
# What does view sharing have that the network lacks? It leaves every measured line as it is. The network gets all
# aliased frames, but nothing tells it which lines were *measured*, and nothing stops it from changing them. Notebook 6
# gives the network that, too.

# %% [markdown]
# ### Exercise 4.1 · How sure is the gap? ★★
#
# Could the order of two methods be luck? Write `gap(first, second)`. Two tensors of shape `(n,)` hold the PSNR of two
# methods on the same slices. Return two numbers: the mean difference, first minus second, and its *standard error*
# $s / \sqrt n$, where $s$ is the standard deviation of the differences. It says how far the mean would move with other
# slices.
#
# *Hint:* take the difference slice by slice *first*. `torch.std` estimates $s$ with $n - 1$, as it should.

# %% tags=["hide-cell", "solution"]
# Solution 4.1
def gap(first, second):
    """(mean of first - second, its standard error), two numbers."""
    difference = first - second
    return difference.mean().item(), difference.std().item() / len(difference) ** 0.5


# %%
exercises.check_4_1(gap)

# %% tags=["hide-cell", "solution"]
# Solution 4.1: the gap; and how sure it is without a formula, drawing the slices with replacement
shared = torch.tensor([row["psnr"] for row in rows["view_sharing"]])
mean, error = gap(torch.tensor(after_psnr), shared)
print(f"network - view sharing: {mean:.2f} dB, two standard errors are {2 * error:.2f} dB")
difference, n = torch.tensor(after_psnr) - shared, len(shared)
draws = difference[torch.randint(n, (1000, n), generator=torch.Generator().manual_seed(seed))].mean(1)
low, high = draws.quantile(0.025).item(), draws.quantile(0.975).item()
print(f"resampled a thousand times, 95 % lie between {low:.2f} and {high:.2f} dB")

# %% [markdown] tags=["solution"]
# If zero is further away than two standard errors, the order of the two is hardly luck *on cines like these*. It says
# nothing about cines of another scanner. With very few slices the resampled range is too narrow, and the standard
# error is a rough guess. Exercise 5.3 comes back to it.

# %% [markdown]
# ### Exercise 4.2 · What do more data bring? ★★
#
# The network has seen only [acceleration](../site/conventions.md#term-acceleration) 5. **Predict** what happens to it,
# and to view sharing, at 4, where there are more data. Then write `gained(method, cines, fast, slow, seed)`.
# Undersample the same cines at both accelerations, with fixed masks of that seed, and reconstruct each with
# `method(kspace, A)`. Return two numbers in dB: by how much the PSNR at `slow` is above that at `fast`, and the
# standard error of this gain.
#
# *Hint:* `data.UndersampledCines(cines, acceleration=..., seed=...)` and `training.evaluate`. The gain is one number
# for each cine, so you know its standard error from exercise 4.1.

# %% tags=["hide-cell", "solution"]
# Solution 4.2
def gained(method, cines, fast, slow, seed):
    """(mean gain in dB of the lower acceleration over the higher one, its standard error), two numbers."""
    psnr = {}
    for acceleration in (fast, slow):
        samples = data.UndersampledCines(cines, acceleration=acceleration, seed=seed)
        psnr[acceleration] = torch.tensor([row["psnr"] for row in training.evaluate(method, samples)])
    difference = psnr[slow] - psnr[fast]
    return difference.mean().item(), difference.std().item() / len(difference) ** 0.5


# %%
exercises.check_4_2(gained)

# %% tags=["hide-cell", "solution"]
# Solution 4.2: three test cines
for name, method in {"network": model, "view sharing": methods.load("view_sharing")}.items():
    gain, uncertain = gained(method, test.subset(range(min(3, len(test)))), 5, 4, seed + 3)
    print(f"from acceleration 5 to 4: {name:12} gains {gain:+.2f} ± {uncertain:.2f} dB")

# %% [markdown] tags=["solution"]
# The lines above say what the additional data bring to each. A network that was trained on one acceleration need not
# use them: it has learnt how much to change an image that is aliased *this* much.

# %% [markdown]
# ### Exercise 4.3 · How much of its data does the network keep? ★
#
# Write `contradiction(image, kspace, mask)`, which measures how far an image $\hat m$ is from its data $y$:
#
# $$ \lVert U F \hat m - y \rVert \,/\, \lVert y \rVert . $$
#
# Image and k-space have the shape `(b, t, y, x)`, the mask `(b or 1, t, y, 1)`; the result is one number
# for all of them. **Predict** it for the zero-filled image, and for the network.
#
# *Hint:* `operators.ForwardModel(mask)` is $U F$; `.norm()` works for complex tensors, too.

# %% tags=["hide-cell", "solution"]
# Solution 4.3
def contradiction(image, kspace, mask):
    """Distance of an image to its data, relative to the data: a number, 0 if it keeps all of them."""
    return ((operators.ForwardModel(mask)(image) - kspace).norm() / kspace.norm()).item()


# %%
exercises.check_4_3(contradiction)

# %% tags=["hide-cell", "solution"]
# Solution 4.3: three images of the first test cine
shown = {"zero-filled": before, "network": after, "view sharing": methods.load("view_sharing")(kspace, A)}
for name, image in shown.items():
    print(f"{name:12} changes its measured data by {contradiction(image, kspace, A.mask):.1%}")

# %% [markdown] tags=["solution"]
# The network contradicts what was measured. Notebook 6 starts here.

# %% [markdown] tags=["deeper"]
# ### Deeper: Did it only train too little? (3 min)
#
# Two networks of the same size come with the package. Their training was better in six ways at once: half an hour
# each, 304 other phantoms, wider strips, augmentation, L1 loss, no dropout. The first is fed with the zero-filled
# image, like ours. The second is fed with the *view-shared* image. (`dmri_helpers/weights` has configuration, log and
# machine.)
#
# > **Predict 4.4.** Do all six together lift the first above view sharing? And does the second end
# > above k-t total variation, which learns nothing?

# %% tags=["deeper"]
for name in ("dual_unet_long", "dual_unet_view_sharing"):
    rows[name] = training.evaluate(methods.load_pretrained(name), test_set, title=name)
order = ["dual_unet", "dual_unet_long", "view_sharing", "dual_unet_view_sharing", "kt_tv"]
Markdown(results.table({name: metrics.summarise(rows[name]) for name in order}))

# %% [markdown] tags=["deeper"]
# **Table 4.2.** Longer training and another input, on magnitudes. The profile `tiny` has other frames and sizes than
# the two networks were trained on.

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 4.4</summary>
#
# Table 4.2 says so for this run. The first two rows differ in six things, so they do not show which of the six did it.
# The two longer trained networks differ in their input alone: what a network is fed with counts.
#
# </details>

# %% [markdown]
# ## 4.9 Does the heart still pump? (8 min)
#
# A cardiologist asks how much of its blood the left ventricle throws out with each beat. The answer comes from areas of
# the cavity: when it is fullest, and when it is emptiest. A method that mixes frames can have a high PSNR, since most
# of the picture stands still, and still get this wrong.

# %% [markdown] tags=["report"]
# On simulated hearts the true area is known: count the labels. On an image we use a threshold. In the region that the
# cavity ever covers, blood is what is brighter than half way between typical blood and typical muscle.

# %% [markdown] tags=["report"]
# The *fractional area change* is
#
# $$
# 1 - \min_t \, \text{area}_t \,/ \max_t \, \text{area}_t .
# $$

# %%
known = data.phantom_truth(test) if cines.source == "phantom" else None


def blood_area(cine, labels):
    """Pixels of blood in every frame, by a threshold within what is cavity at any time."""
    image, region = cine.abs(), (labels == 1).any(0)
    threshold = (image[labels == 1].median() + image[labels == 2].median()) / 2  # blood and muscle
    return ((image > threshold) & region).sum((1, 2)).float()


def area_change(area):
    return (1 - area.min() / area.max()).item()


# %% [markdown]
# > **Predict 4.5.** Which of these flattens the curve of areas most: the zero-filled image, the
# > temporal mean, view sharing, or the network?

# %%
contenders = {name: methods.load(name) for name in ("zero_filled", "temporal_mean", "view_sharing")}
contenders["dual_unet"] = model
areas = {}
for i in range(len(test) if known else 0):
    labels = torch.from_numpy(known["labels"][i])
    y, B, original = test_set[i]
    with torch.no_grad(), training.native_precision():
        images = {"fully sampled": original} | {k: m(y, B) for k, m in contenders.items()}
    curves = {k: blood_area(image[0], labels) for k, image in images.items()}
    areas[i] = {"labels": (labels == 1).sum((1, 2)).float(), **curves}

# %%
figure = None
if known:
    first = max(areas, key=lambda i: area_change(areas[i]["labels"]))
    figure = plotting.curves(range(cines.shape[1]), {"area (pixels)": areas[first]}, "frame")
figure or print("measured cines: the true area is not known")

# %% [markdown]
# **Figure 4.6.** Area of the left ventricle by frame, in the test cine that contracts most: from the labels, and by the
# threshold on the full data and on reconstructions. Compare the *swing* of the curves.

# %% tags=["report"]
change = {k: torch.tensor([100 * area_change(a[k]) for a in areas.values()]) for k in areas.get(0, {})}
swing = {}
for name in change:
    to_truth, to_full = change[name] - change["labels"], change[name] - change["fully sampled"]
    swing[name] = {"mean": to_full.mean().item(), "std": to_full.std().item(), "n": len(to_full)}
    print(f"{name:14} off the labels by {to_truth.mean():+6.1f}, off the fully sampled image by "
          f"{swing[name]['mean']:+6.1f} ± {swing[name]['std']:.1f} percentage points (n = {len(to_full)})")

# %% [markdown]
# The row *fully sampled* says what the threshold itself gets wrong on a perfect image. For one thing, labels count the
# papillary muscles as cavity, and the threshold does not. So compare a reconstruction with the fully sampled image:
# read the second number.

# %% [markdown]
# <details><summary>Answer to 4.5</summary>
#
# The most negative second number belongs to the method that flattens most. The temporal mean fills what is missing
# from all frames, so it must flatten the beat.
#
# Do not judge by the first number alone. A method that flattens the curve can land close to the labels, because its
# error and that of the threshold cancel.
#
# </details>

# %% [markdown]
# These are few hearts. `dmri study heart` measured many, in both worlds, with better networks, too:

# %%
from dmri_helpers.studies import heart, study

Markdown(heart.table(study.measured("heart")["summary"]))

# %% [markdown]
# **Table 4.3.** Mean difference ± 1.96 standard deviations (*limits of agreement*). The wall's outer contour is
# that of the labels. Compare k-t TV with `unrolled` in PSNR and in the area change.

# %% [markdown]
# ## 4.10 A mistake on purpose: dropout that is still on (3 min)
#
# `model.train()` switches dropout on, `model.eval()` off. Without the second, we test a network whose channels are
# dropped at random.

# %% tags=["nbval-check-output"]
sample = (kspace, A)
with torch.no_grad():
    again = (model(*sample) - model(*sample)).abs().max()
    model.train()
    forgotten = (model(*sample) - model(*sample)).abs().max()
    model.eval()
assert again == 0 and forgotten > 0
print("eval: the same twice; train: another image at every call")

# %% [markdown]
# The symptom: scores change when you run the cell again. `fit` and `evaluate` switch for you; your own loop has to do
# it itself.

# %%
results.record(
    figures / "04_training.json", profile=profile.name, data=cines.source, seed=seed,
    split={"training": len(train), "validation": len(val), "test": len(test)},
    config=methods.describe_network(profile.dual_unet), epochs=config.epochs, worlds=worlds, rows=rows,
    area_change_off_the_fully_sampled_in_percentage_points=swing,
)  # fmt: skip

# %% [markdown]
# ### Exercise 4.4 · Find the bug ★★
#
# A colleague's test scores are suspiciously good. This is how the slices were split; `groups`, shape
# `(n,)`, says which patient every slice is from:
#
# ```python
# def wrong_split(groups, seed):
#     n = len(groups)
#     order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
#     return order[: 4 * n // 7], order[4 * n // 7 : 5 * n // 7], order[5 * n // 7 :]
# ```
#
# What is wrong? Write `split_patients(groups, seed)`, which returns the numbers of the slices for training, validation
# and test, three tensors of integers, with the *patients* 4 : 1 : 2. Their number is a multiple of 7.
#
# *Hint:* `groups.unique()` lists the patients, `torch.isin` finds the slices of some of them.

# %% tags=["hide-cell", "solution"]
# Solution 4.4
def split_patients(groups, seed):
    """(training, validation, test): numbers of slices, no patient in two of them."""
    patients = groups.unique()
    m = len(patients)
    patients = patients[torch.randperm(m, generator=torch.Generator().manual_seed(seed))]
    parts = patients.tensor_split((4 * m // 7, 5 * m // 7))
    return tuple(torch.isin(groups, part).nonzero().flatten() for part in parts)


# %%
exercises.check_4_4(split_patients)

# %% tags=["hide-cell", "solution"]
# Solution 4.4: how many test slices have a slice of the same heart among the training slices?
groups = torch.arange(35).repeat_interleave(5)  # 35 patients with five slices each
by_slice = torch.randperm(175, generator=torch.Generator().manual_seed(seed)).tensor_split((100, 125))
for name, parts in {"slices": by_slice, "patients": split_patients(groups, seed)}.items():
    leaked = torch.isin(groups[parts[2]], groups[parts[0]]).float().mean()
    print(f"{name:8} dealt out: {leaked:4.0%} of the test slices have a neighbour in training")

# %% [markdown] tags=["solution"]
# Slices were dealt out, not patients. Most test slices have a neighbour that the network was trained on, so the test
# may measure memory. Nothing complains, because the validation score is flattered, too. The seed report split by
# slices. How much is it worth? `dmri study leakage` tested the same slices of phantoms twice:

# %% tags=["hide-cell", "solution"]
# Solution 4.4: two slices of each test patient in the training set, or slices of other patients
Markdown(study.table(study.measured("leakage")["compared"]))

# %% [markdown] tags=["solution"]
# At this size no difference can be told: a small network that is trained for minutes does not memorise. Split patients
# all the same. Nobody knows beforehand what a larger network will memorise.

# %% [markdown]
# ## Summary
#
# 1. **Split** by patient, with a seed, 4 : 1 : 2. The test set is looked at once.
# 2. **The loop** draws, reconstructs, compares and steps. Every sample and epoch has a fresh mask, so that the network
#    learns hearts and not masks.
# 3. **Every test slice** is reported, before and after.
# 4. **The ladder**: a network is worth what it gains over the best method that needs no training, slice by slice. A
#    standard error says how sure that is.
# 5. **The beat** needs a look of its own. The area of the ventricle over time shows what an average over a mostly still
#    picture hides.

# %% [markdown]
# ## References
#
# - I. Loshchilov, F. Hutter: Decoupled weight decay regularization. ICLR 2019.
# - I. Loshchilov, F. Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR 2017.
# - D. P. Kingma, J. Ba: Adam: A method for stochastic optimization. ICLR 2015.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error
#   visibility to structural similarity. IEEE Transactions on Image Processing 13:600, 2004.

# %% [markdown]
# **Next:** [05_ablations](05_ablations.ipynb) takes the network apart: which pieces earn their
# place?
