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
# **Question.** What must a network look like that removes aliasing from a complex, moving image?
#
# After this notebook you can
#
# 1. feed a complex cine to a network of real numbers, and say why its output has to be signed;
# 2. explain why the network predicts what is *missing* and not the image itself;
# 3. build the pieces of a U-Net (block, skip connection, attention) and measure how far it sees;
# 4. show by experiment whether a network sees time, and why frames as channels are not enough;
# 5. draw an architecture from running code and account for its parameters.
#
# **Before you start:** [02_aliasing](02_aliasing.ipynb); convolutions and PyTorch modules.
# **Time:** about an hour to read and try; the cells run in about half a minute on two cores.
# Nothing is trained here. That is the next notebook.
#
# > **Assignment, part b.** *Build a stand-alone de-aliasing network that uses temporal
# > correlation.*
#
# This notebook builds it, piece by piece, from the design of the report this course grew from: two
# U-Nets for the real and the imaginary part, then a 3-D residual network. It also shows three flaws
# of that design and mends them.

# %%
import dataclasses
import re

import torch
from IPython.display import Markdown
from torch import nn
from torch.nn import functional

from dmri_helpers import classical, data, exercises, metrics, networks, plotting, profiles, results, widgets
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask

profile, source, seed = profiles.current(), profiles.data_source(), 0
cines = data.open_cine(source, n=profile.n_cines, shape=profile.shape)
figures = profiles.results_folder()
print(f"profile {profile.name}, data {cines.source}: {cines.shape}")

# %% [markdown]
# ## What comes in, what should come out
#
# The network gets the zero-filled cine $b = F^{-1} U F m$. It should return $m$. Look at the shapes
# and at the numbers: $b$ is complex, even where $m$ is a plain magnitude.

# %%
m = cines[0][None].to(torch.complex64)
mask = ky_t_mask(cines.shape[1:], seed=seed)
A = ForwardModel(mask)
kspace = A(m)
b = classical.zero_filled(kspace, A)
print("in ", tuple(b.shape), b.dtype, "\nout", tuple(m.shape), m.dtype)

# %%
missing = m - b
parts = {"Re b": b.real, "Im b": b.imag, "Re (m − b)": missing.real, "Im (m − b)": missing.imag}
plotting.cine_comparison(parts, window=(-0.4, 0.4))

# %% [markdown]
# **Figure 3.1.** Real and imaginary part of the aliased image, and of what is missing from it. Gray
# is zero, brighter is positive, darker is negative. All but the first panel hold about as much dark
# as bright: these numbers have *signs*. The imaginary part of $b$ is there although a magnitude
# image has none, because a random mask is not symmetric about the centre of k-space.

# %% [markdown]
# ## 3.1 A complex image as real channels
#
# The layers of PyTorch that we use multiply real numbers. A complex image becomes two real ones,
#
# $$ m \;\longmapsto\; (\operatorname{Re} m,\ \operatorname{Im} m), $$
#
# which loses nothing. The magnitude $|m|$ is one real image and loses the phase.

# %%
def to_channels(cine):
    """(b, t, y, x) complex -> (b, 2, t, y, x) real."""
    return torch.stack([cine.real, cine.imag], 1)


def to_complex(channels):
    return torch.complex(channels[:, 0], channels[:, 1])


torch.testing.assert_close(to_complex(to_channels(b)), b)

# %% [markdown]
# How bad is it to lose the phase? The measured lines are our only hard facts. The image $b$ agrees
# with them exactly. Does $|b|$?
#
# **Predict 3.1.** Take the k-space of $|b|$ at the sampled lines. How far is it from the measured
# data, relative to their size: 0 %, a few per cent, or tens of per cent? And outside the eleven
# centre lines, which hold nearly all of the energy?

# %%
def disagreement(image, lines):
    """Relative distance to the measured data on these lines."""
    found = ForwardModel(mask & lines).forward(image.to(torch.complex64))
    data_there = kspace * lines
    return ((found - data_there).norm() / data_there.norm()).item()


middle = mask.all(1, keepdim=True)  # lines that every frame has
for name, image in {"b": b, "|b|": b.abs()}.items():
    all_lines, outer = disagreement(image, mask), disagreement(image, mask & ~middle)
    print(f"{name:>3}: all sampled lines {all_lines:6.1%}, outer lines {outer:6.1%}")

