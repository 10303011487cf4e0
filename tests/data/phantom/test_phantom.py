"""The beating heart: reproducible, in range, and a heart."""

import numpy as np
import pytest

from dmri_helpers.data.phantom import GROUPS, cine_phantom
from dmri_helpers.data.phantom.heart import Heart
from dmri_helpers.data.phantom.scanner import crop_kspace, tissue_signals
from dmri_helpers.data.phantom.shapes import coordinates, rendered_size

SMALL = (12, 64, 64)


@pytest.fixture(scope="module")
def hearts():
    return [cine_phantom(seed, SMALL) for seed in range(6)]


def test_same_seed_same_arrays(hearts):
    again = cine_phantom(3, SMALL)
    for name in ("image", "complex_image", "labels", "lv_volume"):
        np.testing.assert_array_equal(getattr(again, name), getattr(hearts[3], name))
    assert again.ejection_fraction == hearts[3].ejection_fraction


def test_every_seed_is_another_anatomy(hearts):
    for i, one in enumerate(hearts):
        for other in hearts[i + 1 :]:
            assert np.mean((one.image - other.image) ** 2) > 1e-3
            assert (one.labels != other.labels).any()
            assert one.ejection_fraction != other.ejection_fraction


@pytest.mark.parametrize(
    "shape", [(20, 192, 192), (8, 64, 64), (5, 65, 47), (3, 40, 90), (1, 16, 16), (2, 33, 120)]
)
def test_any_shape(shape):
    heart = cine_phantom(1, shape)
    assert heart.image.shape == heart.complex_image.shape == heart.labels.shape == shape
    assert heart.lv_volume.shape == shape[:1]
    assert heart.image.dtype == heart.lv_volume.dtype == np.float32
    assert heart.complex_image.dtype == np.complex64 and heart.labels.dtype == np.uint8
    assert np.isfinite(heart.image).all() and np.isfinite(heart.complex_image).all()
    assert set(np.unique(heart.labels)) == {0, 1, 2, 3}


def test_same_heart_at_every_matrix_size():
    small, large = cine_phantom(2, (12, 64, 64)), cine_phantom(2, (12, 128, 128))
    np.testing.assert_array_equal(small.lv_volume, large.lv_volume)
    for label in (1, 2, 3):
        area = [np.mean(heart.labels == label) for heart in (small, large)]
        assert area[0] == pytest.approx(area[1], rel=0.25)


def test_magnitude_fills_each_frame(hearts):
    for heart in hearts:
        np.testing.assert_array_equal(heart.image.min((1, 2)), 0)
        np.testing.assert_allclose(heart.image.max((1, 2)), 1, atol=1e-6)
        np.testing.assert_allclose(np.abs(heart.complex_image), heart.image, atol=1e-6)


def test_scaling_of_the_whole_cine():
    heart = cine_phantom(0, SMALL, per_frame=False)
    assert heart.image.min() == 0 and heart.image.max() == 1
    assert np.unique(heart.image.max((1, 2))).size > 1


def test_noise_can_be_switched_off():
    clean, noisy = (cine_phantom(0, SMALL, noise=sigma).image for sigma in (0, 0.05))
    still = clean.std(0) < 0.01
    assert noisy.std(0)[still].mean() > 5 * clean.std(0)[still].mean()


def test_volume_and_ejection_fraction(hearts):
    for heart in hearts:
        volume = heart.lv_volume
        assert (volume > 0).all()
        assert 0.1 < heart.ejection_fraction < 0.85
        assert heart.ejection_fraction == pytest.approx(1 - volume.min() / volume.max())
        assert volume.argmin() not in (0, len(volume) - 1)


def test_blood_area_follows_the_volume(hearts):
    for heart in hearts:
        area = (heart.labels == 1).sum((1, 2))
        assert np.corrcoef(area, heart.lv_volume)[0, 1] > 0.9
        assert area[heart.lv_volume.argmin()] < area[heart.lv_volume.argmax()]


def test_muscle_keeps_its_area_and_thickens():
    for seed in range(5):
        heart = cine_phantom(seed, (12, 128, 128))
        blood, muscle = ((heart.labels == label).sum((1, 2)) for label in (1, 2))
        assert muscle.max() / muscle.min() < 1.3
        thickness = np.sqrt(blood + muscle) - np.sqrt(blood)
        assert thickness[heart.lv_volume.argmin()] > thickness[heart.lv_volume.argmax()]


def test_blood_is_brighter_than_muscle(hearts):
    for heart in hearts:
        assert heart.image[heart.labels == 1].mean() > 1.5 * heart.image[heart.labels == 2].mean()


