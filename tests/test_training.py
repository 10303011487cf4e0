"""fit, resume, run folders, loading by name: what a run promises."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from dmri_helpers import data, methods, metrics, networks, profiles, training
from dmri_helpers.fourier import fft2c
from dmri_helpers.operators import ForwardModel
from dmri_helpers.profiles import TINY, DualUNetConfig, TrainConfig, UnrolledConfig
from dmri_helpers.results import records
from dmri_helpers.results.memory import peak_memory
from dmri_helpers.results.records import commit
from dmri_helpers.runs import Run, read_log, trained
from dmri_helpers.runs.reuse import _is_run_of

SHAPE = (6, 32, 24)
NETWORK = UnrolledConfig(cascades=2, features=4)
CONFIG = TrainConfig(
    epochs=3, batch_size=2, learning_rate=5e-3, crop=12, acceleration=3, center_lines=3, loss="l1"
)


@pytest.fixture(scope="module")
def cines():
    return data.split(data.open_cine("phantom", n=7, shape=SHAPE))


def sets(cines, config=CONFIG):
    train, validation, _ = cines
    options = dict(acceleration=config.acceleration, center_lines=config.center_lines)
    return (
        data.UndersampledCines(train, **options, seed=config.seed, training=True, crop=config.crop or None),
        data.UndersampledCines(validation, **options, seed=config.seed + 1),
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_run_says_all_and_comes_back(cines, tmp_path, capsys):
    model, log, folder = trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    assert [row["epoch"] for row in log] == [0, 1, 2, 3]
    assert (
        log[-1]["train_loss"] < log[1]["train_loss"] * 1.5 and log[-1]["learning_rate"] < CONFIG.learning_rate
    )
    steps = -(-len(cines[0]) // CONFIG.batch_size)
    last = (2 + (steps - 1) / steps) / 3  # progress before the last step
    assert log[-1]["learning_rate"] == CONFIG.learning_rate * training.rate_factor(last)
    assert re.search(r"training: 100%.* 3/3 \[.*epoch.*loss=.*val_psnr=\S+ dB\]", capsys.readouterr().err)
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["seed"] == 0 and config["network"]["name"] == "unrolled" and config["machine"]
    assert (folder / "output.txt").read_text().count("Epoch ") == 4
    for read, row in zip(read_log(folder / "log.csv")[1:], log[1:], strict=True):
        assert read == pytest.approx(row)
    assert not list(folder.glob(".*")), "half-written files"
    again, same_log, same_folder = trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    assert same_folder == folder and torch.equal(weights(again), weights(model))
    for path in (folder, folder / "best.safetensors"):
        assert torch.equal(weights(methods.load(path)), weights(model))


def test_another_configuration_is_another_run(cines, tmp_path):
    _, _, folder = trained("run", NETWORK, replace(CONFIG, epochs=1), *sets(cines), tmp_path)
    _, _, other = trained("run", NETWORK, replace(CONFIG, epochs=1, seed=1), *sets(cines), tmp_path)
    assert folder != other


def test_same_seed_same_weights_and_resume_is_exact(cines, tmp_path, monkeypatch):
    whole = methods.build(NETWORK, 0)
    training.fit(whole, *sets(cines), CONFIG, Run(tmp_path / "whole"))
    broken, (train, validation) = methods.build(NETWORK, 0), sets(cines)
    draw = train.set_epoch

    def killed(epoch, device):
        if epoch == 3:
            raise KeyboardInterrupt
        draw(epoch, device)

    monkeypatch.setattr(train, "set_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        training.fit(broken, train, validation, CONFIG, Run(tmp_path / "broken"))
    resumed = methods.build(NETWORK, 5)
    log = training.fit(resumed, *sets(cines), CONFIG, Run(tmp_path / "broken", resume=True))
    assert len(log) == 4 and torch.equal(weights(resumed), weights(whole))
    for name in ("best", "last"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("whole", "broken")]
        assert torch.equal(*(torch.cat([w.flatten() for w in load_file(f).values()]) for f in files))


def test_a_run_is_never_overwritten_or_mixed(cines, tmp_path):
    training.fit(methods.build(NETWORK), *sets(cines), replace(CONFIG, epochs=1), Run(tmp_path))
    with pytest.raises(FileExistsError, match="resume"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, Run(tmp_path))
    with pytest.raises(ValueError, match="another training configuration"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, Run(tmp_path, resume=True))
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="checkpoint.pt.*no readable checkpoint"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, Run(tmp_path, resume=True))


@pytest.fixture
def before_the_options():
    """What a run of before wrote: the configuration without the options that came later."""

    def forget(path):
        run = json.loads(path.read_text())
        for name in ("ema", "clip", "acceleration_to", "noise", "augment", "phase"):
            del run["training"][name]
        path.write_text(json.dumps(run))
        return json.dumps({name: run[name] for name in ("network", "data", "training")})

    return forget


def test_a_run_of_before_an_option_is_found_and_goes_on(cines, tmp_path, before_the_options):
    model, _, folder = trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    old = folder.rename(tmp_path / "run-01234567")  # whatever its name was made of
    config = before_the_options(old / "config.json")
    before = (old / "checkpoint.pt").stat().st_mtime_ns
    found, log, same = trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    assert same == old and len(log) == 4 and torch.equal(weights(found), weights(model))
    assert (old / "checkpoint.pt").stat().st_mtime_ns == before, "trained again"
    for other in (replace(CONFIG, ema=0.5), replace(CONFIG, epochs=4)):
        assert not _is_run_of(old, NETWORK, other, json.loads(config)["data"])
    assert _is_run_of(old, NETWORK, CONFIG, json.loads(config)["data"])

    state = torch.load(old / "checkpoint.pt", weights_only=True)
    torch.save(state | {"config": config}, old / "checkpoint.pt")
    description = {name: json.loads(config)[name] for name in ("network", "data")}
    resumed = methods.build(NETWORK, 5)
    training.fit(resumed, *sets(cines), CONFIG, Run(old, description, resume=True))
    assert torch.equal(weights(resumed), weights(model))


@pytest.mark.parametrize("name", ["dual_unet", "unrolled", "cascades_3", "ablation_l1"])
def test_shipped_runs_are_found_by_what_was_trained(name):
    """Whatever options training has by now: a configuration of before means their defaults."""
    run = json.loads((methods.WEIGHTS / name / "config.json").read_text())
    network, config = methods.network_config(run["network"]), TrainConfig(**run["training"])
    assert _is_run_of(methods.WEIGHTS / name, network, config, run["data"])
    assert not _is_run_of(methods.WEIGHTS / name, network, replace(config, clip=1), run["data"])
    if name != "unrolled":  # trained since there are these options
        assert (config.ema, config.clip, config.noise, config.augment) == (0, 0, 0, False)


def test_average_is_validated_and_kept(cines, tmp_path):
    config = replace(CONFIG, ema=0.8, schedule="constant")
    model, (train, validation) = methods.build(NETWORK), sets(cines)
    log = training.fit(model, train, validation, config, Run(tmp_path))

    twin, average = methods.build(NETWORK), None
    optimizer = torch.optim.AdamW(
        twin.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    for epoch in (1, 2, 3):
        train.set_epoch(epoch)
        for batch in train.batches(config.batch_size):
            training.step(twin, optimizer, batch, config)
            average = weights(twin) if average is None else 0.8 * average + 0.2 * weights(twin)
    state = load_file(tmp_path / "last.safetensors")
    last = torch.cat([state[name].flatten() for name, _ in twin.named_parameters()])
    torch.testing.assert_close(last, average, atol=1e-5, rtol=1e-4)
    assert (weights(twin) - average).abs().max() > 1e-3
    model.load_state_dict(state)  # the last row of the log is what these weights give
    psnr = [
        metrics.cine_metrics(model(kspace, A)[0].detach(), target[0])["psnr"]
        for kspace, A, target in validation.batches(1)
    ]
    assert sum(psnr) / len(psnr) == pytest.approx(log[-1]["val_psnr"], abs=0.02)


def test_gradients_are_clipped(cines):
    kspace, A, target = next(sets(cines)[0].batches(2))
    norms = []
    for clip in (0, 1e-3):
        model = methods.build(NETWORK)
        optimizer = torch.optim.SGD(model.parameters(), lr=0)
        training.step(model, optimizer, (kspace, A, target), replace(CONFIG, clip=clip))
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
    assert norms[0] > 2e-3 and norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_losses():
    error = torch.tensor([3 + 4j, 0])
    found = {name: loss(error).item() for name, loss in training.LOSSES.items()}
    assert found == pytest.approx({"l1": 2.5, "l2": 12.5, "charbonnier": 2.5005}, rel=1e-5)


def test_the_fast_step_is_the_plain_one(cines, monkeypatch):
    """Plain: masks and transforms sample by sample, padded copies, contiguous, AdamW tensor by tensor."""

    def convolved(self, x):
        return torch.nn.Conv3d.forward(self, torch.cat([x[:, :, -1:], x, x[:, :, :1]], 2).contiguous())

    config = replace(CONFIG, mixed_precision=False)
    fast, (train, _) = methods.build(NETWORK), sets(cines)
    plain = methods.build(NETWORK).to(memory_format=torch.contiguous_format)
    options = dict(lr=1e-2, weight_decay=1e-4)
    fused = torch.optim.AdamW(fast.parameters(), **options, fused=True)
    single = torch.optim.AdamW(plain.parameters(), **options, foreach=False)
    for epoch in (1, 2):
        train.set_epoch(epoch)
        losses = [training.step(fast, fused, batch, config).item() for batch in train.batches(2)]
        for indices, loss in zip(train._order.split(2), losses, strict=True):
            samples = []
            for i in indices.tolist():
                mask, start = train._masks[i], int(train._start[i])
                target = train.cines[i].to(torch.complex64)[..., start : start + 12].contiguous()
                samples.append((fft2c(target) * mask, mask, target))
            kspace, mask, target = (torch.stack(parts) for parts in zip(*samples, strict=True))
            A = ForwardModel(mask)
            single.zero_grad(set_to_none=False)
            with monkeypatch.context() as plainly:
                plainly.setattr(networks._Conv3d, "forward", convolved)
                error = (plain(kspace, A) - target).abs().mean()
                error.backward()
            single.step()
            assert error.item() == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(fast(kspace, A), plain(kspace, A), atol=1e-4, rtol=0)  # images reach 1
    assert (plain(kspace, A) - plain.start(kspace, A)).abs().max() > 0.01


def test_bfloat16_changes_the_direction_of_a_step_little(cines):
    """Emulated where the processor has none: rounding is the same. Stated tolerance: a cosine above 0.99."""
    train, _ = sets(cines)
    train.set_epoch(1)
    batch = next(train.batches(2))
    losses, gradients = [], []
    for enabled in (False, True):
        model = methods.build(NETWORK)
        for layer in model.regularisers:
            torch.nn.init.constant_(
                layer.last.weight, 0.01
            )  # zero would leave all but itself without gradient
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = training.LOSSES["l1"](model(*batch[:2]) - batch[2])
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99 and not torch.equal(*gradients)


def test_slices_are_the_whole_run(cines, tmp_path):
    """Stopped after every epoch by the clock, and each time gone on: nothing but the seconds differ."""
    config = replace(CONFIG, ema=0.9)
    whole, log = methods.build(NETWORK), []
    training.fit(whole, *sets(cines), config, Run(tmp_path / "whole"))
    for seed in (0, 5, 6):
        assert len(log) == {0: 0, 5: 2, 6: 3}[seed]
        sliced = methods.build(NETWORK, seed)
        log = training.fit(
            sliced, *sets(cines), config, Run(tmp_path / "sliced", resume=True), max_minutes=1e-9
        )
    assert len(log) == 4 and torch.equal(weights(sliced), weights(whole))
    log = training.fit(methods.build(NETWORK), *sets(cines), config, max_minutes=60)
    assert log[-1]["epoch"] == 3


def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    def git(*words):
        mine = ["-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *mine, *words], capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    file = tmp_path / "training.py"
    monkeypatch.setattr(records, "__file__", str(file))
    assert commit() == {}  # no file, no checkout
    git("init", "--quiet")
    file.write_text("1")
    assert commit() == {}  # somebody else's checkout, in which the package merely lies
    git("add", "training.py")
    git("commit", "--quiet", "--message", "one")
    head = git("rev-parse", "HEAD")
    assert commit() == {"commit": head}
    file.write_text("2")
    assert commit() == {"commit": head + "-dirty"}
    monkeypatch.setenv("PATH", "")
    assert commit() == {}  # no git


def test_a_run_that_diverges_says_so(cines):
    model = methods.build(NETWORK)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        training.fit(model, *sets(cines), CONFIG)


def test_the_weights_of_the_best_epoch_are_kept():
    model = torch.nn.Linear(1, 1)
    state = training.State(model, CONFIG)
    kept = []
    for psnr in (30.0, 32.0, 31.0, math.nan, 33.0, 32.5):
        torch.nn.init.constant_(model.weight, psnr)
        state.note({"val_psnr": psnr})
        kept.append(state.best["weight"].item())
    assert kept == [30, 32, 32, 32, 33, 33]


def test_rate_schedule():
    assert [training.rate_factor(progress) for progress in (0, 0.0125, 0.05)] == [0, 0.25, 1]
    assert training.rate_factor(1) == pytest.approx(0) and training.rate_factor(0.525) == pytest.approx(0.5)
    assert training.rate_factor(0.3, "constant") == 1


def test_evaluate_gives_a_row_per_cine_of_a_network_without_dropout(cines, capsys):
    class Start(torch.nn.Module):
        def forward(self, kspace, A):
            assert not self.training and not torch.is_grad_enabled()
            return A.adjoint(kspace)

    rows = training.evaluate(Start(), sets(cines)[1], title="zero-filled")
    assert f"zero-filled: 100%|██████████| {len(rows)}/{len(rows)}" in capsys.readouterr().err
    assert len(rows) == len(cines[1])
    assert training.evaluate(Start(), sets(cines)[1]) and "evaluate: 100%" in capsys.readouterr().err
    assert {"cine", "psnr", "ssim", "nmse", "psnr_volume", "ssim_volume", "psnr_dynamic", "seconds"} == set(
        rows[0]
    )


def test_validation_is_the_mean_over_the_cines(cines):
    class Start(torch.nn.Module):
        def forward(self, kspace, A):
            return A.adjoint(kspace)

    held = data.UndersampledCines(cines[0], acceleration=3, center_lines=3, seed=0)
    found = training._validate(Start(), held, CONFIG, training.Alone())
    rows = training.evaluate(Start(), held)
    assert len(rows) > 1 and found["val_psnr"] == pytest.approx(sum(row["psnr"] for row in rows) / len(rows))
    errors = [(A.adjoint(kspace) - target).abs().mean().item() for kspace, A, target in held.batches(1)]
    assert found["val_loss"] == pytest.approx(sum(errors) / len(errors))


@pytest.mark.parametrize(
    "config", [DualUNetConfig(), UnrolledConfig(), TINY.dual_unet, UnrolledConfig(data_weight=3.0)]
)
def test_configurations_survive_json(config):
    described = json.loads(json.dumps(methods.describe_network(config)), parse_constant=str)
    assert methods.network_config(described) == config


def test_loading_says_what_is_wrong(tmp_path):
    for method in ("no_such_method", tmp_path):
        with pytest.raises(ValueError, match="zero_filled.*unrolled, or a run folder"):
            methods.load(method)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"0" * 100)
    with pytest.raises(ValueError, match="broken.safetensors: found no weights of this course"):
        methods.load(broken)


def test_shipped_weights_are_checked(tmp_path, monkeypatch):
    """Every file is in the list; one that was changed, is gone or is of another network is named."""
    files = {str(path.relative_to(methods.WEIGHTS)) for path in methods.WEIGHTS.rglob("*.safetensors")}
    assert set(methods._checksums()) == files
    for name in ("nothing", "../weights/unrolled"):
        with pytest.raises(ValueError, match="found no such weights; expected one of .*unrolled"):
            methods.load_pretrained(name)
    shutil.copytree(methods.WEIGHTS / "cascades_1", tmp_path / "cascades_1")
    shutil.copy(methods.WEIGHTS / "SHA256SUMS", tmp_path)
    monkeypatch.setattr(methods, "WEIGHTS", tmp_path)
    assert isinstance(methods.load_pretrained("cascades_1"), torch.nn.Module)
    with pytest.raises(ValueError, match="cascades_2.best.safetensors: found no such weights"):
        methods.load_pretrained("cascades_2")
    file = tmp_path / "cascades_1" / "best.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="cascades_1.best.safetensors: found SHA-256 .* expected"):
        methods.load_pretrained("cascades_1")


def test_weights_of_another_network_are_refused(tmp_path, cines):
    """The configuration inside says one size, the weights have another."""
    state = methods.build(replace(NETWORK, features=5)).state_dict()
    description = json.dumps({"network": methods.describe_network(NETWORK)})
    save_file(state, tmp_path / "best.safetensors", {"config": description})
    with pytest.raises(ValueError, match="best.safetensors: found no weights of this course .*size mismatch"):
        methods.load(tmp_path)


@pytest.mark.parametrize("name", methods.NETWORKS)
def test_shipped_weights_load_and_beat_their_start(name):
    model = methods.load(name)
    config = json.loads((methods.WEIGHTS / name / "config.json").read_text())
    assert config["machine"] and config["date"]
    assert config["data"]["source"] in ("phantom", "complex.npz")  # phantoms, too: see weights/README.md
    heart = data.open_cine("phantom", n=1, seed=99)
    sample = data.UndersampledCines(heart, seed=0)
    mine = training.evaluate(model, sample)[0]["psnr"]
    assert mine > training.evaluate(model.start, sample)[0]["psnr"] + 1
    kspace, A, target = next(sample.batches(1))
    with torch.no_grad():  # in float32; evaluate rounds the residual where the device has bfloat16
        assert metrics.cine_metrics(model(kspace, A)[0], target[0])["psnr"] == pytest.approx(mine, abs=0.05)


@pytest.fixture(scope="module")
def shipped():
    """The shipped cascade, an unseen phantom with its mask, and what the one makes of the other, in float32."""
    model, sample = methods.load("unrolled"), data.UndersampledCines(data.open_cine("phantom", n=1, seed=99))
    kspace, A, target = next(sample.batches(1))
    with torch.no_grad():
        return model, A, target, model(kspace, A)


def test_the_shipped_cascade_gives_the_same_twice(shipped):
    model, A, target, once = shipped
    with torch.no_grad():
        assert torch.equal(model(A(target), A), once)


def test_another_first_frame_moves_the_reconstruction(shipped):
    """Nearly: a shift in time is a phase of the spectrum over time, which the x-f networks have to learn to ignore."""
    model, A, target, once = shipped
    A, target = ForwardModel(A.mask.roll(7, 1)), target.roll(7, 1)
    with torch.no_grad():
        moved = model(A(target), A)
    apart = (moved - once.roll(7, 1)).abs().square().mean().sqrt()
    error = (moved - target).abs().square().mean().sqrt()
    assert apart < 0.3 * error


@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_a_flipped_image_gives_a_flipped_reconstruction(shipped, axes):
    """Learnt, not built in: so to a third of the error that is left."""
    model, A, target, once = shipped
    target = target.flip(axes).roll([1] * len(axes), axes)  # the centre stays where it is
    if 2 in axes:
        A = ForwardModel(A.mask.flip(2).roll(1, 2))
    with torch.no_grad():
        flipped = model(A(target), A)
    expected = once.flip(axes).roll([1] * len(axes), axes)
    assert (flipped - expected).norm() < 0.33 * (expected - target).norm()


def test_one_phase_everywhere_passes_through_the_shipped_cascade(shipped):
    model, A, target, once = shipped
    turn = torch.exp(torch.tensor(2.1j))
    with torch.no_grad():
        torch.testing.assert_close(model(A(turn * target), A), turn * once, atol=1e-4, rtol=1e-4)


def test_a_phase_ramp_passes_through_the_shipped_cascade(shipped):
    model, A, target, once = shipped
    angle = torch.linspace(0, 1, target.shape[2])[:, None] + torch.linspace(0, 1, target.shape[3])
    ramp = torch.polar(torch.ones_like(angle), angle)
    with torch.no_grad():
        ramped = model(A(ramp * target), A)
    psnr = [metrics.cine_metrics(image[0], target[0])["psnr"] for image in (ramped, once)]
    assert psnr[0] > psnr[1] - 2
    assert (ramped - ramp * once).norm() < (once - target).norm()


def test_profiles(monkeypatch):
    for name in ("tiny", "demo", "full"):
        monkeypatch.setenv("DMRI_PROFILE", name)
        profile = profiles.current()
        assert profile.name == name and profile.dual_unet.frames == profile.shape[0]
    full = profiles.FULL.dual_unet_training  # the seed report's configuration
    assert (full.epochs, full.batch_size, full.learning_rate, full.weight_decay) == (800, 10, 1e-4, 1e-4)
    assert profiles.FULL.dual_unet.init_features == 64
    monkeypatch.setenv("DMRI_PROFILE", "huge")
    with pytest.raises(ValueError, match="huge.*tiny, demo, full"):
        profiles.current()


def test_peak_memory_counts_what_lives_at_one_time():
    def step():
        a = torch.zeros(1000, 1000)  # 4 MB
        b = a + 1
        del a
        return b * 2

    peak_memory(step)  # the first profile of a process allocates for itself
    assert peak_memory(step) == pytest.approx(8e6, rel=0.01)


def test_checkpointing_holds_memory_nearly_constant():
    peaks = {}
    for checkpointing in (False, True):
        for cascades in (2, 6):
            model = methods.build(replace(NETWORK, cascades=cascades, checkpointing=checkpointing)).train()
            kspace = torch.randn(1, 6, 32, 24, dtype=torch.complex64)
            mask = torch.ones(1, 6, 32, 1, dtype=torch.bool)
            A = ForwardModel(mask)
            step = lambda A=A: model(kspace, A).abs().sum().backward()  # noqa: E731, B023
            peaks[checkpointing, cascades] = peak_memory(step)
    assert peaks[True, 6] - peaks[True, 2] < 0.2 * (peaks[False, 6] - peaks[False, 2])


@pytest.mark.parametrize("checkpointing", [True, False])
def test_with_checkpointing_a_cascade_costs_under_a_tenth(checkpointing):
    kspace = torch.randn(1, 8, 48, 32, dtype=torch.complex64)
    mask = torch.rand(1, 8, 48, 1) < 0.3
    peaks = []
    for cascades in range(1, 9):
        model = methods.build(UnrolledConfig(cascades, checkpointing=checkpointing)).train()

        def step(model=model):
            with training.native_precision():
                loss = (model(kspace * mask, ForwardModel(mask)) - kspace).abs().mean()
            loss.backward()

        peak_memory(step) if cascades == 1 else None
        peaks.append(peak_memory(step))
    growth = max(after / before for before, after in zip(peaks[:-1], peaks[1:], strict=True)) - 1
    assert growth < 0.1 if checkpointing else growth > 0.15


def test_with_matrix_units_gradients_are_in_single_precision(monkeypatch):
    """PyTorch 2.13 overruns memory there in the bfloat16 weight gradient of Conv3d."""
    for has_matrix_units in (False, True):
        features = {"avx512_bf16": True, "amx_tile": has_matrix_units}
        monkeypatch.setattr(training, "_has", features.get)
        with training.native_precision():
            assert torch.is_autocast_enabled("cpu")
        with training.native_precision(gradients=True):
            assert torch.is_autocast_enabled("cpu") != has_matrix_units
