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
# Which pieces of the network and of its training earn their place?
#
# **When you are through, you can**
#
# 1. design an ablation: one change at a time, same data, same masks, same seeds;
# 2. say how large a difference must be before it means anything;
# 3. explain what dropout and a falling learning rate do to an image-to-image network;
# 4. say what L1 and L2 losses aim at, and which of them PSNR rewards;
# 5. read a table of results with the right amount of doubt.
#
# **You need** notebooks [03](03_network.ipynb) (the network) and [04](04_training.ipynb) (training).
#
# **Time:** reading and running about 55 minutes, exercises about 35, deeper sections about 13 and 15.

# %% [markdown]
# > **Assignment, part c.** *Add dropout and a dynamic learning rate. Do test PSNR and SSIM
# > improve?*
#
# > **Assignment, part d.** *L2 against L1 loss: which gives the higher test PSNR and SSIM?*

# %% [markdown]
# ## Set up

# %%
import dataclasses
import math

from IPython.display import Markdown

from dmri_helpers import (
    classical, data, exercises, metrics, plotting, profiles, results, runs, training, widgets,
)  # fmt: skip

import torch
from torch import nn

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# The trained networks come with the course. For another profile, or for your own data, they are trained first.

# %% [markdown]
# ## 5.1 The same data for everyone (4 min)
#
# An *ablation* removes or changes one piece at a time, and looks at what this costs. For a fair comparison all networks
# share one split of the [cines](../site/conventions.md#term-cine), made once. The test masks are fixed, so every
# network reconstructs exactly the same measurements.

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
# ## 5.2 One thing at a time (3 min)
#
# The **baseline** has everything: dropout, a cosine learning rate, L2 loss, attention, two U-Nets, a 3-D ResNet, and
# the [zero-filled](../site/conventions.md#term-zero-filled) image as input. Every variant changes one of these. If we
# changed two things, we would not know which of them made the difference.

# %% [markdown]
# There are two exceptions. `plain` changes two things, since it completes the four combinations of dropout and
# schedule. And `seed1` and `seed2` change only the random numbers: initial weights, order of the cines, training masks,
# dropout.

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
}
variants["view_sharing"] = ("fed with view sharing", change(base, start="view_sharing"), recipe)


# %% [markdown]
# The next cell computes what really differs between a variant and the baseline.

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
# ### Exercise 5.1 · Add a square ★★
#
# What would you like to know that this table cannot tell? Choose two pieces that may help or hinder *each other*. Write
# `square(network, recipe)`. It is handed the configurations of the network and of its training, and returns a list of
# four rows `(network, recipe)`: the baseline, the first piece changed, the second piece changed, both changed. Data,
# masks and seed stay as they are. The table has the square of dropout and schedule already.
#
# *Hint:* `dataclasses.replace(recipe, loss="l1")` returns a changed copy. Print `base` and `recipe` to see
# all the pieces.

# %% tags=["hide-cell", "solution"]
# Solution 5.1
def square(network, recipe):
    """Four rows (network, recipe): the baseline, one piece changed, another one changed, both changed."""
    fewer, other = dataclasses.replace(network, dropout=0.0), dataclasses.replace(recipe, weight_decay=0.0)
    return [(network, recipe), (fewer, recipe), (network, other), (fewer, other)]


# %%
exercises.check_5_1(square)

# %% tags=["hide-cell", "solution"]
# Solution 5.1: compute what differs
for row in square(base, recipe):
    pairs = zip(row, (base, recipe))
    print([f"{field.name} = {getattr(mine, field.name)}" for mine, theirs in pairs
           for field in dataclasses.fields(mine) if getattr(mine, field.name) != getattr(theirs, field.name)])

# %% [markdown] tags=["solution"]
# Both pieces keep weights from growing large, so one may make the other superfluous. Only the fourth row can show this:
# if the two do not touch each other, its difference is the sum of the two others. To train the rows, add them to
# `variants`, for example as `"mine": ("no weight decay", *square(base, recipe)[2])`, and run the notebook again. Write
# down first which difference you would believe.

