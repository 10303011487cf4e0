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
# # 3 · The network: from aliased cine to clean cine
#
# What must a network look like that removes aliasing from a complex, moving image?
#
# We build it piece by piece, from the design of the report that this course grew from. Three flaws of that design are
# shown and mended. Nothing is trained here.
#
# **When you are through, you can**
#
# 1. feed a complex cine to a network of real numbers;
# 2. say why its output needs a sign, and why it predicts what is *missing*;
# 3. build a U-Net from its blocks;
# 4. show by experiment whether a network sees time;
# 5. find a wiring mistake before any training.

# %% [markdown]
# **You need** [02_aliasing](02_aliasing.ipynb), convolutions, and modules of PyTorch.
#
# **Time:** reading and running about 55 minutes, exercises about 20, deeper sections about 25 and 20.
#
# > **Assignment, part b.** *Build a stand-alone de-aliasing network that uses temporal
# > correlation.*

# %% [markdown]
# ## Set up (1 min)

# %%
import dataclasses

from IPython.display import Markdown

from dmri_helpers import classical, data, exercises, metrics, networks, plotting, profiles, results, widgets
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask

import torch
from torch import nn
from torch.nn import functional

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# The network gets the [zero-filled](../site/conventions.md#term-zero-filled) [cine](../site/conventions.md#term-cine)
# $b = F^{-1} U F m$ and should return $m$. Look at shapes and types:

# %%
m = cines[0][None].to(torch.complex64)
mask = ky_t_mask(cines.shape[1:], seed=seed)
A = ForwardModel(mask)
kspace = A(m)
b = classical.zero_filled(kspace, A)
print("in ", tuple(b.shape), b.dtype, "\nout", tuple(m.shape), m.dtype)

# %% [markdown] tags=["report"]
# ## 3.1 A complex image as real channels (7 min)
#
# Our layers multiply real numbers. So a complex image becomes two real ones, which loses nothing:
#
# $$ m \;\longmapsto\; (\operatorname{Re} m,\ \operatorname{Im} m) . $$

# %%
def to_channels(cine):
    """(b, t, y, x) complex -> (b, 2, t, y, x) real."""
    return torch.stack([cine.real, cine.imag], 1)


def to_complex(channels):
    return torch.complex(channels[:, 0], channels[:, 1])


torch.testing.assert_close(to_complex(to_channels(b)), b)

# %%
missing = m - b
parts = {"Re b": b.real, "Im b": b.imag, "Re (m − b)": missing.real, "Im (m − b)": missing.imag}
plotting.cine_comparison(parts, window=(-0.4, 0.4))

# %% [markdown]
# **Figure 3.1.** The aliased image $b$ and what is missing from it. Gray is zero, brighter is positive, darker is
# negative. The imaginary part is there although $m$ has none, because a random mask is not symmetric.

# %% [markdown]
# The magnitude $|m|$ is a single real image, but it loses the phase. Does that matter? The image $b$ agrees with all
# measured lines. Does $|b|$?
#
# > **Predict 3.1.** Take the k-space of $|b|$ at the measured lines. How far is it from the data: 0 %, a few per
# > cent, or tens of per cent? How far on the lines outside the
# > [centre lines](../site/conventions.md#term-centre-lines)?

# %%
def disagreement(image, lines):
    """Relative distance to the measured data on these lines."""
    found = ForwardModel(mask & lines).forward(image.to(torch.complex64))
    data_there = kspace * lines
    return ((found - data_there).norm() / data_there.norm()).item()


middle = mask.all(1, keepdim=True)  # lines that every frame has
for name, image in {"b": b, "|b|": b.abs()}.items():
    all_lines, outer = disagreement(image, mask), disagreement(image, mask & ~middle)
    print(f"{name:>3}: all measured lines {all_lines:6.1%}, outer lines {outer:6.1%}")

# %% [markdown]
# <details><summary>Answer to 3.1</summary>
#
# The image $b$ fits to rounding. Its magnitude does not, above all on the outer lines, which carry the edges. A
# magnitude *inside* the network throws away measured data. This was **flaw 3** of the report: it took magnitudes
# before its 3-D stage.
#
# </details>

# %% [markdown]
# ## 3.2 The output needs a sign (6 min)
#
# **Flaw 2:** the networks of the report end in a sigmoid, $\sigma(v) = 1/(1+e^{-v})$, which lies between 0 and 1. So
# it cannot give a negative number, whatever the layers before it do. We test this without a network: every pixel gets
# a free number $v$, which we fit.

# %% [markdown]
# We fit two targets: what is missing, $\operatorname{Re}(m-b)$, and the real part of an image with a phase. The
# report had neither. Its targets were magnitudes, which a sigmoid can reach. But a network for complex images needs
# signs.
#
# > **Predict 3.2.** The best that a sigmoid can do for a negative target is zero. Which mean squared error remains,
# > as a formula in the target?

# %%
def best_fit(target, output, steps=250):
    """Fit one free number per pixel through an output function; return the image."""
    free = torch.zeros_like(target, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.2)
    for _ in range(steps):
        optimizer.zero_grad()
        (output(free) - target).square().mean().backward()
        optimizer.step()
    return output(free).detach()


