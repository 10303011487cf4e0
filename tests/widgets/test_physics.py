"""The JavaScript of the page computes what Python computes: masks bit by bit, every method, every network."""

import json

import numpy as np
import pytest
import torch
from builders import bodies, moving_blob, page_on_disk, reconstruction_explorer

from dmri_helpers import methods
from dmri_helpers.data.phantom.phase import angle
from dmri_helpers.fourier import fft2c, ifft2c, ifftc_y
from dmri_helpers.metrics import cine_metrics
from dmri_helpers.operators import ForwardModel, conjugate_gradients
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.widgets import live
from dmri_helpers.widgets.explorers import SIMPLE

pytestmark = pytest.mark.browser
SHAPE = 8, 45, 36  # lengths with factors of 2, 3 and 5
LEVELS = (moving_blob(SHAPE) * 255).round()
CINE = torch.from_numpy(LEVELS / 255)
MASK = ky_t_mask(SHAPE, 3, 7, seed=2)
RECONSTRUCT = """([levels, shape, world, level, method]) => {
  const cine = Float32Array.from(levels, v => v / 255), S = P.scanner(shape);
  const h = S.noise(S.hybrid(cine, world ? P.phase(5, shape) : null), level, 4);
  const m = S.lines(P.mask(shape, {acceleration: 3, center_lines: 7, density: "quadratic", seed: 2}));
  let image;
  if (S.simple[method]) image = S.along(S.simple[method](h, m), true);
  else for (const steps = S.iterative[method](h, m, level); !image;)
    image = (step => step.done && step.value)(steps.next());
  const found = S.magnitude(image), plain = part => Array.from(part);
  return {...P.psnr(found, cine, shape), ssim: P.ssim(found, cine, shape), h: level ? h.map(plain) : null};
}"""


@pytest.fixture(scope="module")
def physics(browser):
    """A page with nothing but the physics, loaded once."""
    page = browser.new_context(offline=True).new_page()
    page.add_script_tag(
        content=(live.HERE / "physics.js").read_text(encoding="utf-8") + "; window.P = physics();"
    )
    yield page
    page.context.close()


@pytest.mark.parametrize("density", ["quadratic", "gaussian"])
def test_masks_are_those_of_python_bit_by_bit(physics, density):
    cases = [[[3, 96 + 2 * (seed % 49)], 1 + seed % 8, seed % 12, seed * 85_899_345] for seed in range(50)]
    found = physics.evaluate(
        """([cases, density]) => cases.map(([shape, acceleration, center_lines, seed]) =>
           Array.from(P.mask(shape, {acceleration, center_lines, density, seed})).join(""))""",
        [cases, density],
    )
    for (shape, acceleration, lines, seed), bits in zip(cases, found, strict=True):
        mask = ky_t_mask((*shape, 4), acceleration, lines, density, seed=seed)
        assert bits == "".join(map(str, mask.flatten().int().tolist())), (shape, acceleration, lines, seed)


@pytest.mark.parametrize("acceleration, lines", [(8, 30), (12, 49), (0.5, 3), (400, 0), (3, 999)])
def test_what_is_impossible_is_said_as_in_python(physics, acceleration, lines):
    with pytest.raises(ValueError) as refused:
        ky_t_mask((4, 192, 8), acceleration, lines, seed=0)
    said = physics.evaluate(
        """([acceleration, center_lines]) => {
           try { P.mask([4, 192], {acceleration, center_lines, density: "gaussian", seed: 0}); }
           catch (problem) { return problem.message; } }""",
        [acceleration, lines],
    )
    assert said == str(refused.value)


def test_phase_is_that_of_the_phantom_without_flow(physics):
    found = physics.evaluate("shape => Array.from(P.phase(5, shape))", SHAPE)
    expected = angle([5], SHAPE, 1.0)
    torch.testing.assert_close(torch.tensor(found).view(expected.shape), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 20, 49, 96, 121, 194])