# %% [markdown] tags=["report"]
# ## 5.3 Dropout, learning rate, loss (8 min)
#
# **Dropout.** While training, `Dropout2d` sets each channel $h_c$ to zero with probability $p$ and enlarges the
# others, so that the mean stays the same:
#
# $$ h'_c = \frac{k_c}{1-p}\, h_c, \qquad k_c \in \{0, 1\},\ \ P(k_c = 0) = p . $$
#
# The network must then not rely on any single channel.

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
# The mean *square* grows by $1/(1-p)$, so dropout adds noise. A class label survives noise. Our output is an image
# whose exact gray values count. And fresh masks in every epoch already prevent that the network memorises.
#
# > **Predict 5.1.** For this task, does dropout raise or lower the test PSNR?

# %% [markdown] tags=["report"]
# **A learning-rate schedule.** The gradient of a small batch is noisy. Large steps travel fast but jitter around the
# minimum; small steps settle but travel slowly. So steps are large first and small at the end. A short warm-up comes
# before. At the share $\tau \in [0, 1]$ of the run the rate, relative to its peak, is
#
# $$ r(\tau) = \begin{cases} \tau/\tau_0 & \tau < \tau_0 = 0.05\\[2pt]
#    \tfrac12\Big(1 + \cos \pi\,\frac{\tau-\tau_0}{1-\tau_0}\Big) & \text{else.}\end{cases} $$

# %%
def rate(share, warm_up=0.05):
    if share < warm_up:
        return share / warm_up
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))


# %% tags=["nbval-check-output"]
shares = torch.linspace(0, 1, 101).tolist()
mine = torch.tensor([rate(share) for share in shares])
torch.testing.assert_close(mine, torch.tensor([training.rate_factor(share) for share in shares]))
print("my schedule is the helper's: True")
print("at 0, 5, 50 and 100 % of the run:", [f"{mine[i]:.2f}" for i in (0, 5, 50, 100)])

# %% [markdown]
# **L2 or L1.** With the error $e = |\hat m - m|$ of each pixel, L2 is the mean of $e^2$ and L1 the mean of $e$. To see
# what they aim at, let a network answer with a single number for pixels that it cannot tell apart.
#
# > **Predict 5.2.** Nine such pixels are 0.1, one (a ghost) is 0.9. Which number minimises L2, which
# > L1?

# %%
pixels = torch.tensor([0.1] * 9 + [0.9])
answers = torch.linspace(0, 1, 1001)
errors = (answers[:, None] - pixels).abs()
best = {"L2": answers[errors.square().mean(1).argmin()], "L1": answers[errors.mean(1).argmin()]}

# %% tags=["nbval-check-output"]
print({loss: f"{answer:.2f}" for loss, answer in best.items()},
      f"mean {pixels.mean():.2f}, median {pixels.median():.2f}")

# %% [markdown]
# <details><summary>Answer to 5.2</summary>
#
# L2 answers with the **mean**, 0.18, and L1 with the **median**, 0.10. L2 spreads a large error over all pixels. L1
# leaves the large error alone and gets the rest right.
#
# </details>

# %% [markdown] tags=["report"]
# PSNR is $-10\log_{10}$ of the mean *squared* error (peak 1): the L2 loss on another scale. So L2 trains for the number
# in the table. L1 has another advantage: its gradient does not fade as the error becomes small.
#
# > **Predict 5.3.** Which loss gives the higher PSNR? By more than chance?

# %% [markdown]
# ## 5.4 Train, or load (4 min)
#
# The loop and the data are the same for all. The training masks and crops are drawn from the seed of the run.

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
# **Figure 5.1.** The four combinations of dropout and schedule. Compare the training loss (solid) with and without
# dropout at the same schedule. Compare how calm the validation PSNR is at the end with the cosine and with the constant
# rate.

# %% [markdown] tags=["deeper"]
# ### Deeper: How strong is the noise of dropout? (2 min)
#
# We leave dropout switched on while testing the trained baseline, and reconstruct one cine four times.

# %% tags=["deeper"]
kspace, A, target = next(test_set.batches(1))
network = models["baseline"]
with torch.no_grad():
    calm = network.eval()(kspace, A)
    torch.manual_seed(seed)
    noisy = torch.cat([network.train()(kspace, A) for _ in range(4)])
