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
# # 5 · Ablations: which piece does what
#
# **Question.** Which of the pieces earn their place?
#
# After this notebook you can
#
# 1. design an ablation: one change at a time, same data, same masks, same seeds;
# 2. say how large a difference must be before it means anything, from repeated seeds and from
#    paired differences;
# 3. explain what dropout and a learning-rate schedule do to an image-to-image network;
# 4. say what L1 and L2 losses aim at, and which of them PSNR rewards;
# 5. read a table of results, your own and other people's, with the right amount of doubt.
#
# **Before you start:** [03_network](03_network.ipynb), [04_training](04_training.ipynb).
# **Time:** about an hour. The trained networks come with the course, and the cells then take about
# half a minute on two cores, most of it for testing eleven networks. Where there are no trained
# ones (another profile, your own data) they are trained first, with a progress bar: a quarter of an
# hour.
#
# > **Assignment, part c.** *Add dropout and a dynamic learning rate. Do test PSNR and SSIM
# > improve?*
#
# > **Assignment, part d.** *L2 against L1 loss: which gives the higher test PSNR and SSIM?*

# %%
import dataclasses
import math

import torch
from IPython.display import Markdown
from torch import nn

from dmri_helpers import (
    classical, data, exercises, metrics, plotting, profiles, results, runs, training, widgets,
)  # fmt: skip

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# ## 5.1 The same data for everyone
#
# One split, by patient where patients are known, made once. The test set has fixed masks: every
# network reconstructs exactly the same measurements. (The report this course grew from split anew
# for every run. Its rows were measured on different test cines; we come back to that.)

# %%
train, val, test = data.split(cines, seed=seed)
_, validation, test_set = data.samples((train, val, test), profile.ablation_training)
print(len(train), "cines to train on,", len(val), "to validate,", len(test), "to test")

# %% tags=["nbval-check-output"]
once, again = ([A.mask for _, A, _ in test_set.batches(1)] for _ in range(2))
same = all(torch.equal(a, b) for a, b in zip(once, again))
assert same and len(once) == len(test)
print("every network is tested on the same masks:", same)

# %% [markdown]
# ## 5.2 One thing at a time
#
# The **baseline** has everything: dropout, a cosine learning rate, L2 loss, attention, two U-Nets,
# a 3-D ResNet, and the zero-filled image as input. Every variant changes one of these. If we
# changed two things and the result improved, we would not know which to thank.
#
# Only `plain` changes two: it completes the four combinations of dropout and schedule. And
# `seed1`, `seed2` change nothing but the dice: initial weights, order of the cines, masks for
# training, dropout.

# %%
base, recipe, change = profile.ablation, profile.ablation_training, dataclasses.replace
assert base.dropout > 0 and recipe.schedule == "cosine" and recipe.loss == "l2"
constant, no_dropout = change(recipe, schedule="constant"), change(base, dropout=0.0)
variants = {
    "baseline": ("baseline", base, recipe),
    "seed1": ("baseline, seed 1", base, change(recipe, seed=1)),
    "seed2": ("baseline, seed 2", base, change(recipe, seed=2)),
    "plain": ("no dropout, constant rate", no_dropout, constant),
    "dropout_constant": ("constant rate", base, constant),
    "no_dropout": ("no dropout", no_dropout, recipe),
    "l1": ("L1 loss", base, change(recipe, loss="l1")),
    "no_attention": ("no attention", change(base, attention=False), recipe),
    "one_unet": ("one U-Net", change(base, branches=1), recipe),
    "no_resnet": ("no 3-D ResNet", change(base, resnet_features=0), recipe),
    "view_sharing": ("fed with view sharing", change(base, start="view_sharing"), recipe),
}


# %% [markdown]
# Do not trust the table above; compute what differs:

# %%
def changed(name):
    """Names of the settings in which a variant differs from the baseline."""
    pairs = zip(variants[name][1:], variants["baseline"][1:])
    return [field.name for mine, base in pairs for field in dataclasses.fields(mine)
            if getattr(mine, field.name) != getattr(base, field.name)]


# %% tags=["nbval-check-output"]
for name in variants:
    print(f"{name:>17}: {', '.join(changed(name)) or '-'}")

