"""fit, resume, run folders, loading by name: what a run promises."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from dmri_helpers import data, methods, metrics, profiles, training
from dmri_helpers.profiles import TINY, DualUNetConfig, TrainConfig, UnrolledConfig

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


def test_a_run_says_all_and_comes_back(cines, tmp_path):
    model, log, folder = methods.trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    assert [row["epoch"] for row in log] == [0, 1, 2, 3]
    assert (
        log[-1]["train_loss"] < log[1]["train_loss"] * 1.5 and log[-1]["learning_rate"] < CONFIG.learning_rate
    )
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["seed"] == 0 and config["network"]["name"] == "unrolled" and config["machine"]
    assert (folder / "output.txt").read_text().count("Epoch ") == 4
    for read, row in zip(training.read_log(folder / "log.csv")[1:], log[1:], strict=True):
        assert read == pytest.approx(row)
    assert not list(folder.glob(".*")), "half-written files"
    again, same_log, same_folder = methods.trained("run", NETWORK, CONFIG, *sets(cines), tmp_path)
    assert same_folder == folder and torch.equal(weights(again), weights(model))
    for path in (folder, folder / "best.safetensors"):
        assert torch.equal(weights(methods.load(path)), weights(model))


def test_another_configuration_is_another_run(cines, tmp_path):
    _, _, folder = methods.trained("run", NETWORK, replace(CONFIG, epochs=1), *sets(cines), tmp_path)
    _, _, other = methods.trained("run", NETWORK, replace(CONFIG, epochs=1, seed=1), *sets(cines), tmp_path)
    assert folder != other


def test_same_seed_same_weights_and_resume_is_exact(cines, tmp_path, monkeypatch):
    whole = methods.build(NETWORK, 0)
    training.fit(whole, *sets(cines), CONFIG, tmp_path / "whole")
    broken, (train, validation) = methods.build(NETWORK, 0), sets(cines)
    draw = train.set_epoch

    def killed(epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        draw(epoch)

    monkeypatch.setattr(train, "set_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        training.fit(broken, train, validation, CONFIG, tmp_path / "broken")
    resumed = methods.build(NETWORK, 5)
    log = training.fit(resumed, *sets(cines), CONFIG, tmp_path / "broken", resume=True)
    assert len(log) == 4 and torch.equal(weights(resumed), weights(whole))
    for name in ("best", "last"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("whole", "broken")]
        assert torch.equal(*(torch.cat([w.flatten() for w in load_file(f).values()]) for f in files))


def test_a_run_is_never_overwritten_or_mixed(cines, tmp_path):
    training.fit(methods.build(NETWORK), *sets(cines), replace(CONFIG, epochs=1), tmp_path)
    with pytest.raises(FileExistsError, match="resume"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, tmp_path)
    with pytest.raises(ValueError, match="another training configuration"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="checkpoint.pt.*no readable checkpoint"):
        training.fit(methods.build(NETWORK), *sets(cines), CONFIG, tmp_path, resume=True)


def test_a_run_that_diverges_says_so(cines):
    model = methods.build(NETWORK)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        training.fit(model, *sets(cines), CONFIG)


def test_rate_schedule():
    assert training.rate_factor(0) == 0 and training.rate_factor(0.05) == 1
    assert training.rate_factor(1) == pytest.approx(0) and training.rate_factor(0.525) == pytest.approx(0.5)
    assert training.rate_factor(0.3, "constant") == 1


def test_evaluate_gives_a_row_per_cine(cines):
    rows = training.evaluate(methods.load("view_sharing"), sets(cines)[1])
    assert len(rows) == len(cines[1])
    assert {"cine", "psnr", "ssim", "nmse", "psnr_volume", "ssim_volume", "psnr_dynamic", "seconds"} == set(
        rows[0]
    )


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


@pytest.mark.parametrize("name", methods.NETWORKS)
def test_shipped_weights_load_and_beat_their_start(name):
    model = methods.load(name)
    config = json.loads((methods.WEIGHTS / name / "config.json").read_text())
    assert config["machine"] and config["date"] and config["data"]["source"] == "phantom"
    heart = data.open_cine("phantom", n=1, seed=99)
    sample = data.UndersampledCines(heart, seed=0)
    mine = training.evaluate(model, sample)[0]["psnr"]
    assert mine > training.evaluate(model.start, sample)[0]["psnr"] + 1
    kspace, mask, target = next(sample.batches(1))
    with torch.no_grad():  # in float32; evaluate rounds the residual where the device has bfloat16
        assert metrics.cine_metrics(model(kspace, mask)[0], target[0])["psnr"] == pytest.approx(mine, abs=0.05)


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

    training.peak_memory(step)  # the first profile of a process allocates for itself
    assert training.peak_memory(step) == pytest.approx(8e6, rel=0.01)


def test_checkpointing_holds_memory_nearly_constant():
    peaks = {}
    for checkpointing in (False, True):
        for cascades in (2, 6):
            model = methods.build(replace(NETWORK, cascades=cascades, checkpointing=checkpointing)).train()
            kspace = torch.randn(1, 6, 32, 24, dtype=torch.complex64)
            mask = torch.ones(1, 6, 32, 1, dtype=torch.bool)
            step = lambda: model(kspace, mask).abs().sum().backward()  # noqa: E731, B023
            peaks[checkpointing, cascades] = training.peak_memory(step)
    assert peaks[True, 6] - peaks[True, 2] < 0.2 * (peaks[False, 6] - peaks[False, 2])