network.eval()
found = [metrics.cine_metrics(image, target[0])["psnr"] for image in (calm[0], *noisy)]
print(f"dropout off {found[0]:.2f} dB; on, four times: {', '.join(f'{value:.2f}' for value in found[1:])} dB")
print(f"noise by dropout {noisy.std(0).square().mean().sqrt():.4f}, "
      f"error without it {(calm - target).abs().square().mean().sqrt():.4f} (root mean square)")

# %% [markdown] tags=["deeper"]
# Compare the two numbers of the last line. The training has to find the error under this noise.

# %% [markdown]
# ## 5.5 Test (6 min)
#
# Every network, and two methods that learn nothing, reconstruct the same test cines with the same masks. These are
# magnitudes, on which the networks were trained. Five rungs are measured a second time, on the same cines with the
# phase of a scanner's images (notebook 2).

# %%
tested = {"zero_filled": classical.zero_filled, **models, "copy": classical.view_sharing}
rows = {name: training.evaluate(method, test_set, title=name) for name, method in tested.items()}
labels = {name: label for name, (label, *_) in variants.items()}
labels |= {"zero_filled": "zero-filled", "copy": "view sharing (no network)"}
summaries = {name: metrics.summarise(scores) for name, scores in rows.items()}

# %%
turned_set = data.UndersampledCines(test, seed=test_set.seed, phase=1, vary=False)
chosen = ("zero_filled", "baseline", "no_dropout", "view_sharing", "copy")
turned = {name: training.evaluate(tested[name], turned_set, title=f"{name}, phase") for name in chosen}
worlds = {"magnitude": {labels[name]: summary for name, summary in summaries.items()},
          "phase": {labels[name]: metrics.summarise(turned[name]) for name in chosen}}
Markdown(results.ladder(worlds, ("psnr", "ssim", "psnr_dynamic")))

# %% [markdown]
# **Table 5.1.** Mean ± standard deviation over n test cines, in both worlds. A dash says that this was not measured.
# The last row learns nothing: it is [view sharing](../site/conventions.md#term-view-sharing).

# %%
figure = plotting.ladder(worlds, metrics=("psnr", "ssim"))
plotting.save(figure, figures / "05_ladder.png")
figure

# %% [markdown]
# **Figure 5.2.** The same table drawn. Most bars of the networks overlap. But a bar says how different the *cines* are.
# It does not say how sure we are of a *difference between methods*.

# %%
for name in chosen:
    pairs = zip(turned[name], rows[name])
    change = torch.tensor([phase["psnr"] - magnitude["psnr"] for phase, magnitude in pairs])
    print(f"a phase changes {labels[name]:26} by {change.mean():+.2f} dB ({change.min():+.2f} to {change.max():+.2f})")

# %% [markdown]
# The brackets give the range over the test cines. From here on everything is about magnitudes. The next sections
# conclude nothing about images with a phase.

# %% [markdown] tags=["report"]
# ## 5.6 When is a difference a difference? (12 min)
#
# Two kinds of chance are at work.
#
# **Which cines?** Some cines are hard for every method. So compare *in pairs*: subtract the two scores of the same
# cine, then average. What is hard for all methods cancels.

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
# **Figure 5.3.** The two scores of every test cine, joined by a line; the baseline is averaged over its three seeds.
# Does the change go the same way in every cine?

# %% [markdown] tags=["report"]
# **Which random numbers?** The same training with another seed gives another result. Three seeds of the baseline show
# how far results scatter: with the standard deviation $s$. If a variant made no difference, its run would be one more
# draw of the same kind.

# %% [markdown] tags=["report"]
# Then 95 % of the differences between the means of $n_a$ and of $n_b$ runs are smaller than
#
# $$ 4.30\; s\, \sqrt{1/n_a + 1/n_b} . $$
#
# Here 4.30 is Student's $t$ for two degrees of freedom. It is large because $s$ comes from only three runs. We assume
# that the variants scatter as much as the baseline.

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
# > **Predict 5.4.** How many of the eight variants differ from the baseline by more than chance?
# > Which?