# %% [markdown]
# ## 5.3 What the dials do
#
# ### Dropout
#
# While training, `Dropout2d` sets each channel to zero with probability $p$ and enlarges the
# others,
#
# $$ h'_c = \frac{k_c}{1-p}\, h_c, \qquad k_c \in \{0, 1\},\ \ P(k_c = 0) = p, $$
#
# so that the mean stays the same. The network must not rely on any single channel, which for a
# classifier with few data is a good thing.

# %%
def drop_channels(h, keep, p):
    return h * keep / (1 - p)


torch.manual_seed(seed)
p, h = 0.3, torch.randn(1, 2000, 8, 8)
dropped = nn.Dropout2d(p).train()(h)
keep = (dropped != 0).any(-1, keepdim=True).any(-2, keepdim=True)
torch.testing.assert_close(drop_channels(h, keep, p), dropped)
print(f"kept {keep.float().mean():.2f}, mean square after/before "
      f"{dropped.square().mean() / h.square().mean():.2f}, expected {1 / (1 - p):.2f}")

# %% [markdown]
# The mean stays, the mean *square* grows by $1/(1-p)$: noise is added. A class label survives that.
# But our output is an image whose exact gray values count, and the noise of the last block goes
# straight into it. While training the loss contains that noise; the network spends part of its
# capacity on averaging it away. And without dropout it has fresh masks and crops in every epoch
# already, so there is less to overfit to.
#
# **Predict 5.1.** For this task, does dropout raise or lower the test PSNR? Write it down now.
#
# ### A learning-rate schedule
#
# The gradient of a small batch is noisy. Large steps travel fast but jitter around the minimum;
# small steps settle but travel slowly. So: large first, small at the end. A short linear warm-up
# before it lets AdamW collect its running means while little can go wrong. At the share
# $s \in [0, 1]$ of the run, relative to the peak,
#
# $$ r(s) = \begin{cases} s/w & s < w = 0.05\\[2pt]
#    \tfrac12\Big(1 + \cos \pi\,\frac{s-w}{1-w}\Big) & \text{else.}\end{cases} $$

# %%
def rate(s, w=0.05):
    return s / w if s < w else 0.5 * (1 + math.cos(math.pi * (s - w) / (1 - w)))


# %% tags=["nbval-check-output"]
shares = torch.linspace(0, 1, 101).tolist()
mine = torch.tensor([rate(s) for s in shares])
torch.testing.assert_close(mine, torch.tensor([training.rate_factor(s) for s in shares]))
print("my schedule is the helper's: True")
print("at 0, 5, 50 and 100 % of the run:", [f"{mine[i]:.2f}" for i in (0, 5, 50, 100)])

# %% [markdown]
# ### L2 or L1
#
# With error $e = |\hat m - m|$ in each pixel, L2 is the mean of $e^2$ and L1 the mean of $e$. What
# do they aim at? Let a network have to answer with a single number for pixels it cannot tell apart.
#
# **Predict 5.2.** Nine such pixels are 0.1, one (a ghost) is 0.9. Which number minimises L2, which
# L1?

# %%
pixels = torch.tensor([0.1] * 9 + [0.9])
answers = torch.linspace(0, 1, 1001)
errors = (answers[:, None] - pixels).abs()
best = {"L2": answers[errors.square().mean(1).argmin()], "L1": answers[errors.mean(1).argmin()]}

# %% tags=["nbval-check-output"]
print({loss: f"{answer:.2f}" for loss, answer in best.items()},
      f"mean {pixels.mean():.2f}, median {pixels.median():.2f}")

# %% [markdown]
# L2 answers with the **mean**, L1 with the **median**. L2 spreads large errors out (a little blur
# everywhere), L1 leaves a few large ones alone and gets the rest right. PSNR is
# $-10\log_{10}$ of the mean *squared* error: it is the L2 loss on another scale, so L2 trains
# directly for the number in the table. What speaks for L1 is its gradient, which does not fade as
# the error becomes small.
#
# **Predict 5.3.** So which loss gives the higher PSNR? By more than the dice?