# %% [markdown]
# The image $b$ fits the data to rounding. Its magnitude does not: on the outer lines, which carry
# the edges, it is far off. A magnitude taken *inside* the network throws away measured data. This
# was **flaw 3** of the report: it took the magnitude of its two branches before the 3-D stage. Here
# real and imaginary part stay apart until the very end.

# %% [markdown]
# ### Signs: why the output must not be a sigmoid
#
# **Flaw 2:** each network of the report ended in a sigmoid, $\sigma(u) = 1/(1+e^{-u})$, which lies
# between 0 and 1. Negative numbers are out of reach. No clever layer before it can help, so we can
# test it without any: let every pixel have a free parameter $u$ and fit it.
#
# **Predict 3.2.** The best that a sigmoid can do for a negative target is zero. Which error
# remains, as a formula in the target? Compare with the column "floor".

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


# %% [markdown]
# Two targets: what is missing, $\operatorname{Re}(m-b)$, and the real part of an image with a
# smooth phase, such as every scanner delivers before the magnitude is taken.

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
# Mean squared errors. The sigmoid stops at the floor $\frac1n\sum \min(\text{target},0)^2$, or a
# little above it because zero itself is only reached in the limit. The linear output has no floor.

# %% tags=["nbval-check-output"]
for name, (sigmoid, linear) in fits.items():
    floor = targets[name].clamp(max=0).square().mean()
    held = (sigmoid - targets[name]).square().mean() >= 0.999 * floor
    reached = (linear - targets[name]).square().mean() < 0.01 * floor
    assert held and reached
    print(f"{name}: sigmoid stopped by the floor {bool(held)}, linear below it {bool(reached)}")

# %%
sigmoid, linear = fits["Re (m − b)"]
plotting.cine_comparison(
    {"target Re (m − b)": targets["Re (m − b)"][None], "best sigmoid": sigmoid[None],
     "best linear": linear[None]}, window=(-0.4, 0.4))

# %% [markdown]
# **Figure 3.2.** The same target, fitted by a free number per pixel. Through a sigmoid all that is
# darker than gray (negative) is flat; a linear last layer reproduces it. So: **linear last layer.**

# %% [markdown]
# ## 3.2 Predict what is missing
#
# The input is already most of the answer. So let the network $f_\theta$ only say what to add,
#
# $$ \hat m = b + f_\theta(b), $$
#
# and let its last layer start at zero. Then the untrained network returns its input, and training
# starts from the quality of $b$ instead of from noise.

# %%
small = dict(init_features=4, depth=2, dropout=0.0)
unet = networks.AttentionUNet(in_channels=m.shape[1], out_channels=m.shape[1], **small).eval()
with torch.no_grad():
    torch.testing.assert_close(b.real + unet(b.real), b.real)
print("largest weight of the last layer:", unet.last.weight.abs().max().item())


# %% [markdown]
# Most experiments below need a network that does *something*. We wake it up: random numbers in the
# last layers. What it computes is nonsense, but shapes, reach and symmetries are those of any
# trained one.