# %%
table = ["| variant | difference, dB | in seed spreads | chance: cines | chance: seeds | verdict |",
         "|---|---:|---:|---:|---:|---|"]
compared = {name: compare([name]) for name in variants if name not in SEEDS}
for name, found in compared.items():
    units = found["gain"] / spread()
    table.append(f"| {labels[name]} | {found['gain']:+.2f} | {units:+.1f} "
                 f"| ± {found['by_cines']:.2f} | ± {found['by_seeds']:.2f} | {found['verdict']} |")
Markdown("\n".join(table))

# %% [markdown]
# **Table 5.2.** Variant minus baseline (mean of three seeds), averaged over the test cines. A verdict needs more than
# both kinds of chance.

# %%
told = [labels[name] for name, found in compared.items() if found["verdict"] != "cannot tell"]
print(f"seed spread {spread():.2f} dB")
print(f"{len(told)} of {len(compared)} beyond chance:", ", ".join(told) or "none")

# %% [markdown]
# <details><summary>Answer to 5.4</summary>
#
# The line above counts them. "Cannot tell" is not "no effect": so few seeds and cines do not show one. And with eight
# comparisons at 95 % each, a false alarm now and then is normal.
#
# </details>

# %%
AXIS = "difference to the baseline (dB)"
bars = [{"method": labels[name], AXIS: {"mean": found["gain"],
                                        "std": max(found["by_cines"], found["by_seeds"])}}
        for name, found in compared.items()]
figure = plotting.ladder(bars, metrics=(AXIS,))
plotting.save(figure, figures / "05_differences.png")
figure

# %% [markdown]
# **Figure 5.4.** The same table as a picture. Here the bar is what chance allows, the larger of the two kinds. If it
# reaches across zero, we cannot tell.

# %% [markdown]
# ### Exercise 5.2 · How many test cines? ★★
#
# How many test cines make a difference as large as two standard errors? Write
# `cines_needed(spread, spread_of_differences, difference)`, all in dB: the standard deviation over cines of the scores
# of either method, that of their paired differences, and the difference. Return two whole numbers: *unpaired* (two
# independent test sets of so many cines each) and *paired* (one test set for both). **Predict** their ratio for the
# spreads above.
#
# *Hint:* the standard error of a mean of $n$ is $s/\sqrt n$; for two independent means variances add.

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
# The ratio is twice the square of the ratio of the spreads. Small differences need pairs, and pairing costs nothing.
# It does not replace seeds.

# %% [markdown]
# ### Exercise 5.3 · An interval without formulas ★★
#
# Draw the test cines with replacement, thousands of times, and compute the mean difference of two methods for each
# draw. This is the *bootstrap*. Write `interval(first, second, draws, seed)`: two tensors of shape `(n,)` with the
# scores of the same cines, the number of draws, the seed. Return two numbers, low and high: 2.5 % of the mean
# differences (first minus second) lie below, 2.5 % above.
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
# Solution 5.3: L1 against L2, beside "chance: cines" of Table 5.2
low, high = interval(scores(["l1"]), scores(SEEDS), 10_000, seed)
found = compare(["l1"])
print(f"L1 - L2: 95 % of the draws between {low:+.3f} and {high:+.3f} dB, "
      f"by the formula {found['gain']:+.3f} ± {found['by_cines']:.3f} dB")

# %% [markdown] tags=["solution"]
# The interval is about the mean plus and minus two standard errors. With very few cines it is narrower, because a draw
# can only show what these cines show.

# %% [markdown] tags=["report"]
# ## 5.7 Part c: dropout and a dynamic learning rate (4 min)
#
# Two switches with two positions each make four runs. So each switch can be judged twice, with the other in either
# position. The report gave one number for both together, and could not say which of the two did it.

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


# %% [markdown]
# **Table 5.3.** What each switch adds, with the verdicts of section 5.6.

# %% tags=["report"]
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
# <details><summary>Answer to 5.1</summary>
#
# The rows of Table 5.3 that add dropout say so for these networks, this training and these cines. With a network that
# memorises, for example by longer training on few cines, the answer may be another one.
#
# </details>