# %% [markdown]
# ## 5.4 Train, or load
#
# Same loop, same data for each; the training set draws its masks and crops from the seed of the
# run.

# %%
def training_set(config):
    return data.samples((train, val, test), config)[0]


models, logs = {}, {}
for name, (_, network, config) in variants.items():
    models[name], logs[name], _ = runs.trained(
        f"ablation_{name}", network, config, training_set(config), validation,
        profiles.runs_folder())

# %%
minutes = sum(row["seconds"] for log in logs.values() for row in log) / 60
print(f"{len(models)} networks, {recipe.epochs} epochs each, {minutes:.1f} minutes when trained")

# %%
dials = ("baseline", "no_dropout", "dropout_constant", "plain")
figure = plotting.loss_curves({variants[name][0]: logs[name] for name in dials})
plotting.save(figure, figures / "05_curves.png")
figure

# %% [markdown]
# **Figure 5.1.** The four combinations of dropout and schedule. Left: training (solid) and
# validation loss (dashed). Two things to look for. First, with dropout the *training* loss tends to
# lie above that of the same run without it, because dropout acts while training only. Second, at a
# constant rate (see the right panel) the validation PSNR in the middle tends to jump from epoch to
# epoch up to the end; with the cosine it calms down as the rate falls. The weights of the best
# validation epoch are kept in either case.
#
# ### How loud is the noise of dropout?
#
# We leave dropout switched on while testing the trained baseline, and reconstruct one cine four
# times.

# %%
def psnr(image, reference):
    """Mean over frames of the PSNR, peak 1."""
    squared = (image.abs() - reference.abs()).square().mean((-2, -1))
    return -10 * squared.log10().mean(-1)


kspace, A, target = next(test_set.batches(1))
with torch.no_grad():
    calm = models["baseline"].eval()(kspace, A)
    torch.manual_seed(seed)
    noisy = torch.cat([models["baseline"].train()(kspace, A) for _ in range(4)])
models["baseline"].eval()
on = ", ".join(f"{value:.2f}" for value in psnr(noisy, target))
print(f"dropout off {psnr(calm, target).item():.2f} dB; on, four times: {on} dB")
print(f"noise by dropout {noisy.std(0).square().mean().sqrt():.4f}, "
      f"error without it {(calm - target).abs().square().mean().sqrt():.4f} (root mean square)")

# %% [markdown]
# Compare the two numbers of the last line: what training had to see through, and what it is after.

# %% [markdown]
# ## 5.5 Test
#
# Every network, and two methods that learn nothing, on the same test cines with the same masks.

# %%
tested = {"zero_filled": classical.zero_filled, **models, "copy": classical.view_sharing}
rows = {name: training.evaluate(method, test_set, title=name) for name, method in tested.items()}
labels = {name: label for name, (label, *_) in variants.items()}
labels |= {"zero_filled": "zero-filled", "copy": "view sharing (no network)"}
summaries = {name: metrics.summarise(scores) for name, scores in rows.items()}

# %% [markdown]
# Those are magnitudes, the only cines that these networks were trained on. Five of the rungs are measured
# a second time, on the same cines with the phase of a scanner's images (notebook 2). A dash says that a rung
# was not, to save time.

# %%
turned_set = data.UndersampledCines(test, seed=test_set.seed, phase=1, vary=False)
chosen = ("zero_filled", "baseline", "no_dropout", "view_sharing", "copy")
turned = {name: training.evaluate(tested[name], turned_set, title=f"{name}, phase") for name in chosen}
worlds = {"magnitude": {labels[name]: summary for name, summary in summaries.items()},
          "phase": {labels[name]: metrics.summarise(turned[name]) for name in chosen}}
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic")))

# %%
figure = plotting.ladder(worlds, metrics=("psnr", "ssim"))
plotting.save(figure, figures / "05_ladder.png")
figure

# %% [markdown]
# **Figure 5.2.** Mean and standard deviation over the test cines, in both worlds. Most of the bars of the
# networks overlap. It is tempting to conclude that nothing matters. That would be wrong: the bars say how
# different the *cines* are, not how sure we are of a *difference between methods*. And look at the
# last row, which copies lines from the nearest frame. Honest comparisons have a row like it.