def test_the_heart_moves_most_and_the_cycle_does_not_close():
    neighbours, ends = [], []
    for seed in range(8):
        heart = cine_phantom(seed, (20, 64, 64))
        spread = heart.image.std(0)
        inside = heart.labels.any(0)
        assert spread[inside].mean() > 2 * np.median(spread[~inside])
        neighbours.append(np.mean(np.diff(heart.image, axis=0) ** 2))
        ends.append(np.mean((heart.image[-1] - heart.image[0]) ** 2))
    assert np.mean(ends) > 2 * np.mean(neighbours)


def test_a_group_is_drawn_and_can_be_chosen():
    drawn = [cine_phantom(seed, (2, 32, 32)).group for seed in range(40)]
    assert set(drawn) == set(GROUPS)
    for seed in (0, 7):
        chosen = cine_phantom(seed, (2, 32, 32), group=drawn[seed])
        np.testing.assert_array_equal(chosen.image, cine_phantom(seed, (2, 32, 32)).image)
    with pytest.raises(ValueError, match="group must be one of normal"):
        cine_phantom(0, SMALL, group="athlete")


@pytest.fixture(scope="module")
def by_group():
    return {group: [cine_phantom(seed, (10, 96, 96), group=group) for seed in range(5)] for group in GROUPS}


def areas(heart, label):
    return (heart.labels == label).mean((1, 2))


def test_groups_are_what_they_are_called(by_group):
    def mean(group, value):
        return np.mean([value(heart) for heart in by_group[group]])

    def fraction(heart):
        return heart.ejection_fraction

    def thickness(heart):
        return np.sqrt(areas(heart, 1) + areas(heart, 2))[0] - np.sqrt(areas(heart, 1))[0]

    for failing in ("dilated", "infarction"):
        assert all(heart.ejection_fraction < 0.45 for heart in by_group[failing])
        assert mean(failing, fraction) < mean("normal", fraction) - 0.1
    assert mean("dilated", lambda heart: areas(heart, 1)[0]) > 1.4 * mean("normal", lambda h: areas(h, 1)[0])
    assert mean("hypertrophic", thickness) > 1.25 * mean("normal", thickness)
    assert mean("abnormal_rv", lambda heart: areas(heart, 3)[0]) > 1.2 * mean(
        "normal", lambda h: areas(h, 3)[0]
    )


def test_an_infarcted_part_of_the_wall_does_not_move():
    def motion(group, seed):  # of the endocardium, by angle: end-systole against end-diastole
        heart = Heart(np.random.default_rng(seed), 20, group)
        systole = heart.contraction.argmax()
        return 1 - heart.contour[systole] / heart.contour[0]

    for seed in range(5):
        infarcted, normal = motion("infarction", seed), motion("normal", seed)
        assert infarcted.min() < 0.05 < 0.3 * infarcted.max() + 0.05
        assert normal.min() > 0.6 * normal.max()


def test_rendering_finer_and_cropping_k_space_keeps_what_both_grids_can_show():
    for ny, nx in ((24, 30), (25, 31)):
        images = []
        for rows, columns in ((rendered_size(ny), rendered_size(nx)), (ny, nx)):
            y, x = coordinates(rows, 1), coordinates(columns, 1)
            wave = 2 + np.cos(2 * np.pi * 3 * y[:, None] + 1) * np.cos(2 * np.pi * 5 * x)
            images.append(wave[None])
        fine, coarse = images
        reduced = np.fft.ifft2(crop_kspace(np.fft.fft2(np.fft.ifftshift(fine, (1, 2))), ny, nx))
        np.testing.assert_allclose(np.fft.fftshift(reduced.real, (1, 2)), coarse, atol=1e-5)


def test_tissues_have_the_contrast_of_balanced_ssfp():
    signal = tissue_signals(np.random.default_rng(0))
    order = ["fluid", "fat", "blood", "liver", "muscle", "lung"]
    assert [name for name in sorted(signal, key=signal.get, reverse=True) if name in order] == order


@pytest.mark.parametrize(
    "shape", [(20, 192), (20, 192, 192, 1), (0, 64, 64), (4, 15, 64), (4, 64, -3), (4.0, 64, 64), 20, "abc"]
)
def test_impossible_shapes(shape):
    with pytest.raises(ValueError, match="shape must be"):
        cine_phantom(0, shape)


def test_impossible_seed_and_noise():
    with pytest.raises(ValueError, match="seed"):
        cine_phantom(-1, SMALL)
    for impossible in (-0.1, float("nan"), float("inf")):
        for name in ("noise", "phase"):
            with pytest.raises(ValueError, match=name):
                cine_phantom(0, SMALL, **{name: impossible})