# %% [markdown]
# ## 5.8 Part d: L1 or L2 (4 min)

# %% tags=["report"]
Markdown("**Assignment, part d.** " + where + "\n"
         + answer("Is L1 better than L2?", ["l1"], SEEDS))

# %%
plotting.paired_scores(scores(SEEDS), scores(["l1"]), names=("L2", "L1"))

# %% [markdown]
# **Figure 5.5.** Test PSNR of every cine with L2 (three seeds averaged) and with L1. Do the lines all go the same way?

# %% [markdown]
# <details><summary>Answer to 5.3</summary>
#
# The sentence above gives the difference and the verdict. L2 aims at PSNR itself. But a training need not reach the
# minimum of its loss, so this does not prove that L2 must win.
#
# </details>

# %% [markdown] tags=["deeper"]
# ## Deeper: Look at the images (6 min)
#
# Numbers are not enough. These are the best and the worst variant by mean PSNR.

# %% tags=["deeper"]
ranked = sorted(compared, key=lambda name: compared[name]["gain"])
worst, best = ranked[0], ranked[-1]
kspace, A, target = next(test_set.batches(1))
with torch.no_grad():
    seen = {"fully sampled": target[0], "zero-filled": classical.zero_filled(kspace, A)[0],
            labels[worst]: models[worst](kspace, A)[0],
            labels[best]: models[best](kspace, A)[0]}
print("worst:", labels[worst], " best:", labels[best])

# %% tags=["deeper"]
marks = {title: {"psnr": metrics.cine_metrics(cine, target[0])["psnr"]} for title, cine in seen.items()
         if title != "fully sampled"}