# %%
for name in chosen:
    pairs = zip(turned[name], rows[name])
    change = torch.tensor([phase["psnr"] - magnitude["psnr"] for phase, magnitude in pairs])
    print(f"a phase changes {labels[name]:26} by {change.mean():+.2f} dB ({change.min():+.2f} to {change.max():+.2f})")

# %% [markdown]
# The range in brackets is that over the test cines. From here on everything is about magnitudes: what the
# next sections find out about loss, dropout and schedule has been tested in that world alone.

# %% [markdown]
# ## 5.6 When is a difference a difference?
#
# Two kinds of chance are at work.
#
# **Which cines.** Some cines are hard for every method. So compare *in pairs*: subtract the two
# scores of the same cine, then average. What all methods find hard cancels.

# %%
def scores(names, metric="psnr"):
    """Score of every test cine, averaged over one or several runs."""
    return torch.tensor([[row[metric] for row in rows[name]] for name in names]).mean(0)


SEEDS = ["baseline", "seed1", "seed2"]
paired = scores(["no_dropout"]) - scores(SEEDS)
print(f"standard deviation over cines: of the scores {scores(SEEDS).std():.2f} dB, "
      f"of the paired differences {paired.std():.2f} dB")

# %%
plotting.paired_scores(scores(SEEDS), scores(["no_dropout"]), names=("baseline", "no dropout"))

# %% [markdown]
# **Figure 5.3.** Left: the two scores of every test cine, joined by a line; baseline averaged over
# its three seeds. The boxes at the right hide what the lines show: whether the change goes the same
# way in every cine.
#
# **Which dice.** The same recipe with another seed ends elsewhere. Three seeds of the baseline give
# an estimate of how far. If a variant made no difference at all, its run would be just one more
# draw from the same hat. With $n_a$ runs against $n_b$, and the spread $s$ from three seeds, 95 %
# of such differences are below
#
# $$ 4.30\; s\, \sqrt{1/n_a + 1/n_b}, $$
#
# where 4.30 is Student's $t$ for two degrees of freedom. It is large because three runs are few:
# $s$ itself is uncertain. (We also assume that the variants scatter as much as the baseline does.)

# %%
def spread(metric="psnr"):
    """Standard deviation of the test mean over the seeds of the baseline."""
    return torch.stack([scores([name], metric).mean() for name in SEEDS]).std().item()


def compare(a, b=SEEDS, metric="psnr"):
    """Paired gain of runs a over runs b, what chance would explain of it, and a verdict."""
    paired = scores(a, metric) - scores(b, metric)
    by_cines = 2 * paired.std().item() / len(paired) ** 0.5
    by_seeds = 4.30 * spread(metric) * (1 / len(a) + 1 / len(b)) ** 0.5
    gain, chance = paired.mean().item(), max(by_cines, by_seeds)
    verdict = "cannot tell" if abs(gain) <= chance else "better" if gain > 0 else "worse"
    return {"gain": gain, "by_cines": by_cines, "by_seeds": by_seeds, "verdict": verdict}


# %% [markdown]
# **Predict 5.4.** How many of the eight variants differ from the baseline by more than chance?
# Which?

# %%
table = ["| variant | difference, dB | in seed spreads | chance: cines | chance: seeds | verdict |",
         "|---|---:|---:|---:|---:|---|"]
compared = {name: compare([name]) for name in variants if name not in SEEDS}
for name, found in compared.items():
    units = found["gain"] / spread()
    table.append(f"| {labels[name]} | {found['gain']:+.2f} | {units:+.1f} "
                 f"| ± {found['by_cines']:.2f} | ± {found['by_seeds']:.2f} | {found['verdict']} |")
Markdown("\n".join(table))

# %%
told = [labels[name] for name, found in compared.items() if found["verdict"] != "cannot tell"]
print(f"seed spread {spread():.2f} dB")
print(f"{len(told)} of {len(compared)} beyond chance:", ", ".join(told) or "none")