def test_transforms_of_every_length(physics, n):
    values = np.random.default_rng(n).normal(size=(2, n))
    back, there = physics.evaluate(
        """([re, im]) => { const h = [Float64Array.from(re), Float64Array.from(im)], plan = P.plan(re.length);
           plan(...h, 0, false); const there = h.map(part => Array.from(part)); plan(...h, 0, true);
           return [h.map(part => Array.from(part)), there]; }""",
        values.tolist(),
    )
    expected = np.fft.fft(values[0] + 1j * values[1], norm="ortho")
    np.testing.assert_allclose(there, [expected.real, expected.imag], atol=1e-12)
    np.testing.assert_allclose(back, values, atol=1e-12)


@pytest.mark.parametrize("noise", [0, 0.05])
@pytest.mark.parametrize("phase", [False, True])
@pytest.mark.parametrize("method", SIMPLE)
def test_methods_reach_the_scores_of_python(physics, method, phase, noise):
    found = physics.evaluate(RECONSTRUCT, [LEVELS.ravel().tolist(), SHAPE, phase, noise, method])
    A = ForwardModel(MASK, noise=noise)
    cine = (
        CINE[None] * torch.exp(1j * angle([5], SHAPE, float(phase)))
        if phase
        else CINE[None].to(torch.complex64)
    )
    kspace = A(cine)
    if noise:  # the numbers drawn in the page: white, and of the standard deviation that is asked for
        hybrid = torch.complex(
            *(torch.tensor(part).view(SHAPE[0], SHAPE[2], SHAPE[1]) for part in found["h"])
        )
        noisy = fft2c(ifftc_y(torch.fft.fftshift(hybrid.mT, dim=-2)))[None]
        assert (noisy - fft2c(cine)).abs().square().mean().sqrt() == pytest.approx(noise, rel=0.03)
        kspace = noisy * A.lines
    scores = cine_metrics(methods.load(method)(kspace, A)[0], CINE)
    assert found["psnr"] == pytest.approx(scores["psnr"], abs=1e-3)
    assert found["moving"] == pytest.approx(scores["psnr_dynamic"], abs=2e-3)
    assert found["ssim"] == pytest.approx(scores["ssim"], abs=1e-4)
    assert ifft2c(kspace).shape == cine.shape


