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
# How good does the network of notebook 3 become when it is trained, and is that good enough?
#
# Training is the easy part: fifteen lines. Knowing what the result is worth takes more care:
# cines that the network has never seen, masks it has never seen, and methods without any learning
# beside it in the same table.
#
# **When you are through, you can**
#
# 1. split cines into training, validation and test so that no patient is on two sides;
# 2. write the training loop, with weight decay and a learning-rate schedule, and read its curves;
# 3. explain why every sample and every epoch gets a fresh mask;
# 4. report PSNR and SSIM of every test slice, before and after, with mean and spread;
# 5. place the network on the ladder of classical methods, and say how sure that place is;
# 6. check on hearts with known truth whether a reconstruction keeps what a cardiologist measures.
#
# **You need** notebooks [02](02_aliasing.ipynb) (forward model, metrics, ladder) and
# [03](03_network.ipynb) (the network).
#
# **Time:** an hour and a half to work through; under a minute to run on two cores when the
# trained network is loaded, three to four minutes when it is trained.

# %% [markdown]
# ## Set up

# %%
from dataclasses import replace

import torch
from IPython.display import Markdown

from dmri_helpers import (
    data, exercises, methods, metrics, operators, plotting, profiles, results, runs, training, widgets,
)  # fmt: skip

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# ## 4.1 Three sets of cines, and no patient in two of them
#
# We need three sets. The **training** cines move the weights. The **validation** cines choose:
# which epoch was best, which learning rate. The **test** cines are looked at once, at the end.
# The assignment asks for 4 : 1 : 2.
#
# The dangerous part is hidden in "cines". Two neighbouring slices of one heart are nearly the
# same picture. If one is trained on and the other tested on, the test measures memory. So we
# split *patients*, with a seed: the same split today, tomorrow, and for every method we compare.

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
# Where a file does not say which cines belong together, every cine counts as a patient of its
# own, and the line above promises less than it seems: then ask whoever made the file.
#
# ## 4.2 A fresh mask every time
#
# > **Predict 4.1.** The seed report drew its masks once and used them in every epoch. What could
# > a network with a million weights learn from that, besides how hearts look?
#
# It can learn the *mask*: which aliasing pattern to subtract. That knowledge is worthless on the
# next scan. So `UndersampledCines` draws a new mask for every training sample in every epoch;
# validation and test masks stay fixed, or we could not compare one epoch with the next.

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
# The training samples are narrower than the cines: strips of readout columns. Notebook 2 showed
# that columns are independent problems, so a strip is an honest, smaller and cheaper sample.
#
# ## 4.3 Loss, weight decay, schedule
#
# With $f_w$ the network and $b$ the zero-filled cine, we minimise over the weights $w$
#
# $$
# L(w) = \frac{1}{N}\sum_{i} \bigl| f_w(b)_i - m_i \bigr|^2 ,
# $$
#
# the mean squared error of the *complex* image over its $N$ pixels and frames. After every step
# each weight also shrinks a little, $w \leftarrow w - \eta\,\lambda\, w$ with the rate $\eta$ and
# the weight decay $\lambda$: weights that the data do not ask for fade away. That is the weight
# regularisation of the assignment, in the form of Loshchilov and Hutter (AdamW).
#
# The rate $\eta$ itself rises linearly over the first twentieth of the run, while the running
# averages of Adam are still poor, and then falls along half a cosine to zero, so that the last
# steps polish.
#
# ## 4.4 The loop, whole