# %% [markdown]
# How to read it: *difference* is the mean over the test cines of variant minus baseline (mean of
# three seeds). A verdict needs more than both kinds of chance. "Cannot tell" is not "no effect": it
# says that this experiment, with so few seeds and cines, does not see it. And eight comparisons at
# 95 % each give a false alarm now and then.

# %%
AXIS = "difference to the baseline (dB)"
bars = [{"method": labels[name], AXIS: {"mean": found["gain"],
                                        "std": max(found["by_cines"], found["by_seeds"])}}
        for name, found in compared.items()]
figure = plotting.ladder(bars, metrics=(AXIS,))
plotting.save(figure, figures / "05_differences.png")
figure

# %% [markdown]
# **Figure 5.4.** The same table as a picture. The bar is now what chance allows (the larger of the
# two kinds). A variant whose bar reaches across zero has not been told apart from the baseline.

# %% [markdown]
# ## 5.7 Part c: dropout and a dynamic learning rate
#
# Two dials with two positions each make four runs. Then each dial can be judged twice, with the
# other in either position.

# %%
dials = {"cosine, with dropout": (SEEDS, ["dropout_constant"]),
         "cosine, without dropout": (["no_dropout"], ["plain"]),
         "dropout, at a constant rate": (["dropout_constant"], ["plain"]),
         "dropout, with cosine": (SEEDS, ["no_dropout"]),
         "both together": (SEEDS, ["plain"])}
table = ["| adding | PSNR, dB | verdict | SSIM | verdict |", "|---|---:|---|---:|---|"]
for name, (a, b) in dials.items():
    db, ssim = compare(a, b), compare(a, b, "ssim")
    table.append(f"| {name} | {db['gain']:+.2f} | {db['verdict']} | {ssim['gain']:+.4f} "
                 f"| {ssim['verdict']} |")
Markdown("\n".join(table))


# %%
def answer(question, a, b):
    """One sentence, written by the data."""
    says = {"better": "yes, beyond chance", "worse": "no, it is worse, beyond chance",
            "cannot tell": "not by more than chance"}
    db, ssim = compare(a, b), compare(a, b, "ssim")
    return (f"- *{question}* PSNR {db['gain']:+.2f} dB: {says[db['verdict']]}. "
            f"SSIM {ssim['gain']:+.4f}: {says[ssim['verdict']]}.")


where = f"({cines.source}, {len(test)} test cines, {profile.name} profile)\n"
Markdown("\n".join(["**Assignment, part c.** " + where,
                    answer("Does the schedule help?", *dials["cosine, with dropout"]),
                    answer("Does dropout help?", *dials["dropout, with cosine"]),
                    answer("Do both together?", *dials["both together"])]))

# %% [markdown]
# The report gave one number for "both together" (24.15 to 29.08 dB) and could not say which of the
# two did it. That is what the 2×2 design is for.
#
# ## 5.8 Part d: L1 or L2

# %%
Markdown("**Assignment, part d.** " + where + "\n"
         + answer("Is L1 better than L2?", ["l1"], SEEDS))

# %%
plotting.paired_scores(scores(SEEDS), scores(["l1"]), names=("L2", "L1"))

# %% [markdown]
# **Figure 5.5.** Test PSNR of every cine with L2 (three seeds averaged) and with L1. If the lines
# go up in some cines and down in others, the loss is not what decides.

# %% [markdown]
# ## 5.9 Look at the images
#
# Numbers first, but not alone. The best and the worst of the trained variants, chosen by their mean
# PSNR:

# %%
ranked = sorted(compared, key=lambda name: compared[name]["gain"])
worst, best = ranked[0], ranked[-1]
with torch.no_grad():
    seen = {"fully sampled": target[0], "zero-filled": classical.zero_filled(kspace, A)[0],
            labels[worst]: models[worst](kspace, A)[0],
            labels[best]: models[best](kspace, A)[0]}
print("worst:", labels[worst], " best:", labels[best])

# %%
frame = target.shape[1] // 3
marks = {title: {"psnr": psnr(cine[frame], target[0, frame]).item()} for title, cine in seen.items()
         if title != "fully sampled"}
figure = plotting.cine_comparison(seen, frame=frame, reference="fully sampled", scores=marks)
plotting.save(figure, figures / "05_extremes.png")
figure