figure = plotting.cine_comparison(seen, frame=target.shape[1] // 3, reference="fully sampled", scores=marks)
plotting.save(figure, figures / "05_extremes.png")
figure

# %% [markdown] tags=["deeper"]
# **Figure 5.6.** One frame of the first test cine: fully sampled, before any network, and after the worst and the best
# variant, with five-fold errors below (PSNR: of the whole cine). Look at the edges of the heart.

# %% tags=["deeper"]
widgets.cine_viewer(seen, errors_against="fully sampled", frame=target.shape[1] // 3)

# %% [markdown] tags=["deeper"]
# **Figure 5.7.** The same, over time. Does the worse one flicker, or is it blurred in the frames in which the heart
# moves fast?

# %% [markdown] tags=["deeper"]
# ## Deeper: The mean of several networks (1 min)

# %% [markdown] tags=["deeper"]
# ### Exercise 5.4 · Three networks, one image ★
#
# Three seeds of the baseline are three networks. **Predict**: is the score of their mean image better than
# the mean of their three scores? Write `mean_image(networks, kspace, A)`: each of the `networks`, a
# list of any length, is called as `network(kspace, A)` and returns a complex cine `(b, t, y, x)`. Return the
# mean of the cines, of the same shape.
#
# *Hint:* the images are complex until the very end. What is lost if one averages magnitudes?

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 5.4
def mean_image(networks, kspace, A):
    """Mean of the complex cines that the networks reconstruct, shape (b, t, y, x)."""
    return sum(network(kspace, A) for network in networks) / len(networks)


# %% tags=["deeper"]
exercises.check_5_4(mean_image)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 5.4: a method is any function of k-space and forward model
def ensemble(kspace, A):
    return mean_image([models[name] for name in SEEDS], kspace, A)


rows["ensemble"] = training.evaluate(ensemble, test_set, title="ensemble")
for metric in ("psnr", "ssim"):
    print(metric, f"{compare(['ensemble'], SEEDS, metric)['gain']:+.4f}")

# %% [markdown] tags=["solution", "deeper"]
# Where the networks err in different ways, their errors partly cancel. The squared error of the mean is never above the
# mean of the squared errors. The price is three times the time.

# %% [markdown] tags=["deeper"]
# ## Deeper: More rows, more seeds, both worlds (3 min)
#
# The networks above were trained on magnitudes, most of them once. `dmri study pieces` trained smaller ones in the
# scanner's world, every row with three seeds. It also takes the attention apart, and leaves out weight decay.

# %% tags=["deeper"]
from dmri_helpers.studies import study

Markdown(study.table(study.measured("pieces")["compared"]))

# %% [markdown] tags=["deeper"]
# **Table 5.4.** Differences from the dual U-Net, with intervals over cines and seeds. Find the largest one. Is it a
# piece of the network? One U-Net has half the parameters of two, so its row compares sizes, too. With so many rows at
# 95 %, a false alarm or two is normal.

# %% [markdown]
# ## 5.9 The report's claims, and ours (5 min)
#
# The report tested every run on another random set of 57 cines, and made one run of each. So its rows cannot be paired.
# From its own standard deviations, chance in the cines alone allows differences up to
#
# $$ 2\sqrt{s_a^2/57 + s_b^2/57} . $$
#
# What chance in the seeds allows is not known.

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
# **Table 5.5.** Four differences of the report, what chance in the cines explains of each, and the same change here.
# Two of the report's differences are smaller than chance. Two are far larger.

# %% [markdown]
# The report's networks ended in sigmoids, had no residual path, and were much larger. So a different result here does
# not refute the report for its own networks.

# %%
found = compare(["view_sharing"], ["copy"])
print(f"network fed with view sharing, against view sharing alone: {found['gain']:+.2f} dB, {found['verdict']}")
found = compare(["view_sharing"])
print(f"the same network, against being fed with the zero-filled image: {found['gain']:+.2f} dB")

# %% [markdown]
# The input is a piece of the method, too. Compare the second number with the other rows of Table 5.2. Notebook 6 goes
# on from there.

# %% [markdown]
# ## 5.10 A mistake on purpose: every run its own test set (6 min)
#
# We repeat a flaw of the report with a method that uses no random numbers: zero-filling. Every "run" gets a random test
# set of its own.
#
# > **Predict 5.5.** By how many dB can zero-filling beat zero-filling?

# %%
everyone = data.UndersampledCines(cines, seed=seed)
of_all = torch.tensor([row["psnr"] for row in training.evaluate(classical.zero_filled, everyone)])
means = []
for split in range(10):
    order = torch.randperm(len(cines), generator=torch.Generator().manual_seed(split))
    means.append(of_all[order[: len(test)]].mean().item())
print(f"ten test sets: {min(means):.2f} to {max(means):.2f} dB, so {max(means) - min(means):.2f} dB apart")

# %%
plotting.quality_against(range(10), {"psnr": means}, xlabel="random test set")

# %% [markdown]
# **Figure 5.8.** The symptom: the same method has another score on each of ten random test sets.

# %% tags=["nbval-check-output"]
beats_itself = max(means) - min(means) > 0.1
assert beats_itself
print("zero-filling beats zero-filling by more than 0.1 dB:", beats_itself)

# %% [markdown]
# <details><summary>Answer to 5.5</summary>
#
# By the difference printed above, and nothing was changed. If the rows of a table have their own test sets, differences
# of this size mean nothing.
#
# </details>

# %%
results.record(
    figures / "05_ablations.json", profile=profile.name, data=cines.source, seed=seed,
    seed_spread=spread(), n_test=len(test), minutes=minutes, compared=compared, worlds=worlds,
    rows=[{"method": name, "changed": changed(name) if name in variants else [], **summary}
          for name, summary in summaries.items()])

# %% [markdown]
# ## Summary
#
# 1. **An ablation** changes one thing and keeps the rest: split, masks, seeds. Two switches need four runs.
# 2. **A difference** counts beyond both kinds of chance. Pair the cines, and repeat the seeds. The bar over the cines
#    is not the uncertainty of a comparison.
# 3. **Dropout** adds noise to an output whose gray values count; a falling rate lets the weights settle. Table 5.3 says
#    what they did here.
# 4. **L2** aims at the mean and at PSNR itself, **L1** at the median.
# 5. **Ask of every table**: which test set, how many seeds, and where is the row without learning?

# %% [markdown]
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

# %% [markdown]
# **Next:** [06_unrolled_dc](06_unrolled_dc.ipynb), where the measured lines are put back.
