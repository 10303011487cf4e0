"""Arrays in NumPy's files, MATLAB's and HDF5: keys, axes, sizes."""

from pathlib import Path

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from data.formats.writing import cine, imported, refused, unit, wrong
from hypothesis import given
from scipy.io import savemat

from dmri_helpers.data import open_cine
from dmri_helpers.data.formats import reading
from dmri_helpers.data.formats.raw import Raw, one_size


def test_numpy_arrays_by_key_and_axes(capsys):
    array = cine(6, 5, 3)  # (y, x, t)
    np.savez("a.npz", images=array, groups=np.array([4]))
    np.save("a.npy", array)
    expected = unit(array.transpose(2, 0, 1))[None]
    written = imported("a.npz", "out.npz", "--key", "images", "--axes", "yxt")
    assert written.keys() == {"dataset", "groups"} and written["groups"] == [4]
    np.testing.assert_allclose(written["dataset"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        imported("a.npy", "out.npz", "--axes", "yxt", "--force")["dataset"], expected, rtol=1e-6
    )
    assert "the keys 'images', 'groups'" in wrong("a.npz")
    for axes in ("yx", "ntyx", "yxz", "yyt"):
        assert f"axes {axes!r} for shape (6, 5, 3)" in wrong("a.npy", axes=axes)
    assert "key means nothing" in wrong("a.npy", key="images")
    assert "series means nothing" in wrong("a.npz", series=(1,))
    assert "force" in refused(capsys, "import", "a.npz", "out.npz", "--key", "images")


@given(have=st.integers(1, 9), size=st.integers(1, 9), y=st.integers(1, 9))
def test_crop_and_pad_keep_the_middle(have, size, y):
    raw = Raw(Path("a"), cine(2, 3, y, have) + 1)
    fitted = one_size(raw, size=size).cines
    assert fitted.shape == (2, 3, size, size)
    middle = raw.cines[..., y // 2, have // 2]
    np.testing.assert_array_equal(fitted[..., size // 2, size // 2], middle)
    kept = min(y, size) * min(have, size)
    assert (np.count_nonzero(fitted, (2, 3)) == kept).all() and set(fitted.flat) <= {0, *raw.cines.flat}


def test_frames_size_and_scaling_are_said(capsys):
    np.save("a.npy", cine(2, 5, 8, 12))
    written = imported("a.npy", "out.npz", "--frames", 4, "--size", 10, "--per-frame")["dataset"]
    said = capsys.readouterr().out
    assert "the first 4 frames kept, of 5" in said and "every frame scaled" in said
    assert "in the middle to 10 x 10: 2 cines of 8 x 12 cropped and zero-padded" in said
    assert written.shape == (2, 4, 10, 10) and written.dtype == np.float32
    assert (written.min((2, 3)) == 0).all() and (written.max((2, 3)) == 1).all()
    for options in (["--frames", 6], ["--frames", 0], ["--size", 0], ["--size", "-1"], ["--axes", "x"]):
        refused(capsys, "import", "a.npy", "other.npz", *options)
    np.save("c.npy", cine(2, 5, 8, 12) * 1j)
    assert "complex values" in refused(capsys, "import", "c.npy", "other.npz", "--per-frame")
    assert imported("c.npy", "out.npz", "--force")["dataset"].dtype == np.complex64


def test_flat_frames_stay_flat_when_scaled():
    array = cine(1, 3, 4, 4).astype(float)
    array[0, 1] = 7
    scaled = one_size(Raw(Path("a"), array), per_frame=True).cines
    assert (scaled[0, 1] == 0).all() and scaled[0, 0].max() == 1


def write_matlab73(path: str, **arrays) -> None:
    """As MATLAB does: a text block, axes reversed, the class as an attribute, complex as pairs, cells elsewhere."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, list):
                kind, values = (
                    b"cell",
                    [file.create_dataset(f"#refs#/{i}", data=a).ref for i, a in enumerate(array)],
                )
                item = file.create_dataset(name, data=np.array(values, h5py.ref_dtype))
            elif np.iscomplexobj(array):
                kind, pairs = b"single", np.empty(array.shape, [("real", "<f4"), ("imag", "<f4")])
                pairs["real"], pairs["imag"] = array.real, array.imag
                item = file.create_dataset(name, data=pairs.T)
            else:
                kind = {"f": b"double", "i": b"int16", "b": b"logical"}[array.dtype.kind]
                item = file.create_dataset(name, data=array.T.astype("u1") if kind == b"logical" else array.T)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def write_matlab5(path: str, **arrays) -> None:
    cells = {name: np.empty(len(array), object) for name, array in arrays.items() if isinstance(array, list)}
    for name, cell in cells.items():
        cell[:] = arrays[name]
    savemat(path, arrays | cells)


WRITERS = {"a.mat": write_matlab5, "b.mat": write_matlab73}


@pytest.mark.parametrize("name", WRITERS)
def test_matlab(name):
    array = cine(8, 6, 5, dtype=float)  # y, x, t, as a MATLAB program has it
    WRITERS[name](name, scale=np.ones((1, 1)), images=array, mask=array > 3)
    raw = reading.read(Path(name), axes="yxt")
    np.testing.assert_array_equal(raw.cines[0], array.transpose(2, 0, 1))
    assert raw.notes == ["array 'images', 8 x 6 x 5: axes taken as (y, x, t)"]
    assert "8 frames of 6 x 5" in wrong(name)
    WRITERS[name](name, images=array.transpose(2, 0, 1))
    raw = reading.read(Path(name))
    np.testing.assert_array_equal(raw.cines[0], array.transpose(2, 0, 1))
    assert "array 'images', 5 x 8 x 6: axes taken as (t, y, x)" in raw.notes[0]
    np.testing.assert_allclose(open_cine(name).tensor(), unit(raw.cines), rtol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_matlab_complex(name):
    array = (cine(2, 5, 8, 6) * np.exp(0.001j * cine(2, 5, 8, 6))).astype(np.complex64)
    WRITERS[name](name, images=array)
    raw = reading.read(Path(name))
    assert raw.cines.dtype == np.complex64
    np.testing.assert_array_equal(raw.cines, array)
    assert imported(name, "out.npz")["dataset"].dtype == np.complex64


@pytest.mark.parametrize("name", WRITERS)
def test_wrong_matlab(name, capsys):
    first, second = cine(3, 8, 6, dtype=float), cine(2, 3, 8, 6)
    WRITERS[name](name, first=first, second=second, tail=[first, np.ones(2)])
    message = refused(capsys, "evaluate", "--data", name, "--method", "zero_filled")
    assert (
        "the keys 'first' (3 x 8 x 6 double), 'second' (2 x 3 x 8 x 6 int16)" in message
        and "--key" in message
    )
    assert "'second'" in wrong(name, key="third") and "expected the key 'third'" in wrong(name, key="third")
    assert "cell under the key 'tail'; expected an array of numbers" in wrong(name, key="tail")
    np.testing.assert_array_equal(
        imported(name, "out.npz", "--key", "second")["dataset"], unit(second).astype("f4")
    )
    WRITERS[name](name, flat=first[0])
    assert "the keys 'flat' (8 x 6 double); expected one array of 3 or 4 dimensions" in wrong(name)
    assert "2 dimensions, shape (8, 6)" in wrong(name, key="flat")
    WRITERS[name](name, images=second)
    whole = Path(name).read_bytes()
    for size in (len(whole) // 2, 600, 150):
        Path(name).write_bytes(whole[:size])
        assert "found a damaged file" in wrong(name)


def test_hdf5(capsys):
    array = cine(2, 3, 8, 6)
    with h5py.File("a.h5", "w") as file:
        file["recon/images"] = array
        file["recon/complex"] = (array * 1j).astype(np.complex64)[0]
        file["names"] = ["a", "b"]
    listed = "'recon/images' (2 x 3 x 8 x 6 int16)"
    assert listed in wrong("a.h5")
    np.testing.assert_array_equal(reading.read(Path("a.h5"), key="/recon/images").cines, array)
    complex_raw = reading.read(Path("a.h5"), key="recon/complex")
    np.testing.assert_array_equal(complex_raw.cines, (array * 1j)[:1])
    assert "an array of numbers" in wrong("a.h5", key="names")
    assert "expected the key 'recon'" in wrong("a.h5", key="recon")
    with h5py.File("a.h5", "w") as file:
        file["images"] = array.transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(reading.read(Path("a.h5"), axes="yxnt").cines, array)
    with h5py.File("none.h5", "w"):
        pass
    assert "no keys" in wrong("none.h5")
    Path("cut.h5").write_bytes(Path("a.h5").read_bytes()[:300])
    assert "damaged" in refused(capsys, "info", "cut.h5")