# %%
ramp = torch.linspace(-1.5, 1.5, m.shape[-1]) + torch.linspace(0, 1.5, m.shape[-2])[:, None]
phased = m * torch.polar(torch.ones_like(ramp), ramp)
targets = {"Re (m − b)": missing.real[0, 0], "Re m, with phase": phased.real[0, 0]}
fits, table = {}, ["| target | sigmoid | floor | linear |", "|---|---:|---:|---:|"]
for name, target in targets.items():
    fits[name] = best_fit(target, torch.sigmoid), best_fit(target, lambda free: free)
    errors = [(fit - target).square().mean().item() for fit in fits[name]]
    floor = target.clamp(max=0).square().mean().item()
    table.append(f"| {name} | {errors[0]:.1e} | {floor:.1e} | {errors[1]:.1e} |")
Markdown("\n".join(table))

# %% [markdown]
# **Table 3.1.** Mean squared error of the best fit through a sigmoid and through a linear output.

# %% tags=["nbval-check-output"]
for name, (sigmoid, linear) in fits.items():
    floor = targets[name].clamp(max=0).square().mean()
    held = (sigmoid - targets[name]).square().mean() >= 0.999 * floor
    reached = (linear - targets[name]).square().mean() < 0.01 * floor
    assert held and reached
    print(f"{name}: sigmoid stopped by the floor {bool(held)}, linear below it {bool(reached)}")

# %% [markdown]
# <details><summary>Answer to 3.2</summary>
#
# The floor $\frac1n\sum \min(\text{target},0)^2$ remains. The sigmoid stops a little above it, as it reaches zero only
# in the limit. The linear output has no floor, so our last layer is linear.
#
# </details>

# %%
sigmoid, linear = fits["Re (m − b)"]
plotting.cine_comparison(
    {"target Re (m − b)": targets["Re (m − b)"][None], "best sigmoid": sigmoid[None],
     "best linear": linear[None]}, window=(-0.4, 0.4))

# %% [markdown]
# **Figure 3.2.** The same target and its two fits. Through the sigmoid, all that is darker than gray is lost.

# %% [markdown] tags=["report"]
# ## 3.3 Predict what is missing (5 min)
#
# The input is most of the answer already. So the network $f_\theta$ only says what to add, and its last layer starts
# at zero:
#
# $$ \hat m = b + f_\theta(b) . $$
#
# This is a *residual* network. Untrained, it returns its input.

# %%
small = dict(init_features=4, depth=2, dropout=0.0)
unet = networks.AttentionUNet(in_channels=m.shape[1], out_channels=m.shape[1], **small).eval()
with torch.no_grad():
    torch.testing.assert_close(b.real + unet(b.real), b.real)
print("largest weight of the last layer:", unet.last.weight.abs().max().item())


# %% [markdown]
# Our experiments need a network that does *something*. We wake it up with random numbers in the last layer. Its
# output means nothing, but what it can see is what a trained one can see.

