"""The beating heart: reproducible, in range, and a heart."""

import numpy as np
import pytest

from dmri_helpers.phantom import cine_phantom

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


@pytest.mark.parametrize(
    "shape", [(20, 192), (20, 192, 192, 1), (0, 64, 64), (4, 15, 64), (4, 64, -3), (4.0, 64, 64), 20, "abc"]
)
def test_impossible_shapes(shape):
    with pytest.raises(ValueError, match="shape must be"):
        cine_phantom(0, shape)


def test_impossible_seed_and_noise():
    with pytest.raises(ValueError, match="seed"):
        cine_phantom(-1, SMALL)
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="noise"):
            cine_phantom(0, SMALL, noise=noise)