@pytest.mark.parametrize("coils, R", [(8, 1), (8, 2), (4, 3), (8, 4)])
def test_coils_unfold_what_cg_sense_unfolds(physics, coils, R):
    """The noise of the page goes into Python's k-space; there conjugate gradients find the least squares."""
    image, maps = bodies((48, 36))
    plain = [[part.ravel().tolist() for part in (one.real, one.imag)] for one in (image, *maps[:coils])]
    found = physics.evaluate(
        """([[image, ...maps], shape, R, level]) => {
          const {folded, found, filled, g, lost} = P.sense(image, maps, shape, R, level, 0);
          const list = all => all.map(one => one.map(part => Array.from(part)));
          return {folded: list(folded), images: list([found, filled]), g: Array.from(g), lost};
        }""",
        [plain, (48, 36), R, 0.02],
    )

    def unpack(parts, y=48):
        return torch.complex(*(torch.tensor(part, dtype=torch.float64).view(y, 36) for part in parts))

    folded = torch.stack([unpack(one, 48 // R) for one in found["folded"]])
    A = ForwardModel(
        ((torch.arange(48) - 24) % R == 0)[None, None, :, None], maps[None, :coils, None].to(torch.complex128)
    )
    kspace = fft2c(folded.repeat(1, R, 1) / R)[None, :, None]  # of copies: nothing is left between the lines
    noise = (kspace - A(image[None, None].to(torch.complex128))) * A.lines
    assert noise.abs().square().sum().sqrt() == pytest.approx(0.02 * (coils * 48 * 36 / R) ** 0.5, rel=0.05)
    solved = conjugate_gradients(A.normal, A.adjoint(kspace), steps=60, axes=(-2,))[0, 0]
    expected = solved, R * A.adjoint(kspace)[0, 0]
    decibel = [
        [-10 * ((one.abs() - image.abs()) ** 2).mean().log10().item() for one in images]
        for images in (map(unpack, found["images"]), expected)
    ]
    assert decibel[0] == pytest.approx(decibel[1], abs=1e-3)
    if R == 2:  # the formula of notebook 07, for maps of any length
        other, own = maps[:coils].roll(24, -2), maps[:coils].abs().square().sum(0)
        overlap = (maps[:coils].conj() * other).sum(0).abs().square() / (own * own.roll(24, -2))
        expected = (1 - overlap.nan_to_num()).rsqrt() * (own > 0)
        torch.testing.assert_close(torch.tensor(found["g"]).view(48, 36), expected, atol=2e-3, rtol=0)
    assert found["lost"] == 0


def test_one_coil_unfolds_only_what_lies_on_air(physics):
    image, maps = bodies((48, 36))
    plain = [[part.ravel().tolist() for part in (one.real, one.imag)] for one in (image, maps[0])]
    found, lost = physics.evaluate(
        "([image, map]) => { const s = P.sense(image, [map], [48, 36], 2, 0, 0); return [Array.from(s.g), s.lost]; }",
        plain,
    )
    body = maps.abs().sum(0) > 0
    alone = body & ~body.roll(24, -2)
    assert ((torch.tensor(found).view(48, 36) > 0) == alone).all() and 0 < alone.sum() < body.sum()
    assert lost == pytest.approx(1 - (alone.sum() / body.sum()).item())


@pytest.fixture(scope="module")
def networks_on_disk(tmp_path_factory):
    cine = torch.from_numpy(moving_blob((8, 32, 40)))
    return page_on_disk(
        tmp_path_factory.mktemp("networks"), lambda: [reconstruction_explorer(cine, ["zero_filled"])]
    )


@pytest.mark.parametrize("world", ["magnitudes", "phase and noise"])
def test_networks_compute_what_pytorch_computes(networks_on_disk, page, world):
    """From a page on disk, in a worker, by strips, with the weights that Python reads; the page draws other noise."""
    cine = torch.from_numpy((moving_blob((8, 32, 40)) * 255).round() / 255)
    noise = 0.0 if world == "magnitudes" else 0.01
    page.goto(networks_on_disk)
    column = page.locator(".dmri-column")
    column.locator("select").wait_for()
    if noise:
        page.get_by_label("noise", exact=True).fill("2")
        page.get_by_label("phase", exact=True).select_option("1")
    A = ForwardModel(ky_t_mask(cine.shape, 5, 5, seed=0), noise=noise)
    image = cine[None] * (torch.exp(1j * angle([0], cine.shape, 1.0)) if noise else 1 + 0j)
    drawn = noise * torch.randn(
        image.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)
    )
    for name in live.NETWORKS:
        column.locator("select").select_option(
            label={"cascades_5": "5 cascades", "unrolled": "unrolled"}[name]
        )
        page.wait_for_function(
            "([node, name]) => JSON.parse(node.dataset.result || '{}').method === name",
            arg=[column.element_handle(), name],
        )
        found = json.loads(column.get_attribute("data-result"))
        with torch.no_grad():
            scores = cine_metrics(methods.load(name)((fft2c(image) + drawn) * A.lines, A)[0], cine)
        assert found["psnr"] == pytest.approx(scores["psnr"], abs=0.3 if noise else 1e-3), name
        assert found["ssim"] == pytest.approx(scores["ssim"], abs=0.03 if noise else 1e-4), name


def test_no_script_of_a_page_is_long():
    """A browser compiles a script at a stretch: with one of 5 MB the page stood still for 150 ms and more."""
    files = live.page_files()
    assert max(map(len, files.values())) < 550_000
    assert sum(name.startswith("unrolled") for name in files) > 1


def test_runtime_has_its_licence():
    runtime = live.HERE / "runtime"
    assert (
        "Microsoft" in (runtime / "LICENSE").read_text() and (runtime / "ThirdPartyNotices.txt.gz").exists()
    )
    assert sum(path.stat().st_size for path in runtime.iterdir()) < 4_500_000