# %% [markdown]
# **Figure 5.6.** One frame of the first test cine: fully sampled, before any network, and after the
# worst and the best variant, with five-fold errors below. Look at the edges of the heart and at
# what is left of the ghosts. PSNR is that of this frame.

# %%
widgets.cine_viewer(seen, errors_against="fully sampled", frame=frame)

# %% [markdown]
# **Figure 5.7.** The same, over time. Does the worse one flicker, or is it blurred in the frames in
# which the heart moves fast?

# %% [markdown]
# ## 5.10 The report's claims, and ours
#
# The report tested on 57 cines, another random 57 for every run, one run each. So its rows cannot
# be paired, and the two means have independent errors. From its own standard deviations, chance
# alone allows differences up to
#
# $$ 2\sqrt{s_a^2/57 + s_b^2/57}, $$
#
# for the cines; for the seeds nobody knows.

# %%
HEADLINE, PLAIN = (29.08, 1.93), (24.15, 1.86)
claims = {"dropout and schedule": (HEADLINE, PLAIN, SEEDS, ["plain"]),
          "L1 instead of L2": ((29.15, 2.24), HEADLINE, ["l1"], SEEDS),
          "attention": ((32.39, 1.88), HEADLINE, SEEDS, ["no_attention"]),
          "one U-Net instead of two": ((29.16, 2.21), HEADLINE, ["one_unet"], SEEDS)}
table = ["| claim | report, dB | chance (cines) | here, dB | verdict here |",
         "|---|---:|---:|---:|---|"]
for claim, ((mean_a, sd_a), (mean_b, sd_b), a, b) in claims.items():
    chance, found = 2 * ((sd_a**2 + sd_b**2) / 57) ** 0.5, compare(a, b)
    table.append(f"| {claim} | {mean_a - mean_b:+.2f} | ± {chance:.2f} | {found['gain']:+.2f} "
                 f"| {found['verdict']} |")
Markdown("\n".join(table))

# %% [markdown]
# Two of the report's differences are far below what another draw of the test cines would do: L1
# against L2, and one U-Net against two. Two are far above it: no luck with the cines makes 3 or 5
# dB. But those networks ended in sigmoids and had no residual path, where much depends on whether
# training gets going at all; they are not ours. And one number dwarfs all of them: on 32 cines of
# the same set, with the report's mask and its PSNR, copying lines from the nearest frame reached
# 34.5 dB, with no network. Which brings us to what a network is *fed* with:

# %%
found = compare(["view_sharing"], ["copy"])
print(f"network fed with view sharing, against view sharing alone: {found['gain']:+.2f} dB")
found = compare(["view_sharing"])
print(f"the same network, against being fed with the zero-filled image: {found['gain']:+.2f} dB")

# %% [markdown]
# Compare the second number with every row of the table in section 5.6. Thinking about the input costs
# nothing and can matter more than the architecture. Notebook 06 goes on from there.

# %% [markdown]
# ## 5.11 A mistake worth making: every run its own test set
#
# Let us repeat flaw 5 of the report, with a method that has no dice at all: zero-filling. Every
# "run" gets a random test set of its own.
#
# **Predict 5.5.** By how many dB can zero-filling beat zero-filling?

# %%
everyone = data.UndersampledCines(cines, seed=seed)
of_all = torch.cat([psnr(classical.zero_filled(kspace, A), target)
                    for kspace, A, target in everyone.batches(1)])
means = []
for split in range(10):
    order = torch.randperm(len(cines), generator=torch.Generator().manual_seed(split))
    means.append(of_all[order[: len(test)]].mean().item())
print(f"ten test sets: {min(means):.2f} to {max(means):.2f} dB")

# %%
plotting.quality_against(range(10), {"psnr": means}, xlabel="random test set")

# %% [markdown]
# **Figure 5.8.** The symptom: the same method, ten random test sets, ten different scores. The best
# beats the worst by `max - min`, printed above, and nothing was changed. In a table whose rows have
# their own test sets, differences of this size are empty.

# %% tags=["nbval-check-output"]
beats_itself = max(means) - min(means) > 0.1
assert beats_itself
print("zero-filling beats zero-filling by more than 0.1 dB:", beats_itself)