# %%
def train_network(model, samples, config):
    """Train with AdamW on the squared error of the complex image; the mean loss of every epoch."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    losses = []
    for epoch in range(1, config.epochs + 1):
        torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout
        samples.set_epoch(epoch)  # fresh masks, strips and order
        model.train()
        batches = list(samples.batches(config.batch_size))
        total = 0.0
        for step, (kspace, A, target) in enumerate(batches):
            progress = (epoch - 1 + step / len(batches)) / config.epochs
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * training.rate_factor(progress, "cosine")
            optimizer.zero_grad()
            error = model(kspace, A) - target
            loss = (error.real**2 + error.imag**2).mean()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        losses.append(total / len(samples))
    return losses


# %% [markdown]
# That is all of it. `training.fit` has the same loop inside; around it, it validates after every
# epoch, keeps the best weights, writes a log, and can go on after an interruption. A small
# network and two short epochs show that both do the same:

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
# ## 4.5 The run
#
# > **Predict 4.2.** The network starts as the identity (notebook 3): what is its PSNR on the
# > validation cines before the first step? And which will be lower in the end, the training loss
# > or the validation loss? Mind the dropout: it is switched on in one of them only.
#
# If this very run exists (same network, same settings, same data), it is loaded, with its log; if
# not, it is trained here, with a progress bar.

# %%
model, log, folder = runs.trained(
    "dual_unet", profile.dual_unet, config, training_set, validation_set, profiles.runs_folder()
)
best = max(log, key=lambda row: row["val_psnr"])
seconds = sum(row["seconds"] for row in log)
print(f"run {folder.name}: {config.epochs} epochs in {seconds:.0f} s when it was trained")
print(f"validation PSNR: {log[0]['val_psnr']:.2f} dB untrained, {best['val_psnr']:.2f} dB in epoch {best['epoch']}")

# %%
curves = plotting.loss_curves(log)
plotting.save(curves, figures / "04_curves.png")
curves

# %% [markdown]
# **Figure 4.1.** Loss on training and validation cines (logarithmic), validation PSNR and
# learning rate against the epoch. Epoch 0 is the untrained network: its PSNR is that of the
# zero-filled image. Look for three things: whether the validation loss still falls at the end
# (train longer), whether it turns upwards while the training loss falls (the network memorises),
# and how both become smooth when the rate goes to zero. The training loss may lie *above* the other:
# it is measured with dropout on, the validation loss with dropout off.
#
# ## 4.6 Before and after
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
# **Figure 4.2.** One frame of the first test cine: fully sampled, before and after the network;
# below, the errors on one common scale. The noise-like ripples of the aliasing are gone. Now look
# at the edges of the heart in the error map, and ask what the network put in their place.

# %%
column = target.shape[-1] // 2
widgets.cine_viewer(shown, errors_against="fully sampled", column=column)

# %% [markdown]
# **Figure 4.3.** The same cine under a frame slider; at the bottom one column against time. A
# network that smooths over time shows it here first: the borders of the heart move less than they
# should.
#
# ## 4.7 Every test slice
#
# One picture proves nothing. These are all test cines, each with its own mask:

# %%
rows = {"zero_filled": training.evaluate(methods.load("zero_filled"), test_set, title="zero-filled")}
rows["dual_unet"] = training.evaluate(model, test_set, title="network")
print("slice   PSNR before   after / dB    SSIM before   after")
for a, b in zip(rows["zero_filled"], rows["dual_unet"]):
    print(f"{a['cine']:5} {a['psnr']:13.2f} {b['psnr']:7.2f} {a['ssim']:17.3f} {b['ssim']:7.3f}")

# %%
before_psnr, after_psnr = ([row["psnr"] for row in rows[name]] for name in ("zero_filled", "dual_unet"))
plotting.paired_scores(before_psnr, after_psnr, "PSNR (dB)", names=("zero-filled", "network"))

# %% [markdown]
# **Figure 4.4.** PSNR of every test slice before and after; a line joins the two values of a
# slice. The lines say more than two means with their spreads: compare how much the slices differ
# from each other with how much the gain differs from slice to slice.
#
# ## 4.8 The same table, with everything that needs no training
#
# > **Predict 4.3.** Rank these five by PSNR before you run the cell: zero-filled, temporal mean,
# > view sharing, k-t total variation, and the network.

# As in notebook 2 everything is measured in two worlds: on the cines as they are stored, magnitudes, and
# on the same cines with the phase of a scanner's images. The network has been trained on the first
# alone.

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

# %%
ladder = plotting.ladder(worlds)
plotting.save(ladder, figures / "04_ladder.png")
ladder

# %% [markdown]
# **Figure 4.5.** The ladder on these test cines in both worlds: mean and standard deviation over cines of
# the PSNR, of the PSNR where the heart moves, and of SSIM.

# %% [markdown]
# The next cell says in words what the numbers say.

# %%
for world, rungs in worlds.items():
    psnr = {name: rung["psnr"]["mean"] for name, rung in rungs.items()}
    gain, gap = (psnr["dual_unet"] - psnr[name] for name in ("zero_filled", "view_sharing"))
    print(f"{results.WORLDS[world]}: the network gains {gain:.1f} dB over the zero-filled image, and stands")
    print(f"   {abs(gap):.1f} dB {'below' if gap < 0 else 'above'} copying lines from the nearest frame.")
for name in order:
    change = worlds["phase"][name]["psnr"]["mean"] - worlds["magnitude"][name]["psnr"]["mean"]
    print(f"a phase changes {results.NAMES[name]} by {change:+.2f} dB")

# %% [markdown]
# The last lines show what each method has assumed about the phase. A network that saw magnitudes alone
# may have learnt that the imaginary part of an aliased image is always an error. Where it loses more by the
# phase than the methods that learn nothing, this is the reason. Notebook 6 comes back to it.

# %% [markdown]
# The seed report trained such a network for 800 epochs on the real cines of its course and
# reached $29.08 \pm 1.93$ dB (its README); view sharing reaches 34.5 dB on cines of that same
# set. A large gain over the zero-filled image is no achievement by itself: the zero-filled image
# is the poorest use one can make of the data.

# %% [markdown]
# What does a copy have that the network lacks? The network sees all aliased frames, and has to find out
# by itself what belongs together. Nothing tells it which lines were *measured*, and nothing stops it from
# changing them. View sharing leaves every measured line as it is. Notebook 6 gives the network that, too.

# %% [markdown]
# ### Or did it only train too little?
#
# A fair objection. Two networks of the same size come with the package that had a better training in
# six ways at once: half an hour each, 304 other phantoms, wider strips, augmentation, L1 loss, no dropout.
# One is fed with the zero-filled image, like ours. The other is fed with the *view-shared* image, and has
# only to correct what copying got wrong. (Configuration, log and machine: `dmri_helpers/weights`.)

# %% [markdown]
# > **Predict 4.4.** Do all six together lift the first above view sharing? And does the second end
# > above k-t total variation, which learns nothing?

# %%
for name in ("dual_unet_long", "dual_unet_view_sharing"):
    rows[name] = training.evaluate(methods.load_pretrained(name), test_set, title=name)
order = ["dual_unet", "dual_unet_long", "view_sharing", "dual_unet_view_sharing", "kt_tv"]
Markdown(results.table({name: metrics.summarise(rows[name]) for name in order}))

# %% [markdown]
# This table is in the world of magnitudes. Its first two rows differ in six things, so they show how far
# such a network gets, and not which of the six did it. The two longer trained ones differ in their input
# alone: what a network is fed with counts. Compare both with k-t total variation, which learns nothing. (The
# small profile of the tests has other frames and sizes than these two were trained on.)

# %% [markdown]
# ## 4.9 Does the heart still pump?
#
# A cardiologist does not read decibels. One of the first questions is how much of its blood the left
# ventricle throws out with each beat, and that number comes from areas: the cavity, slice by slice,
# when it is fullest and when it is emptiest. A method that mixes frames could have a fine PSNR,
# since most of the picture stands still, and yet tell the wrong story about the beat.

# %% [markdown]
# On simulated hearts the true area is known: count the labels. On an image we measure it as simply as
# one can. In the region $R$ that the cavity ever covers, blood is what is brighter than half way
# between the typical blood and the typical muscle of that frame:
#
# $$
# A_t = \bigl|\{\, p \in R : |m_t(p)| > \tfrac12 (\text{blood}_t + \text{muscle}_t) \,\}\bigr|,
# \qquad \text{fractional area change} = 1 - \min_t A_t \,/ \max_t A_t .
# $$
#
# It is the ejection fraction of one slice.

# %%
known = data.phantom_truth(test) if cines.source == "phantom" else None


def blood_area(cine, labels):
    """Pixels of blood in every frame, by a threshold within what is cavity at any time."""
    image, region = cine.abs().float(), (labels == 1).any(0)
    typical = [image.masked_fill(labels != k, torch.nan).flatten(1).nanmedian(1).values for k in (1, 2)]
    threshold = sum(typical)[:, None, None] / 2
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
    y, A, original = test_set[i]
    with torch.no_grad(), training.native_precision():
        images = {"fully sampled": original} | {k: m(y, A) for k, m in contenders.items()}
    curves = {k: blood_area(image[0], labels) for k, image in images.items()}
    areas[i] = {"labels": (labels == 1).sum((1, 2)).float(), **curves}

# %%
figure = None
if known:
    first = max(areas, key=lambda i: area_change(areas[i]["labels"]))
    figure = plotting.curves(range(cines.shape[1]), {"area (pixels)": areas[first]}, "frame")
figure or print("measured cines: the true area is not known")

# %% [markdown]
# **Figure 4.6.** Area of the left ventricle in the test cine that contracts most, by frame: counted from
# the labels, and measured by the threshold on the fully sampled image and on reconstructions.
# Labels count the papillary muscles as cavity, as clinical contours do; the threshold does not, and in
# systole the muscles fill most of what is left, so its curve falls deeper even on the fully sampled
# image. Compare the *swing* of the curves.

# %%
change = {k: torch.tensor([100 * area_change(a[k]) for a in areas.values()]) for k in areas.get(0, {})}
swing = {}
for name in change:
    to_truth, to_full = change[name] - change["labels"], change[name] - change["fully sampled"]
    swing[name] = {"mean": to_full.mean().item(), "std": to_full.std(correction=0).item()}
    print(f"{name:14} off the labels by {to_truth.mean():+6.1f}, off the fully sampled image by "
          f"{swing[name]['mean']:+6.1f} ± {swing[name]['std']:.1f} percentage points")

# %% [markdown]
# Read *fully sampled* first: its distance from the labels is what the threshold itself gets wrong, on a
# perfect image. So the second number counts: what a reconstruction takes away from the same
# measurement on the full data. Methods that mix frames flatten the beat, and PSNR did not
# say by how much.
#
# And beware of the first number alone. A method that flattens the curve can land closer to the
# labels than the perfect image does, because its error and the threshold's cancel. Right for the wrong
# reason is wrong on the next patient.
#
# ## 4.10 A mistake on purpose: dropout that is still on
#
# `model.train()` switches dropout on, `model.eval()` off. Forget the second, and the network that
# you test is a damaged one, another at every call.

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
# The symptom: scores that change when you run the cell again, and a test PSNR below the last
# validation PSNR. `fit` and `evaluate` switch for you; your own loop has to.

# %%
results.record(
    figures / "04_training.json", profile=profile.name, data=cines.source, seed=seed,
    split={"training": len(train), "validation": len(val), "test": len(test)},
    config=methods.describe_network(profile.dual_unet), epochs=config.epochs, worlds=worlds, rows=rows,
    area_change_off_the_fully_sampled_in_percentage_points=swing,
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# Each asks for a function. Write it in the cell below the question, then run the check: it tries your
# function on small examples and says what is right, or what is not. (In the teacher's form a solution
# lies below the question, folded away.)

# %% [markdown]
# ### Exercise 4.1 · How sure is the gap?
#
# With so few test slices, could the network's place below (or above) view sharing be luck? Write
# `gap(first, second)`: two tensors of shape `(n,)` hold the PSNR of two methods on the same slices.
# Return two numbers: the mean difference, first minus second, and its *standard error*. That is how far
# such a mean would move if other slices had been drawn: $s / \sqrt n$ for $n$ independent values with
# the standard deviation $s$.
#
# **Predict** from Figure 4.4: which scatters more from slice to slice, the PSNR or the difference?
#
# *Hint:* take the difference slice by slice *first*, and what makes a slice hard for both methods
# cancels. `torch.std` estimates $s$ with $n - 1$, as it should.

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
# If zero is further away than two standard errors, the order of the two is not luck *on cines like
# these*. It says nothing about cines of another scanner. The resampled range agrees, unless there are
# very few slices: then it is too narrow, and the standard error itself a rough guess. Exercise 5.3 comes
# back to it.

# %% [markdown]
# ### Exercise 4.2 · Another acceleration
#
# The network has only ever seen acceleration 5. **Predict** what happens to it, and to view sharing, at
# acceleration 4, where there are more data. To find out, write
# `psnr_at(method, cines, acceleration, seed)`: undersample the cines with fixed masks of that seed,
# reconstruct each with `method(kspace, A)`, and return the mean PSNR over the cines, a number in dB.
#
# *Hint:* `data.UndersampledCines(cines, acceleration=..., seed=...)`; then do with it what sections 4.7
# and 4.8 do with the test set.

# %% tags=["hide-cell", "solution"]
# Solution 4.2
def psnr_at(method, cines, acceleration, seed):
    """Mean PSNR in dB of a method on these cines at this acceleration."""
    samples = data.UndersampledCines(cines, acceleration=acceleration, seed=seed)
    return metrics.summarise(training.evaluate(method, samples))["psnr"]["mean"]


# %%
exercises.check_4_2(psnr_at)

# %% tags=["hide-cell", "solution"]
# Solution 4.2: two test cines
for acceleration in (5, 4):
    for name, method in {"network": model, "view sharing": methods.load("view_sharing")}.items():
        psnr = psnr_at(method, test.subset(range(2)), acceleration, seed + 3)
        print(f"acceleration {acceleration}: {name:12} {psnr:.2f} dB")

# %% [markdown] tags=["solution"]
# More data help both, but a network that was trained on one acceleration is not sure to turn them
# into quality: it was taught how much to take away from an image that is aliased *this* much.

# %% [markdown]
# ### Exercise 4.3 · How much of its data does the network keep?
#
# The measured lines are the only thing we know for certain. Write
# `contradiction(image, kspace, mask)`, which measures how far an image $\hat m$ is from its data $y$:
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
# The network contradicts what was measured. That is the door through which notebook 6 goes.

# %% [markdown]
# ### Exercise 4.4 · Find the bug
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
# There is a seed, every slice is in one set, and the sets are 4 : 1 : 2. What is wrong? Repair it:
# `split_patients(groups, seed)` returns the numbers of the slices for training, validation and test, three
# tensors of integers, with the *patients* 4 : 1 : 2. Their number is a multiple of 7 here; a patient's number
# is only a name.
#
# *Hint:* section 4.1. `groups.unique()` lists the patients, `torch.isin` finds the slices of some of them.

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
# Most test slices have a neighbour that the network was trained on, so the test measures memory.
# Nothing complains: the loss curves look fine, and the validation score is as flattered as the test score.
# Only the next patient will tell. The seed report split by slices, too.

# %% [markdown]
# ## Summary
#
# 1. **Split** by patient, with a seed, 4 : 1 : 2; the test set is looked at once.
# 2. **The loop** is fifteen lines: draw, reconstruct, compare, step. Weight decay and the
#    schedule are one line each; the curves tell whether to train longer or whether the network
#    memorises.
# 3. **A fresh mask** for every sample and epoch, so that the network learns hearts and not masks.
# 4. **Every test slice** is reported, before and after, with mean and standard deviation.
# 5. **The ladder** comes with it: a network is worth what it gains over the best method that
#    needs no training, slice by slice, and a resampled range says how sure that is.
# 6. **The beat** needs a look of its own: the area of the ventricle over time shows what an average
#    over a mostly still picture hides.
#
# ## References
#
# - I. Loshchilov, F. Hutter: Decoupled weight decay regularization. ICLR 2019.
# - I. Loshchilov, F. Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR 2017.
# - D. P. Kingma, J. Ba: Adam: A method for stochastic optimization. ICLR 2015.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error
#   visibility to structural similarity. IEEE Transactions on Image Processing 13:600, 2004.
#
# **Next:** [05_ablations](05_ablations.ipynb) takes the network apart: which pieces earn their
# place?