# %%
def wake(network, seed=0):
    """Put random weights into the zero last layers."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (networks.AttentionUNet, networks.ResNet3D)):
            nn.init.normal_(module.last.weight, std=0.1)
    return network.eval()


# %% [markdown]
# **Predict 3.3.** Which of these has the better PSNR: $b$ itself, $b + f(b)$ with a woken network,
# or $f(b)$ alone, without the residual path?

# %%
torch.manual_seed(seed)
network = networks.DualUNet(m.shape[1], resnet_features=4, **small)
wake(network)
with torch.no_grad():
    whole = network(b)
for name, image in {"b": b, "b + f(b)": whole, "f(b) alone": whole - b}.items():
    print(f"{name:>10}: {metrics.frame_metrics(image[0], m[0])['psnr'].mean():6.2f} dB")

# %% [markdown]
# Without the path around it, the network would spend its first epochs learning to copy.

# %% [markdown]
# ## 3.3 The U-Net
#
# ### One block, by hand
#
# The brick of a U-Net: twice (3×3 convolution, normalisation, leaky rectifier).
#
# $$ u = w * h + c, \qquad
#    \hat u = \gamma\,\frac{u - \bar u}{\sqrt{\operatorname{var} u + \epsilon}} + \beta, \qquad
#    h' = \max(\hat u,\ 0.1\,\hat u). $$
#
# Mean and variance are those of one channel of one image (*instance* normalisation). A convolution
# is nine shifted copies of the image, each with its own matrix over the channels:

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


# %% [markdown]
# The same weights in our functions and in the helper's first block give the same features:

# %%
block = unet.encoder[0]
with torch.no_grad():
    by_hand = half_block(half_block(b.real, block[0], block[1]), block[3], block[4])
    torch.testing.assert_close(by_hand, block(b.real), rtol=1e-3, atol=1e-4)
print(block)

# %% [markdown]
# The frames are the *channels*: twenty frames go in, and the first convolution already mixes all of
# them. `Dropout2d` drops whole channels while training; notebook 05 asks whether that helps.
#
# ### Down and up
#
# After each block the image is halved by taking the largest of 2×2 pixels, and the number of
# channels doubles. On the way up a transposed convolution doubles the image again, and the features
# of the same size from the way down are laid beside it: the **skip connection**. This is the whole
# network:

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

# %% [markdown]
# The helper adds one thing: it pads images whose size is not a multiple of $2^{\text{depth}}$.
#
# ### How far does it see?
#
# Undersampling along $y$ throws ghosts across the whole field of view. A network that sees five
# pixels cannot know that a bright spot is the ghost of something 60 lines away. The **receptive
# field** of an output pixel is the set of inputs that can change it: where the gradient
# $\partial\,\text{output} / \partial\,\text{input}$ is not zero. So we can measure it.
#
# **Predict 3.4.** One block (two 3×3 convolutions) sees 5 pixels. How wide is the field of a U-Net
# that halves once, twice, three, four times?

# %%
def gradient_map(network, size=224):
    """Sum of |d output pixel in the middle / d input| over some random images, (size, size)."""
    torch.manual_seed(0)
    image = torch.randn(8, 2, size, size, requires_grad=True)
    network(image)[:, :, size // 2, size // 2].sum().backward()
    return image.grad.abs().sum((0, 1))


def width(gradients):
    return int((gradients.sum(1) > 0).sum())


# %% [markdown]
# Normalisation uses the mean of the whole image, so with it every pixel has a little influence on
# every other. To see what the convolutions alone reach, we take it out first.

# %%
def without_norm(network):
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    return network


# %% tags=["nbval-check-output"]
fields = {}
for depth in (1, 2, 3, 4):
    plain = wake(networks.AttentionUNet(2, 2, 2, depth, dropout=0.0, attention=False))
    fields[depth] = gradient_map(without_norm(plain))
print("halvings: pixels seen", {depth: width(field) for depth, field in fields.items()})
normed = wake(networks.AttentionUNet(2, 2, 2, depth=2, dropout=0.0, attention=False))
print("with normalisation the whole image:", width(gradient_map(normed)) == 224)

# %%
shown = {}
for depth, field in fields.items():
    strength = (1 + 1e4 * field / field.max()).log10() / 4
    shown[f"depth {depth}"] = (0.25 * (field > 0) + 0.75 * strength)[None]
plotting.cine_comparison(shown)

# %% [markdown]
# **Figure 3.3.** Which of 224×224 input pixels the output pixel in the middle depends on, for
# U-Nets that halve once to four times. Black: not at all; dark gray: at all; brighter: more
# strongly (logarithmic, four decades). Each halving about doubles the field; with four it is about
# as large as an image of 192 lines. With one, a ghost is seen without its source. That is why the
# network is deep. Note how small the bright part stays: being able to see far is not yet looking
# far. Random weights look near; training has to do the rest.

# %% [markdown]
# ## 3.4 Attention
#
# A convolution treats every image and every place alike. Attention multiplies the features by
# weights between 0 and 1 that depend on the features themselves (Woo et al., 2018). **Which
# channels?** Take each channel's mean and maximum over the image, send both through one small
# two-layer network, add, squash:
#
# $$ a_c = \sigma\big( W_2\,\phi(W_1 \operatorname{mean}_{yx} h) +
#                      W_2\,\phi(W_1 \max\nolimits_{yx} h) \big), \qquad h' = a_c\, h . $$

# %%
def channel_attention(h, perceptron):
    mean, peak = h.mean((2, 3), keepdim=True), h.amax((2, 3), keepdim=True)
    return torch.sigmoid(perceptron(mean) + perceptron(peak))  # (b, channels, 1, 1)


channel, spatial = unet.attention
features = torch.randn(1, 16, 12, 12)
with torch.no_grad():
    a_c = channel_attention(features, channel.perceptron)
    torch.testing.assert_close(a_c * features, channel(features))

# %% [markdown]
# **Which places?** The same the other way round: mean and maximum over the channels give two maps;
# a 7×7 convolution makes one map of weights from them:
#
# $$ a_{yx} = \sigma\big( w_{7\times7} * [\operatorname{mean}_c h,\ \max\nolimits_c h] \big),
#    \qquad h'' = a_{yx}\, h' . $$

# %%
def spatial_attention(h, conv):
    maps = torch.cat([h.mean(1, keepdim=True), h.amax(1, keepdim=True)], 1)
    return torch.sigmoid(conv(maps))  # (b, 1, y, x)


with torch.no_grad():
    a_yx = spatial_attention(features, spatial.conv)
    torch.testing.assert_close(a_yx * features, spatial(features))

# %% tags=["nbval-check-output"]
print("channel weights", tuple(a_c.shape), " place weights", tuple(a_yx.shape))
between = all(0 < a.min() and a.max() < 1 for a in (a_c, a_yx))
assert between
print("all weights between 0 and 1:", between)

# %% [markdown]
# Here a sigmoid is right: a weight *should* lie between 0 and 1. Both sit in the bottleneck, where
# the image is smallest, and cost little:

# %%
def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


print(f"attention {size(unet.attention)} of {size(unet)} parameters of this small U-Net")

# %% [markdown]
# ## 3.5 Two branches
#
# One U-Net for the real part, one for the imaginary part: the report's choice. Does either know
# about the other? We change only the imaginary part of the input and look at the real output.

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
# Two branches are blind to each other. Is there anything to see? The point-spread function $p$ of a
# random mask is complex, so aliasing mixes the parts:
#
# $$ \operatorname{Re} b = \operatorname{Re} p * \operatorname{Re} m -
#                          \operatorname{Im} p * \operatorname{Im} m . $$
#
# One U-Net with both parts as channels could use this, and needs half the parameters. The report's
# own numbers show no gain from two (29.08 dB with two, 29.16 dB with one). Notebook 05 measures it.

# %% [markdown]
# ## 3.6 Time
#
# ### Frames as channels of a 3-D convolution: flaw 1
#
# The report feeds its "3-D ResNet" the 20 frames as *channels* of a volume of depth one. A 3×3×3
# kernel has three layers of taps along depth. With depth one and zeros around it, the outer two
# layers only ever meet zeros.
#
# **Predict 3.5.** What gradient do the outer layers get? What fraction of the weights is dead?

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
# Two thirds of the weights never learn. The layer is a 2-D convolution in disguise. It does mix the
# frames, as channels, but it has no idea that frame 4 lies between frames 3 and 5.
#
# ### Frames as depth
#
# Our `ResNet3D` makes time an axis: channels are real and imaginary part, the volume is
# $(t, y, x)$. A cine is periodic, so frame 0 follows the last frame: time is padded *cyclically*.
# One residual block, by hand:

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
# Change one frame of the input; list the frames of the output that change.
#
# **Predict 3.6.** `ResNet3D` has three 3×3×3 convolutions in a row. We change frame 0. Which frames
# of the output change? And for the U-Net, with frames as channels?

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
# Three frames to either side, around the end of the cycle too. The U-Nets respond in every frame:
# each of their outputs is a mixture of all inputs. Is that not better? Not by itself: the mixture
# is learnt for frame 4, and again for frame 5, and again for frame 6. The heart does not care which
# frame we call the first. Let the cine start one frame later, and the output should do the same:

# %% tags=["nbval-check-output"]
def follows_the_clock(network):
    with torch.no_grad():
        late = network(b.roll(1, dims=1))
        return torch.allclose(late, network(b).roll(1, dims=1), atol=1e-5)


print("3-D ResNet: later in, later out:", follows_the_clock(resnet))
print("U-Nets, frames as channels:     ", follows_the_clock(only_unets))

# %% [markdown]
# The 3-D network has the symmetry of the problem built in (*equivariance*): what it learns at one
# time holds at all times, and it works for any number of frames. The U-Nets have to learn it from
# data, and their number of frames is fixed (the helper cuts longer cines into windows). Notebook 06
# builds on 3-D networks alone.

# %% [markdown]
# ## 3.7 The whole network
#
# Real and imaginary part through their U-Nets, add what they predict, then the 3-D ResNet, which
# adds again:

# %%
def dual_u_net(net, cine):
    real, imaginary = net.unets
    after_unets = cine + torch.complex(real(cine.real), imaginary(cine.imag))
    return net.resnet(after_unets)


with torch.no_grad():
    torch.testing.assert_close(dual_u_net(network, b), network(b))

# %% [markdown]
# The network of this profile, from its configuration. Untrained, it returns what it gets:

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
# ### Drawn from the code
#
# A figure drawn by hand is out of date the day after. This one is recorded: a *forward hook* is a
# function that PyTorch calls whenever a layer has run. Ours writes down the shape of the output and
# the number of parameters.

# %%
STAGE = r"(unets\.\d|resnet)\.(first|encoder\.\d|bottleneck|attention|decoder\.\d|blocks\.\d|last)"


def record(network, image):
    """Run once; return {stage: (shape of its output, number of parameters)} in running order."""
    stages, hooks = {}, []
    for name, module in network.named_modules():
        if re.fullmatch(STAGE, name):
            def note(module, inputs, output, name=name):
                parts = {name, name.replace("decoder", "up")}
                count = sum(size(network.get_submodule(part)) for part in parts)
                stages[name] = tuple(output.shape[1:]), count
            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return stages


stages = record(dual, b)
print(len(stages), "stages,", sum(count for _, count in stages.values()), "parameters")
assert sum(count for _, count in stages.values()) == size(dual)

# %% [markdown]
# The second half tells the drawing who belongs to which branch, how deep, and who is joined to
# whom. (The transposed convolutions are counted with the decoder block that they feed.)

# %%
TITLES = {"unets.0": "U-Net, real part", "unets.1": "U-Net, imaginary part", "resnet": "3-D ResNet"}


def to_blocks(stages, lines):
    """What `plotting.architecture` draws, from what `record` noted."""
    blocks = []
    depth = sum(".encoder." in name for name in stages if name.startswith("unets.0"))
    for name, (shape, count) in stages.items():
        branch, stage = re.fullmatch(STAGE, name).groups()
        blocks.append({"name": name, "label": stage.replace(".", " "), "shape": shape,
                       "parameters": count, "branch": TITLES[branch],
                       "level": round(lines / shape[-2]).bit_length() - 1})
        if "decoder" in stage:
            level = depth - 1 - int(stage.split(".")[1])
            blocks[-1]["skips"] = [f"{branch}.encoder.{level}"]
        if name == "resnet.first":
            ends = [f"unets.{i}.last" for i in (0, 1)]
            blocks[-1]["inputs"] = [end for end in ends if end in stages]
    return blocks


# %%
figure = plotting.architecture(to_blocks(stages, b.shape[-2]))
plotting.save(figure, figures / "03_architecture.png")
figure

# %% [markdown]
# **Figure 3.4.** The network of this profile as it ran. Each box: its name, the channels and size
# of its output, its parameters. Down: the image is halved and the channels double. Dashed: skip
# connections, which carry the detail that the bottleneck has no room for. The U-Nets end in as many
# channels as there are frames; the ResNet's channels are features of a $(t, y, x)$ volume. Not
# drawn are the two residual paths, around the U-Nets and around the ResNet.

# %% [markdown]
# ### The report's size, for free
#
# With 64 features and four halvings we need not even have the memory. On PyTorch's device `meta`
# tensors have a shape but no content, and layers compute shapes only.

# %%
with torch.device("meta"):
    report_size = make(profiles.DualUNetConfig())
    report_stages = record(report_size, torch.empty(1, 20, 192, 192, dtype=torch.complex64))

# %%
rows = ["| stage | this profile | parameters | report's size | parameters |",
        "|---|---|---:|---|---:|"]
for name, (shape, count) in report_stages.items():
    if not name.startswith("unets.1"):
        here = "{} | {:,}".format(*stages[name]) if name in stages else "– | –"
        rows.append(f"| {name} | {here} | {shape} | {count:,} |")
Markdown("\n".join(rows))

# %% [markdown]
# Shapes are (channels, y, x), in the ResNet (channels, t, y, x). The second U-Net is like the first
# and left out. In the report's size most parameters sit at the bottom of the U, where the image is
# smallest and the channels are most. The 3-D ResNet, which sees time, is small
# change beside it.

# %%
sizes = {"dual U-Net, this profile": dual, "dual U-Net of notebook 05": make(profile.ablation),
         "dual U-Net, report's size": report_size,
         "one 3-D ResNet of notebook 06": networks.ResNet3D(profile.unrolled.features)}
rows = ["| network | all | one U-Net | 3-D ResNet |", "|---|---:|---:|---:|"]
for name, net in sizes.items():
    of_unet = size(net.unets[0]) if hasattr(net, "unets") else 0
    rows.append(f"| {name} | {size(net):,} | {of_unet:,} | {size(net) - 2 * of_unet:,} |")
Markdown("\n".join(rows))

# %% tags=["nbval-check-output"]
millions = size(report_size.unets[0]) / 1e6
print(f"one U-Net of the report's size: {millions:.0f} million parameters")
gigabytes = 2 * millions * 4 * 4 / 1e3
print(f"training both with AdamW in float32: {gigabytes:.1f} GB before any feature map")

# %% [markdown]
# The second line: two U-Nets, four bytes, and four numbers for each parameter (its value, gradient,
# and two running means of AdamW).

# %% [markdown]
# ### Switches
#
# Which piece is worth its parameters? To ask that, every piece can be switched off. Notebook 05
# trains these variants.

# %%
base = profile.ablation
variants = {"baseline": base, "no attention": dataclasses.replace(base, attention=False),
            "one U-Net": dataclasses.replace(base, branches=1),
            "no 3-D ResNet": dataclasses.replace(base, resnet_features=0),
            "3-D ResNet alone": dataclasses.replace(base, branches=0)}
rows = ["| variant | parameters |", "|---|---:|"]
rows += [f"| {name} | {size(make(config)):,} |" for name, config in variants.items()]
Markdown("\n".join(rows))

# %% tags=["nbval-check-output"]
with torch.no_grad():
    outputs = [make(config).eval()(b) for config in variants.values()]
assert all(torch.equal(output, b) for output in outputs)
print("every variant: complex in, complex out, same shape, input returned at the start")

# %% [markdown]
# ## 3.8 Follow one change through the network
#
# We brighten a small patch in frame 0 and watch the change travel, with woken networks. Move the
# slider (or press Play).
#
# **Predict 3.7.** Where, and in which frames, does the output of the ResNet change? Of the U-Nets?

# %%
def seen(network):
    change = response(network, b)[0].abs()
    return (1 + 1e3 * change / change.max()).log10() / 3


views = {"input b": b[0], "change: 3-D ResNet": seen(resnet), "change: U-Nets": seen(only_unets),
         "change: both": seen(network)}
widgets.cine_viewer(views, window=(0, 1))

# %% [markdown]
# **Figure 3.5.** The aliased cine, and how strongly three untrained networks respond to a brighter
# patch in its frame 0 (logarithmic, three decades, each relative to its own maximum). The ResNet
# answers close to the patch, in frame 0 and three frames before and after, and is black in between.
# The U-Nets answer in every frame and far around the patch: they see far in space, and time has no
# meaning for them. The whole network does both.

# %% [markdown]
# ## 3.9 A mistake worth making: packed one way, unpacked another
#
# For one U-Net we lay the frames of both parts side by side: first all real frames, then all
# imaginary ones. Suppose the unpacking reads them in pairs, real, imaginary, real, imaginary. Every
# shape fits. No error is raised. Training even lowers the loss.

# %%
packed = torch.cat([b.real, b.imag], 1)  # Re 0, Re 1, ..., Im 0, Im 1, ...
pairs = packed.unflatten(1, (frames, 2))  # wrong: reads Re 0 with Re 1, Re 2 with Re 3, ...
mistaken = torch.complex(pairs[:, :, 0].contiguous(), pairs[:, :, 1].contiguous())
print("shapes agree:", mistaken.shape == b.shape)

# %%
column = m[0].abs().std(0).sum(0).argmax().item()  # where the most moves
plotting.xt_profiles({"input b": b, "mistaken": mistaken}, column)

# %% [markdown]
# **Figure 3.6.** One column over time: the input, and the same after the mistake. The symptom: in
# the first half of the cycle the image is too bright (two real frames pose as real and imaginary
# part of one) and the heart goes through its whole cycle, twice as fast. The second half
# is dark and ghostly (two imaginary parts). A network with free weights can learn to undo part of
# this, which is why such mistakes survive for months. One line finds it at once, *because* the
# untrained network must return its input:

# %% tags=["nbval-check-output"]
unpacked = torch.complex(*packed.chunk(2, 1))
print("returns its input, as it should:", torch.equal(unpacked, b))
print("returns its input, mistaken:", torch.equal(mistaken, b))
results.record(figures / "03_network.json", profile=profile.name, data=cines.source, seed=seed,
                parameters={name: size(net) for name, net in sizes.items()},
                receptive_field={depth: width(field) for depth, field in fields.items()})

# %% [markdown]
# ## Exercises
#
# Each asks for a function, the last one for a network. Write it in the cell below the question, then run
# the check: it tries your answer on small examples and says what is right, or what is not. (In the teacher's
# form a solution lies below the question, folded away.)

# %% [markdown]
# ### Exercise 3.1 · How many frames?
#
# How many frames does one output frame of `ResNet3D` depend on? **Predict** it as a function of the number
# of residual blocks: `frames_seen(blocks, frames)` returns a whole number, for a cyclic cine of `frames`
# frames. The check makes the experiment.
#
# *Hint:* count the 3×3×3 convolutions of section 3.6. The last one is 1×1×1. And a short cine
# runs out of frames.

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
# With four blocks all 16 frames are in sight; more blocks add nothing in time. The 20 frames of a whole
# cycle would take five. Being able to see far is not yet looking far here, either.

# %% [markdown]
# ### Exercise 3.2 · What would be lost without skips?
#
# Suppose nothing but the image at the bottom of the U came through. Write `through_the_bottom(image, d)`:
# average a real cine `(b, t, y, x)` over blocks of $2^d \times 2^d$ pixels and enlarge it again to its old
# size, which need not be a multiple of $2^d$. **Predict** the PSNR for $d = 1 \dots 4$: from which $d$ on
# is it worse than $b$? What, then, are the deep levels good for?
#
# *Hint:* `functional.avg_pool2d` and `functional.interpolate(..., size=..., mode="bilinear")`.

# %% tags=["hide-cell", "solution"]
# Solution 3.2
def through_the_bottom(image, d):
    """What is left of a real cine (b, t, y, x) that is halved d times and enlarged again."""
    coarse = functional.avg_pool2d(image, 2**d)
    return functional.interpolate(coarse, size=image.shape[-2:], mode="bilinear")


# %%
exercises.check_3_2(through_the_bottom)

# %% tags=["hide-cell", "solution"]
# Solution 3.2: compare with b
print(f"b: {metrics.frame_metrics(b[0], m[0])['psnr'].mean():.1f} dB")
for d in (1, 2, 3, 4):
    coarse = through_the_bottom(m.abs(), d)
    print(f"d = {d}: {metrics.frame_metrics(coarse[0], m[0])['psnr'].mean():.1f} dB")

# %% [markdown] tags=["solution"]
# From some depth on it is worse than the aliased input. The deep levels bring context (what is a ghost of
# what), and the skips bring the detail back.

# %% [markdown]
# ### Exercise 3.3 · (2+1)-D
#
# The assignment also allows a (2+1)-D network: a 1×3×3 convolution in space followed by a 3×1×1
# convolution in time. Write `two_plus_one(channels)`, which returns one such pair as a module with biases,
# cyclic in time, zeros around the image; a volume `(b, channels, t, y, x)` keeps its shape. How many
# parameters does it save for 16 channels, compared with a 3×3×3 convolution? Does it see time?
#
# *Hint:* `nn.Conv3d(..., padding_mode="circular")` pads *all* padded axes cyclically; with the
# kernel 3×1×1 only time is padded.

# %% tags=["hide-cell", "solution"]
# Solution 3.3
def two_plus_one(channels):
    """A 1x3x3 convolution in space, then a 3x1x1 convolution in cyclic time."""
    in_space = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))
    in_time = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), padding_mode="circular")
    return nn.Sequential(in_space, in_time)


# %%
exercises.check_3_3(two_plus_one)

# %% tags=["hide-cell", "solution"]
# Solution 3.3: 16 x 16 x (9 + 3) + 32 instead of 16 x 16 x 27 + 16 parameters; three frames change
print(size(two_plus_one(16)), "parameters instead of", size(nn.Conv3d(16, 16, 3)))
pair, impulse = two_plus_one(16), torch.zeros(1, 16, 12, 8, 8)
changed = impulse.index_fill(2, torch.tensor([0]), 1.0)
difference = (pair(changed) - pair(impulse)).abs().amax((1, 3, 4))
print("frames that change:", difference[0].gt(1e-6).nonzero().flatten().tolist())

# %% [markdown]
# ### Exercise 3.4 · Find the bugs
#
# Here are three flaws of the report in one small network. It runs, it trains, and no shape is wrong. Repair
# it: a module `Repaired(features)` that takes a complex cine `(b, t, y, x)` with *any* number of frames and
# returns a complex one of that shape. A change in one frame reaches the frames before and after, around
# the end of the beat; real and imaginary part can be negative; the phase of the input matters. Keep it
# small: two convolutions are enough, and `features` channels between them.
#
# *Hint:* the sections 3.1 and 3.6; `to_channels`, `to_complex` and `conv_t` are still there.

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
# Solution 3.4
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
exercises.check_3_4(Repaired)

# %% tags=["hide-cell", "solution"]
# Solution 3.4: the symptoms, before and after
for network in (Faulty(frames, 8), Repaired(8)):
    with torch.no_grad():
        output, turned = network(b), network(1j * b)
    print(type(network).__name__, f"{output.dtype}, smallest real part {output.real.min():.2f}:")
    print("  later in, later out:", follows_the_clock(network.eval()))
    print("  another phase, another answer:", not torch.allclose(output, turned))

# %% [markdown] tags=["solution"]
# The faulty one answers in every frame and does not know which is next to which; its output lies between 0
# and 1; and it gives one answer for all phases of the input. Neither has a
# residual path. That is no mistake, but it costs training time (section 3.2).

# %% [markdown]
# ## Why every piece is there
#
# The report this course grew from has seven flaws. Each has its price, and each price is measured in
# one of the six notebooks (the first digit of a section):
#
# | flaw of the report | what we do | measured in |
# |---|---|---|
# | 1. frames are channels of a volume of depth one | time is an axis of convolutions | 3.6, 5.10 |
# | 2. a sigmoid at the end of signed outputs | linear last layer, starting at zero | 3.1, 6.6 |
# | 3. the magnitude on the way | complex in, complex out | 3.1, and with a surprise 6.6 |
# | 4. exact data at half weight; every image drawn anew | hard consistency, residual paths | 6.6 |
# | 5. other test cines for every run | one seeded split, by patients | 5.11 |
# | 6. one mask for everything | a fresh mask for every sample | 4.2, 6.6 |
# | 7. no method beside it that does not learn | the whole ladder | 2.9, 6.7 |
#
# A piece that this table does not name, such as attention or a second U-Net, has to earn its place in
# the ablations of notebook 5, against the spread of equal runs.

# %% [markdown]
# ## Summary
#
# 1. A complex cine enters as two real channels and leaves as two; a magnitude on the way
#    contradicts the measured data, and a sigmoid at the end leaves negative values out of reach.
# 2. The network predicts what is missing. With a zero last layer it starts as the identity, which
#    costs nothing and is a test of the wiring.
# 3. A block is convolution, normalisation, leaky rectifier, twice. Halving widens the receptive
#    field to the size of the image, which ghosts demand; skips carry the detail; attention weighs
#    channels and places.
# 4. A network sees time if time is an axis of its convolutions. As channels of a volume of depth
#    one, two thirds of the weights are dead and the order of the frames means nothing.
# 5. Hooks record shapes and parameters of what really ran; the device `meta` does it without
#    memory.
#
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
# Next: [04_training](04_training.ipynb), where the network learns.