# %%
results.record(
    figures / "05_ablations.json", profile=profile.name, data=cines.source, seed=seed,
    seed_spread=spread(), n_test=len(test), minutes=minutes, compared=compared, worlds=worlds,
    rows=[{"method": name, "changed": changed(name) if name in variants else [], **summary}
          for name, summary in summaries.items()])

# %% [markdown]
# ## Exercises
#
# Each asks for a function. Write it in the cell below the question, then run the check: it tries your
# function on small examples and says what is right, or what is not. (In the teacher's form a solution
# lies below the question, folded away.)

# %% [markdown]
# ### Exercise 5.1 · Add a row
#
# What would you like to know that the table of section 5.2 cannot tell? Half the dropout, no weight
# decay, larger batches? Write `new_row(network, recipe)`: it is handed the configurations of the network
# and of its training, and returns both, with exactly one piece changed. The piece is new to the table, and
# what all rows share stays as it is: data, masks, seed.
#
# *Hint:* `dataclasses.replace(recipe, loss="l1")` returns a changed copy. Print `base` and `recipe` to see
# all the pieces.

# %% tags=["hide-cell", "solution"]
# Solution 5.1
def new_row(network, recipe):
    """(network, recipe), the same configurations with exactly one piece changed."""
    return dataclasses.replace(network, dropout=network.dropout / 2), recipe


# %%
exercises.check_5_1(new_row)

# %% tags=["hide-cell", "solution"]
# Solution 5.1: do not trust it, compute what differs
for mine, theirs in zip(new_row(base, recipe), (base, recipe)):
    for field in dataclasses.fields(mine):
        if getattr(mine, field.name) != getattr(theirs, field.name):
            print(field.name, "baseline", getattr(theirs, field.name), "new row", getattr(mine, field.name))

# %% [markdown] tags=["solution"]
# To train it, add `"mine": ("half the dropout", *new_row(base, recipe))` to `variants` in section 5.2 and
# run the notebook again: only the new row is trained, and it appears in every table and figure. Write
# down first which difference, beyond the chance of the seeds, you would believe.

# %% [markdown]
# ### Exercise 5.2 · How many test cines?
#
# How many test cines are needed so that a difference exceeds two standard errors? Write
# `cines_needed(spread, spread_of_differences, difference)`, all in dB: the standard deviation over cines
# of the scores of either method, that of their paired differences, and the difference that is to be seen.
# Return two whole numbers: *unpaired* (two independent test sets of so many cines each) and *paired*
# (one test set for both). **Predict** their ratio for the two spreads of section 5.6.
#
# *Hint:* the standard error of a mean of $n$ is $s/\sqrt n$; for two independent means variances
# add.

# %% tags=["hide-cell", "solution"]
# Solution 5.2
def cines_needed(spread, spread_of_differences, difference):
    """(unpaired, paired): how many test cines make the difference two standard errors, whole numbers."""
    unpaired = (2 * math.sqrt(2) * spread / difference) ** 2
    paired = (2 * spread_of_differences / difference) ** 2
    return math.ceil(unpaired), math.ceil(paired)


# %%
exercises.check_5_2(cines_needed)

# %% tags=["hide-cell", "solution"]
# Solution 5.2: for 0.1 dB between L1 and L2
spreads = scores(SEEDS).std().item(), (scores(["l1"]) - scores(SEEDS)).std().item()
unpaired, pairs = cines_needed(*spreads, 0.1)
print(f"unpaired {unpaired}, paired {pairs} cines (and the seeds come on top)")

# %% [markdown] tags=["solution"]
# The ratio is twice the square of the ratio of the spreads: small differences need pairs, and pairing costs
# nothing. What it does not save is seeds.

# %% [markdown]
# ### Exercise 5.3 · An interval without formulas
#
# Draw the test cines with replacement, thousands of times, and compute the mean difference of two methods
# for each draw: the *bootstrap*. Write `interval(first, second, draws, seed)`: two tensors of shape `(n,)`
# with the scores of the same cines, the number of draws, the seed of the random numbers. Return two
# numbers, low and high: 2.5 % of the mean differences (first minus second) lie below, 2.5 % above.
#
# *Hint:* `torch.randint(n, (draws, n), generator=...)` are so many draws of `n` indices at once.