# %%
def wake(network, seed=0):
    """Put random weights into the zero last layers."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (networks.AttentionUNet, networks.ResNet3D)):
            nn.init.normal_(module.last.weight, std=0.1)
    return network.eval()


# %% [markdown]
# > **Predict 3.3.** Which has the best PSNR: $b$ itself, $b + f(b)$ with a woken network, or $f(b)$ alone?

# %%
torch.manual_seed(seed)
network = networks.DualUNet(m.shape[1], resnet_features=4, **small)
wake(network)
with torch.no_grad():
    whole = network(b)
for name, image in {"b": b, "b + f(b)": whole, "f(b) alone": whole - b}.items():
    print(f"{name:>10}: {metrics.frame_metrics(image[0], m[0])['psnr'].mean():6.2f} dB")

# %% [markdown]
# <details><summary>Answer to 3.3</summary>
#
# $b$ itself is the best, and $f(b)$ alone is the worst. Without the path around it, a network first has to learn to
# copy.
#
# </details>

# %% [markdown] tags=["report"]
# ## 3.4 The U-Net (9 min)
#
# ### One block, by hand
#
# A block of a U-Net does this twice: a 3×3 convolution, a normalisation, and a *leaky rectifier*:
#
# $$ u = w * h + c, \qquad
#    \hat u = \gamma\,\frac{u - \bar u}{\sqrt{\operatorname{var} u + \epsilon}} + \beta, \qquad
#    h' = \max(\hat u,\ 0.1\,\hat u). $$

# %% [markdown] tags=["report"]
# Learnt are $w$, $c$, $\gamma$ and $\beta$; $\epsilon$ is tiny. Mean and variance are those of one channel of one
# image. A 3×3 convolution is a sum of nine shifted images, each with its own matrix over the channels:

# %%
def convolve(h, weight, bias):
    """3 x 3 convolution as a sum of nine shifts, zeros around the image."""
    y, x = h.shape[-2:]
    around = functional.pad(h, (1, 1, 1, 1))
    shifts = [around[..., dy : dy + y, dx : dx + x] for dy in range(3) for dx in range(3)]
    taps = weight.flatten(2).unbind(-1)
    total = sum(torch.einsum("oi,biyx->boyx", tap, h) for tap, h in zip(taps, shifts))
    return total + bias[:, None, None]


# %%
def normalise(u, weight, bias, eps=1e-5):
    mean, var = u.mean((2, 3), keepdim=True), u.var((2, 3), keepdim=True, correction=0)
    return weight[:, None, None] * (u - mean) / (var + eps).sqrt() + bias[:, None, None]


def half_block(h, conv, norm):
    u = normalise(convolve(h, conv.weight, conv.bias), norm.weight, norm.bias)
    return torch.maximum(u, 0.1 * u)


# %%
block = unet.encoder[0]
with torch.no_grad():
    by_hand = half_block(half_block(b.real, block[0], block[1]), block[3], block[4])
    torch.testing.assert_close(by_hand, block(b.real), rtol=1e-3, atol=1e-4)
print(block)

# %% [markdown]
# Our functions and the helper give the same features. The [frames](../site/conventions.md#term-frame) are the
# *channels* here: the first convolution mixes all of them.
#
# ### Down and up
#
# After each block the image is halved (the largest of 2×2 pixels), and the channels double. On the way up it is
# enlarged again. The features of the same size from the way down are put beside it: the **skip connection**.

# %%
def u_net(net, image):
    skips, h = [], image
    for block in net.encoder:
        h = block(h)
        skips.append(h)
        h = functional.max_pool2d(h, 2)
    h = net.attention(net.bottleneck(h))
    for up, block in zip(net.up, net.decoder):
        h = block(torch.cat([up(h), skips.pop()], 1))
    return net.last(h)


wake(unet)
with torch.no_grad():
    torch.testing.assert_close(u_net(unet, b.real), unet(b.real))

# %% [markdown] tags=["report"]
# Undersampling throws ghosts across the whole image, so a network should see far. Each halving lets it see about
# twice as far. The skips bring the detail back.

# %% [markdown] tags=["deeper"]
# ### Deeper: How far does it see? (7 min)
#
# The **receptive field** of an output pixel is the set of inputs that can change it. There the gradient
# $\partial\,\text{output} / \partial\,\text{input}$ is not zero, so we can measure it.
#
# > **Predict 3.4.** One block (two 3×3 convolutions) sees 5 pixels. How wide is the field of a U-Net that halves
# > once, twice, three, four times?

# %% tags=["deeper"]
def gradient_map(network, size=224):
    """Sum of |d output pixel in the middle / d input| over some random images, (size, size)."""
    torch.manual_seed(0)
    image = torch.randn(8, 2, size, size, requires_grad=True)
    network(image)[:, :, size // 2, size // 2].sum().backward()
    return image.grad.abs().sum((0, 1))


def width(gradients):
    return int((gradients.sum(1) > 0).sum())


# %% [markdown] tags=["deeper"]
# Normalisation uses the mean of the whole image, so with it every pixel has a little influence on every other. To see
# what the convolutions reach, we take it out first.

# %% tags=["deeper"]
def without_norm(network):
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    return network


# %% tags=["nbval-check-output", "deeper"]
fields = {}
for depth in (1, 2, 3, 4):
    plain = wake(networks.AttentionUNet(2, 2, 2, depth, dropout=0.0, attention=False))
    fields[depth] = gradient_map(without_norm(plain))
print("halvings: pixels seen", {depth: width(field) for depth, field in fields.items()})
normed = wake(networks.AttentionUNet(2, 2, 2, depth=2, dropout=0.0, attention=False))
print("with normalisation the whole image:", width(gradient_map(normed)) == 224)

# %% tags=["deeper"]
shown = {}
for depth, field in fields.items():
    strength = (1 + 1e4 * field / field.max()).log10() / 4
    shown[f"depth {depth}"] = (0.25 * (field > 0) + 0.75 * strength)[None]
print("halvings of the network of this profile:", profile.dual_unet.depth)
plotting.cine_comparison(shown)

# %% [markdown] tags=["deeper"]
# **Figure 3.3.** On which of 224×224 input pixels the output pixel in the middle depends. Black: not at all;
# brighter: more strongly (logarithmic, four decades).

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to 3.4</summary>
#
# The widths are printed above: each halving about doubles the field. The bright part stays small. To be *able* to see
# far is not to look far. Our networks halve less often than the report's, so a ghost may be seen without its source.
# The data step of notebook 6 works on all of k-space at once and does not depend on this.
#
# </details>

# %% [markdown] tags=["deeper", "report"]
# ### Deeper: Attention (5 min)
#
# A convolution treats every image and every place alike. Attention multiplies the features by weights between 0 and 1
# that depend on the features (Woo et al., 2018). *Which channels?* Take the mean and the maximum of each channel,
# send both through one small network, and add:
#
# $$ a_c = \sigma\big( W_2\,\phi(W_1 \operatorname{mean}_{yx} h) +
#                      W_2\,\phi(W_1 \max\nolimits_{yx} h) \big), \qquad h' = a_c\, h . $$

# %% tags=["deeper"]
def channel_attention(h, perceptron):
    mean, peak = h.mean((2, 3), keepdim=True), h.amax((2, 3), keepdim=True)
    return torch.sigmoid(perceptron(mean) + perceptron(peak))  # (b, channels, 1, 1)


channel, spatial = unet.attention
features = torch.randn(1, 16, 12, 12)
with torch.no_grad():
    a_c = channel_attention(features, channel.perceptron)
    torch.testing.assert_close(a_c * features, channel(features))

# %% [markdown] tags=["deeper", "report"]
# *Which places?* The mean and the maximum over the channels are two maps. A 7×7 convolution makes one map of weights
# of them:
#
# $$ a_{yx} = \sigma\big( w_{7\times7} * [\operatorname{mean}_c h,\ \max\nolimits_c h] \big),
#    \qquad h'' = a_{yx}\, h' . $$

# %% tags=["deeper"]
def spatial_attention(h, conv):
    maps = torch.cat([h.mean(1, keepdim=True), h.amax(1, keepdim=True)], 1)
    return torch.sigmoid(conv(maps))  # (b, 1, y, x)


with torch.no_grad():
    a_yx = spatial_attention(features, spatial.conv)
    torch.testing.assert_close(a_yx * features, spatial(features))

# %% tags=["nbval-check-output", "deeper"]
print("channel weights", tuple(a_c.shape), " place weights", tuple(a_yx.shape))
between = all(0 < a.min() and a.max() < 1 for a in (a_c, a_yx))
assert between
print("all weights between 0 and 1:", between)

# %% [markdown] tags=["deeper"]
# Here a sigmoid is right, because a weight *should* lie between 0 and 1. Both kinds stand at the bottom of the U,
# where the image is smallest. Notebook 5 asks whether they help.

# %% [markdown]
# ## 3.5 Two branches (4 min)
#
# The report has one U-Net for the real part and one for the imaginary part. Does one know of the other? We change
# only the imaginary part of the input and look at the real part of the output.

# %%
def other_part_matters(branches):
    torch.manual_seed(0)
    net = wake(networks.DualUNet(m.shape[1], branches=branches, resnet_features=0, **small))
    with torch.no_grad():
        change = net(b + 0.1j * b.abs()) - net(b)
    return bool((change.real.abs() > 1e-6).any())


# %% tags=["nbval-check-output"]
for branches in (2, 1):
    matters = other_part_matters(branches)
    print(f"{branches} U-Net(s): imaginary input changes real output: {matters}")

# %% [markdown]
# Two branches do not see each other. But the point-spread function $p$ is complex, so
# [aliasing](../site/conventions.md#term-aliasing) mixes the parts:
#
# $$ \operatorname{Re} b = \operatorname{Re} p * \operatorname{Re} m -
#                          \operatorname{Im} p * \operatorname{Im} m . $$
#
# One U-Net with both parts as channels could use this, with half the parameters. Notebook 5 compares them.

# %% [markdown]
# ## 3.6 Time (10 min)
#
# ### Flaw 1: frames as channels of a 3-D convolution
#
# The "3-D ResNet" of the report gets the frames as *channels* of a volume of depth one. A 3×3×3 kernel has three
# layers along depth. With depth one, the outer two layers only meet the zeros around the volume.
#
# > **Predict 3.5.** Which gradient do the outer layers get? What fraction of the weights never learns?

# %%
torch.manual_seed(seed)
frames = m.shape[1]
depth_one = nn.Conv3d(frames, 6, kernel_size=3, padding=1)
volume = b.real[:, :, None]  # (b, channels = frames, depth = 1, y, x)
flat_out = depth_one(volume)
flat_out.square().mean().backward()
by_depth = depth_one.weight.grad.abs().sum((0, 1, 3, 4))

# %% tags=["nbval-check-output"]
as_2d = functional.conv2d(b.real, depth_one.weight[:, :, 1], depth_one.bias, padding=1)
torch.testing.assert_close(flat_out[:, :, 0], as_2d, rtol=1e-4, atol=1e-5)
print("gradient reaches the depth layers:", (by_depth > 0).tolist())
dead = (depth_one.weight.grad == 0).float().mean().item()
print(f"dead weights: {dead:.2f}; the rest is a 2-D convolution")

# %% [markdown]
# <details><summary>Answer to 3.5</summary>
#
# None, so two thirds of the weights never learn. The layer is a 2-D convolution. It mixes the frames, but it does not
# know that frame 4 lies between the frames 3 and 5.
#
# </details>

# %% [markdown]
# ### Frames as depth
#
# Our `ResNet3D` makes time an axis. Its channels are real and imaginary part, and its volume is `(t, y, x)`. Time is
# padded *cyclically*: frame 0 follows the last frame. One residual block by hand:

# %%
def conv_t(conv, h):
    """3 x 3 x 3 convolution, cyclic in time, zeros around the image."""
    h = torch.cat([h[:, :, -1:], h, h[:, :, :1]], 2)
    return functional.conv3d(h, conv.weight, conv.bias, padding=(0, 1, 1))


def res_net(net, cine):
    act = nn.LeakyReLU(0.1)
    h = act(conv_t(net.first, to_channels(cine)))
    for first, _, second in net.blocks:
        h = act(h + conv_t(second, act(conv_t(first, h))))
    return cine + to_complex(net.last(h))


# %%
torch.manual_seed(seed)
resnet = wake(networks.ResNet3D(features=4, blocks=1))
with torch.no_grad():
    torch.testing.assert_close(res_net(resnet, b), resnet(b), rtol=1e-4, atol=1e-5)
print([tuple(conv.weight.shape) for conv in (resnet.first, resnet.blocks[0][0], resnet.last)])


# %% [markdown]
# ### Does it see time?
#
# Change one frame of the input, and list the frames of the output that change.
#
# > **Predict 3.6.** This `ResNet3D` has three 3×3×3 convolutions in a row. We change frame 0. Which frames of the
# > output change? Which ones for the U-Net?

# %%
def response(network, cine):
    """How the output changes when a patch in frame 0 gets brighter."""
    y, x = cine.shape[-2:]
    changed = cine.clone()
    changed[:, 0, y // 2 - 3 : y // 2 + 3, x // 2 - 3 : x // 2 + 3] += 0.5
    with torch.no_grad():
        return network(changed) - network(cine)


def frames_changed(change):
    t = change.shape[1]
    moved = (change.abs().amax((0, 2, 3)) > 1e-6).nonzero().flatten().tolist()
    return sorted((frame + t // 2) % t - t // 2 for frame in moved)


# %% tags=["nbval-check-output"]
only_unets = wake(networks.DualUNet(frames, resnet_features=0, **small))
print("3-D ResNet: frames", frames_changed(response(resnet, b)), "counted from the changed one")
print("U-Nets: all frames", len(frames_changed(response(only_unets, b))) == frames)

# %% [markdown]
# <details><summary>Answer to 3.6</summary>
#
# Three frames to either side, also around the end. In the U-Nets all frames change, because each output is a mixture
# of all inputs.
#
# </details>

# %% [markdown]
# Is the mixture better? It is learnt for frame 4, once more for frame 5, and so on. But the heart does not care which
# frame is the first. If the cine starts one frame later, the output should do the same:

# %% tags=["nbval-check-output"]
def follows_the_clock(network):
    with torch.no_grad():
        late = network(b.roll(1, dims=1))
        return torch.allclose(late, network(b).roll(1, dims=1), atol=1e-5)


print("3-D ResNet: later in, later out:", follows_the_clock(resnet))
print("U-Nets, frames as channels:     ", follows_the_clock(only_unets))

# %% [markdown]
# The 3-D network has this symmetry built in. What it learns at one time holds at all times, and it takes any number
# of frames. The U-Nets must learn it from data, for a fixed number of frames.

# %% [markdown]
# ### Exercise 3.1 · How many frames? ★
#
# How many frames does one output frame of `ResNet3D` depend on? Write `frames_seen(blocks, frames)`, a whole number
# for a cyclic cine of `frames` frames. The check makes the experiment.
#
# *Hint:* count the 3×3×3 convolutions: one, and two in every block. A short cine runs out of frames.

# %% tags=["hide-cell", "solution"]
# Solution 3.1
def frames_seen(blocks, frames):
    """How many frames of a cyclic cine an output frame of ResNet3D depends on."""
    convolutions = 1 + 2 * blocks  # one first, two per block; each sees one more frame on either side
    return min(1 + 2 * convolutions, frames)


# %%
exercises.check_3_1(frames_seen)

# %% tags=["hide-cell", "solution"]
# Solution 3.1: the experiment
short = torch.randn(1, 16, 16, 16, dtype=torch.complex64)
for blocks in (0, 1, 2, 3, 4):
    found = frames_changed(response(wake(networks.ResNet3D(features=4, blocks=blocks)), short))
    print(f"{blocks} blocks: {len(found)} frames, predicted {frames_seen(blocks, 16)}")

# %% [markdown] tags=["solution"]
# With four blocks all 16 frames are in sight. To be able to see far is not yet to look far.

# %% [markdown]
# ### Exercise 3.2 · Find the bugs ★★★
#
# Here are the first three flaws in one small network. Repair it: a module `Repaired(features)` takes a complex cine
# `(b, t, y, x)` with *any* number of frames and returns one of that shape. It sees the frames before and after,
# around the end. Its outputs have signs, and the phase of its input matters. Two convolutions with `features`
# channels between them are enough.
#
# *Hint:* `to_channels`, `to_complex` and `conv_t` are still there.

# %%
class Faulty(nn.Module):
    def __init__(self, frames, features):
        super().__init__()
        self.first = nn.Conv3d(frames, features, 3, padding=1)
        self.last = nn.Conv3d(features, frames, 3, padding=1)

    def forward(self, cine):
        volume = cine.abs()[:, :, None]
        h = functional.leaky_relu(self.first(volume), 0.1)
        return torch.sigmoid(self.last(h))[:, :, 0]


# %% tags=["hide-cell", "solution"]
# Solution 3.2
class Repaired(nn.Module):
    """Complex cine (b, t, y, x) in and out: time is an axis, outputs are signed, phase survives."""

    def __init__(self, features):
        """Two 3x3x3 convolutions with so many channels between them."""
        super().__init__()
        self.first, self.last = nn.Conv3d(2, features, 3), nn.Conv3d(features, 2, 3)

    def forward(self, cine):
        """Return a cine of the same shape."""
        h = functional.leaky_relu(conv_t(self.first, to_channels(cine)), 0.1)
        return to_complex(conv_t(self.last, h))


# %%
exercises.check_3_2(Repaired)

# %% tags=["hide-cell", "solution"]
# Solution 3.2: the symptoms, before and after
for repaired in (Faulty(frames, 8), Repaired(8)):
    with torch.no_grad():
        output, turned = repaired(b), repaired(1j * b)
    print(type(repaired).__name__, f"{output.dtype}, smallest real part {output.real.min():.2f}:")
    print("  later in, later out:", follows_the_clock(repaired.eval()))
    print("  another phase, another answer:", not torch.allclose(output, turned))

# %% [markdown] tags=["solution"]
# The faulty one does not know which frame is next to which. Its output lies between 0 and 1, and it gives one answer
# for all phases. Neither has a residual path. That is no mistake, but it costs training time.

# %% [markdown] tags=["deeper"]
# ## Deeper: What would be lost without skips? (1 min)
#
# Suppose that nothing but the image at the bottom of the U came through.

# %% [markdown] tags=["deeper"]
# ### Exercise 3.3 · Through the bottom ★★
#
# Write `through_the_bottom(image, d)`: average a real cine `(b, t, y, x)` over blocks of $2^d \times 2^d$ pixels and
# enlarge it again to its old size, which need not be a multiple of $2^d$. **Predict** the PSNR for $d = 1 \dots 4$:
# from which $d$ on is it worse than $b$? What, then, are the deep levels good for?
#
# *Hint:* `functional.avg_pool2d` and `functional.interpolate(..., size=..., mode="bilinear")`.

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 3.3
def through_the_bottom(image, d):
    """What is left of a real cine (b, t, y, x) that is halved d times and enlarged again."""
    coarse = functional.avg_pool2d(image, 2**d)
    return functional.interpolate(coarse, size=image.shape[-2:], mode="bilinear")


# %% tags=["deeper"]
exercises.check_3_3(through_the_bottom)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 3.3: compare with b
print(f"b: {metrics.frame_metrics(b[0], m[0])['psnr'].mean():.1f} dB")
for d in (1, 2, 3, 4):
    coarse = through_the_bottom(m.abs(), d)
    print(f"d = {d}: {metrics.frame_metrics(coarse[0], m[0])['psnr'].mean():.1f} dB")

# %% [markdown] tags=["solution", "deeper"]
# From some depth on it is worse than the aliased input. The deep levels bring context (what is a ghost of what), and
# the skips bring the detail back.

# %% [markdown] tags=["deeper"]
# ## Deeper: (2+1)-D (1 min)
#
# The assignment also allows a (2+1)-D network. It has a 1×3×3 convolution in space and then a 3×1×1 convolution in
# time.

# %% [markdown] tags=["deeper"]
# ### Exercise 3.4 · One in space, one in time ★★
#
# Write `two_plus_one(channels)`, which returns one such pair as a module with biases, cyclic in time, zeros around
# the image. A volume `(b, channels, t, y, x)` keeps its shape. How many parameters does it save for 16 channels,
# compared with a 3×3×3 convolution? Does it see time?
#
# *Hint:* `nn.Conv3d(..., padding_mode="circular")` pads *all* padded axes cyclically. With the kernel 3×1×1 only time
# is padded.

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 3.4
def two_plus_one(channels):
    """A 1x3x3 convolution in space, then a 3x1x1 convolution in cyclic time."""
    in_space = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))
    in_time = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), padding_mode="circular")
    return nn.Sequential(in_space, in_time)


# %% tags=["deeper"]
exercises.check_3_4(two_plus_one)

# %% tags=["hide-cell", "solution", "deeper"]
# Solution 3.4: 16 x 16 x (9 + 3) + 32 instead of 16 x 16 x 27 + 16 parameters; three frames change
pair, whole_kernel = two_plus_one(16), nn.Conv3d(16, 16, 3)
for module in (pair, whole_kernel):
    print(sum(parameter.numel() for parameter in module.parameters()), "parameters")
impulse = torch.zeros(1, 16, 12, 8, 8)
changed = impulse.index_fill(2, torch.tensor([0]), 1.0)
difference = (pair(changed) - pair(impulse)).abs().amax((1, 3, 4))
print("frames that change:", difference[0].gt(1e-6).nonzero().flatten().tolist())

# %% [markdown]
# ## 3.7 The whole network (5 min)
#
# Real and imaginary part go through their U-Nets, and what these predict is added. The 3-D ResNet adds once more:

# %%
def dual_u_net(net, cine):
    real, imaginary = net.unets
    after_unets = cine + torch.complex(real(cine.real), imaginary(cine.imag))
    return net.resnet(after_unets)


with torch.no_grad():
    torch.testing.assert_close(dual_u_net(network, b), network(b))

# %% [markdown]
# The network of this profile comes from its configuration. Untrained, it returns its input:

# %%
def make(config):
    """The network of a configuration (all of it but what it is fed with)."""
    options = dataclasses.asdict(config)
    options.pop("start")
    return networks.DualUNet(**options)


torch.manual_seed(seed)
dual = make(profile.dual_unet).eval()

# %% tags=["nbval-check-output"]
with torch.no_grad():
    same = torch.equal(dual(b), b)
assert same
print("the untrained network returns its input:", same)

# %% [markdown]
# How large is it? The network of the report has 64 features and four halvings. On the PyTorch device `meta` tensors
# have a shape but no content, so we can count it without memory.

# %%
def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


with torch.device("meta"):
    report_size = make(profiles.DualUNetConfig())
sizes = {"dual U-Net, this profile": dual, "dual U-Net of notebook 5": make(profile.ablation),
         "dual U-Net, report's size": report_size,
         "one 3-D ResNet of notebook 6": networks.ResNet3D(profile.unrolled.features)}
rows = ["| network | all | one U-Net | 3-D ResNet |", "|---|---:|---:|---:|"]
for name, net in sizes.items():
    of_unet = size(net.unets[0]) if hasattr(net, "unets") else 0
    rows.append(f"| {name} | {size(net):,} | {of_unet:,} | {size(net) - 2 * of_unet:,} |")
Markdown("\n".join(rows))

# %% [markdown]
# **Table 3.2.** Numbers of parameters. The 3-D ResNet, which sees time, is small beside the U-Nets.

# %% tags=["nbval-check-output"]
millions = size(report_size.unets[0]) / 1e6
print(f"one U-Net of the report's size: {millions:.0f} million parameters")
gigabytes = 2 * millions * 4 * 4 / 1e3
print(f"training both with AdamW in float32: {gigabytes:.1f} GB before any feature map")

# %% [markdown]
# The second line counts two U-Nets, four bytes a number, and four numbers for each parameter: its value, its
# gradient, and two running means of AdamW.

# %% [markdown] tags=["deeper"]
# ### Deeper: Drawn from the code (6 min)
#
# A figure that was drawn by hand is soon out of date. This one is recorded. A *forward hook* is a function that
# PyTorch calls whenever a layer has run. Ours notes the shape of the output.

# %% tags=["deeper"]
def record_shapes(network, image):
    """Run the network once; return {module: shape of its output without the batch}."""
    shapes = {}

    def note(module, inputs, output):
        shapes[module] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    network(image)
    for hook in hooks:
        hook.remove()
    return shapes


shapes = record_shapes(dual, b)
print(len(shapes), "modules have run")

# %% [markdown] tags=["deeper"]
# What is a stage of the drawing, and how often was its image halved? (The transposed convolutions are counted with
# the decoder block that they feed.)

# %% tags=["deeper"]
def unet_stages(unet):
    """Label, module, halvings and parameters of every stage, in running order."""
    depth = len(unet.encoder)
    stages = [(f"encoder {k}", block, k, size(block)) for k, block in enumerate(unet.encoder)]
    for label in ("bottleneck", "attention"):
        stages.append((label, getattr(unet, label), depth, size(getattr(unet, label))))
    for k, (up, block) in enumerate(zip(unet.up, unet.decoder)):
        stages.append((f"decoder {k}", block, depth - 1 - k, size(up) + size(block)))
    return [*stages, ("last", unet.last, 0, size(unet.last))]


def resnet_stages(net):
    blocks = [(f"block {k}", block, 0, size(block)) for k, block in enumerate(net.blocks)]
    return [("first", net.first, 0, size(net.first)), *blocks, ("last", net.last, 0, size(net.last))]


# %% tags=["deeper"]
branches = {f"U-Net, {part} part": unet_stages(net) for part, net in zip(("real", "imaginary"), dual.unets)}
branches["3-D ResNet"] = resnet_stages(dual.resnet)
blocks = []
for branch, stages in branches.items():
    for label, module, level, parameters in stages:
        blocks.append({"name": f"{branch}, {label}", "label": label, "branch": branch, "level": level,
                       "shape": shapes[module], "parameters": parameters})
        if label.startswith("decoder"):
            blocks[-1]["skips"] = [f"{branch}, encoder {level}"]
        if branch == "3-D ResNet" and label == "first":
            blocks[-1]["inputs"] = ["U-Net, real part, last", "U-Net, imaginary part, last"]
assert sum(block["parameters"] for block in blocks) == size(dual)
figure = plotting.architecture(blocks)
plotting.save(figure, figures / "03_architecture.png")
figure

# %% [markdown] tags=["deeper"]
# **Figure 3.4.** The network of this profile as it ran. Each box has the shape of its output and its parameters.
# Lower: the image is halved. Dashed: skip connections. The two residual paths, around the U-Nets and around the
# ResNet, are not drawn.

# %% [markdown] tags=["deeper"]
# ### Deeper: Switches (3 min)
#
# Which piece is worth its parameters? Every piece can be switched off. Notebook 5 trains these variants.

# %% tags=["deeper"]
base = profile.ablation
variants = {"baseline": base, "no attention": dataclasses.replace(base, attention=False),
            "one U-Net": dataclasses.replace(base, branches=1),
            "no 3-D ResNet": dataclasses.replace(base, resnet_features=0),
            "3-D ResNet alone": dataclasses.replace(base, branches=0)}
rows = ["| variant | parameters |", "|---|---:|"]
rows += [f"| {name} | {size(make(config)):,} |" for name, config in variants.items()]
Markdown("\n".join(rows))

# %% [markdown] tags=["deeper"]
# **Table 3.3.** Parameters of the variants.

# %% tags=["nbval-check-output", "deeper"]
with torch.no_grad():
    outputs = [make(config).eval()(b) for config in variants.values()]
assert all(torch.equal(output, b) for output in outputs)
print("every variant: complex in, complex out, same shape, input returned at the start")

# %% [markdown]
# ## 3.8 Follow one change through the network (4 min)
#
# We brighten a small patch in frame 0 and watch how the change travels through woken networks.
#
# > **Predict 3.7.** Where, and in which frames, does the output of the ResNet change? That of the U-Nets? Then play
# > it.

# %%
def seen(network):
    change = response(network, b)[0].abs()
    return (1 + 1e3 * change / change.max()).log10() / 3


views = {"input b": b[0], "change: 3-D ResNet": seen(resnet), "change: U-Nets": seen(only_unets),
         "change: both": seen(network)}
widgets.cine_viewer(views, window=(0, 1))

# %% [markdown]
# **Figure 3.5.** The aliased cine, and how strongly three untrained networks answer to a brighter patch in its frame
# 0 (logarithmic, three decades).

# %% [markdown]
# <details><summary>Answer to 3.7</summary>
#
# The ResNet answers close to the patch, in the frames near frame 0, and stays black in all others. The U-Nets answer in
# every frame and far around the patch. The whole network does both.
#
# </details>

# %% [markdown]
# ## 3.9 A mistake on purpose: packed one way, unpacked another (5 min)
#
# One U-Net for both parts gets all real frames first and then all imaginary ones. Suppose that the unpacking reads
# pairs: real, imaginary, real, imaginary. Every shape fits, and no error is raised.

# %%
packed = torch.cat([b.real, b.imag], 1)  # Re 0, Re 1, ..., Im 0, Im 1, ...
pairs = packed.unflatten(1, (frames, 2))  # wrong: reads Re 0 with Re 1, Re 2 with Re 3, ...
mistaken = torch.complex(pairs[:, :, 0].contiguous(), pairs[:, :, 1].contiguous())
print("shapes agree:", mistaken.shape == b.shape)

# %%
column = m[0].abs().std(0).sum(0).argmax().item()  # where the most moves
plotting.xt_profiles({"input b": b, "mistaken": mistaken}, column)

# %% [markdown]
# **Figure 3.6.** One column over time: the input, and the same after the mistake. In the first half the image is too
# bright, and the heart moves twice as fast. The second half is dark and ghostly.

# %% [markdown]
# A trained network can learn to undo part of this, so such mistakes live long. One line finds it, *because* the
# untrained network must return its input:

# %% tags=["nbval-check-output"]
unpacked = torch.complex(*packed.chunk(2, 1))
print("returns its input, as it should:", torch.equal(unpacked, b))
print("returns its input, mistaken:", torch.equal(mistaken, b))

# %%
results.record(figures / "03_network.json", profile=profile.name, data=cines.source, seed=seed,
                parameters={name: size(net) for name, net in sizes.items()})

# %% [markdown]
# ## 3.10 The flaws of the report, and what we do (2 min)
#
# The table says what we do about each, and where it is tested.

# %% [markdown]
# | flaw of the report | what we do | tested in |
# |---|---|---|
# | 1. frames as channels, depth one | time is an axis | 3.6 |
# | 2. a sigmoid at the end | linear last layer | 3.2, notebook 6 |
# | 3. the magnitude on the way | complex in, complex out | 3.1, notebook 6 |
# | 4. every image drawn anew | residual paths | 3.3, notebook 6 |
# | 5. other test cines for every run | one split | notebook 5 |
# | 6. one mask for everything | fresh masks | notebook 6 |
# | 7. compared with zero filling alone | the whole ladder | 2.10 |

# %% [markdown]
# Notebook 5 tests whether attention and a second U-Net help.

# %% [markdown]
# ## Summary
#
# 1. A complex cine enters as two real channels. A magnitude on the way contradicts the data.
# 2. The last layer is linear, and the network predicts what is missing. Untrained, it returns its input.
# 3. A block is twice a convolution, a normalisation and a rectifier. Halving lets a U-Net see far; skips carry detail.
# 4. A network sees time if time is an axis of its convolutions.
# 5. "Untrained, it returns its input" finds wiring mistakes in one line.

# %% [markdown]
# ## References
#
# - Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks for biomedical image
#   segmentation. MICCAI, 2015.
# - He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR, 2016.
# - Woo S, Park J, Lee JY, Kweon IS. CBAM: convolutional block attention module. ECCV, 2018.
# - Ulyanov D, Vedaldi A, Lempitsky V. Instance normalization: the missing ingredient for fast
#   stylization. arXiv:1607.08022, 2016.
# - Schlemper J, Caballero J, Hajnal JV, Price AN, Rueckert D. A deep cascade of convolutional
#   neural networks for dynamic MR image reconstruction. IEEE Transactions on Medical Imaging, 2018.
#
# **Next:** [04_training](04_training.ipynb), where the network learns.