# %% tags=["hide-cell", "solution"]
# Solution 5.3
def interval(first, second, draws, seed):
    """(low, high): where 95 % of the mean differences lie when the cines are drawn again, two numbers."""
    difference, n = first - second, len(first)
    indices = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    return tuple(difference[indices].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist())


# %%
exercises.check_5_3(interval)

# %% tags=["hide-cell", "solution"]
# Solution 5.3: L1 against L2, beside "chance: cines" of section 5.6
low, high = interval(scores(["l1"]), scores(SEEDS), 10_000, seed)
found = compare(["l1"])
print(f"L1 - L2: 95 % of the draws between {low:+.3f} and {high:+.3f} dB, "
      f"by the formula {found['gain']:+.3f} ± {found['by_cines']:.3f} dB")

# %% [markdown] tags=["solution"]
# The interval is about the mean plus and minus two standard errors, and narrower when the cines are
# very few: what no cine of ten shows, no draw from these ten can show.

# %% [markdown]
# ### Exercise 5.4 · Three networks, one image
#
# Three seeds of the baseline are three networks. **Predict**: is the score of their mean image better than
# the mean of their three scores? Write `mean_image(networks, kspace, A)`: each of the `networks`, a
# list of any length, is called as `network(kspace, A)` and returns a complex cine `(b, t, y, x)`. Return the
# mean of the cines, of the same shape.
#
# *Hint:* the images are complex until the very end. What is lost if one averages magnitudes?

# %% tags=["hide-cell", "solution"]
# Solution 5.4
def mean_image(networks, kspace, A):
    """Mean of the complex cines that the networks reconstruct, shape (b, t, y, x)."""
    return sum(network(kspace, A) for network in networks) / len(networks)


# %%
exercises.check_5_4(mean_image)

# %% tags=["hide-cell", "solution"]
# Solution 5.4: a method is any function of k-space and mask
def ensemble(kspace, A):
    return mean_image([models[name] for name in SEEDS], kspace, A)


rows["ensemble"] = training.evaluate(ensemble, test_set, title="ensemble")
for metric in ("psnr", "ssim"):
    print(metric, f"{compare(['ensemble'], SEEDS, metric)['gain']:+.4f}")

# %% [markdown] tags=["solution"]
# Where the networks err in different ways, their errors partly cancel; where they agree, nothing is lost.
# The squared error of a mean is never above the mean of the squared errors. The price is three times
# the time.

# %% [markdown]
# ## Summary
#
# 1. An ablation changes one thing and holds the rest: split, masks, seeds. Two dials need four
#    runs.
# 2. The bar over the cines is not the uncertainty of a comparison. Pair the cines, repeat the
#    seeds, and give a verdict only beyond both kinds of chance.
# 3. Dropout adds noise to an output whose gray values count; a falling rate lets the weights
#    settle. What they did here is computed in section 5.7.
# 4. L2 aims at the mean and at PSNR itself, L1 at the median. Section 5.8 has the result.
# 5. Rows with different test sets cannot be compared to better than the cines differ. Ask of every
#    table: which test set, how many seeds, and where is the row without learning?
#
# ## References
#
# - Srivastava N, Hinton G, Krizhevsky A, Sutskever I, Salakhutdinov R. Dropout: a simple way to
#   prevent neural networks from overfitting. Journal of Machine Learning Research, 2014.
# - Loshchilov I, Hutter F. SGDR: stochastic gradient descent with warm restarts. ICLR, 2017.
# - Zhao H, Gallo O, Frosio I, Kautz J. Loss functions for image restoration with neural networks.
#   IEEE Transactions on Computational Imaging, 2017.
# - Bouthillier X, Delaunay P, Bronzi M, et al. Accounting for variance in machine learning
#   benchmarks. MLSys, 2021.
# - Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall, 1993.
#
# Next: [06_unrolled_dc](06_unrolled_dc.ipynb), where the measured lines get the last word.
