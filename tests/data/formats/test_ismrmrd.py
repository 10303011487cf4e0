"""ISMRMRD raw data: images come back, what is no full cine is refused."""

import random
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from data.formats.writing import cine, imported, refused, unit, wrong

from dmri_helpers.data import open_cine
from dmri_helpers.data.formats import reading

Y, X, OVERSAMPLED = 12, 10, 20


def xml_of(y: int, x: int) -> bytes:
    """The header of data of ``y`` lines and ``x`` columns, without oversampling."""
    return xml(limits=(0, y - 1, y // 2), y=y, x=x, oversampled=x)


def xml(trajectory="cartesian", limits=(0, Y - 1, Y // 2), y=Y, x=X, oversampled=OVERSAMPLED) -> bytes:
    def tags(**values) -> str:
        return "".join(f"<{name}>{value}</{name}>" for name, value in values.items())

    def space(x, field_of_view) -> str:
        return tags(matrixSize=tags(x=x, y=y, z=1), fieldOfView_mm=tags(x=field_of_view, y=240, z=8))

    names = "minimum", "maximum", "center"
    lines = tags(kspace_encoding_step_1=tags(**dict(zip(names, limits, strict=True)))) if limits else ""
    encoding = tags(
        encodedSpace=space(oversampled, 200 * oversampled / x),
        reconSpace=space(x, 200),
        trajectory=trajectory,
    )
    header = tags(
        subjectInformation=tags(patientName="Jane Doe"),
        experimentalConditions=tags(H1resonanceFrequency_Hz=63500000),
        encoding=encoding + tags(encodingLimits=lines),
    )
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">{header}</ismrmrdHeader>'.encode()


def coil_kspace(images: np.ndarray) -> np.ndarray:
    """Images ``(slice, t, y, x)`` in a twice as wide field of view, as three coils see them, in k-space."""
    slices, frames, y, x = images.shape
    wide = np.zeros((3, slices, frames, y, OVERSAMPLED), complex)
    phase = np.exp(1j * np.linspace(0, 2, 3 * x)).reshape(3, 1, 1, 1, x)
    strength = np.array([0.2, 0.5, 0.7]).reshape(3, 1, 1, 1, 1)
    wide[..., 5:15] = images * strength * phase
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(wide, (-2, -1)), norm="ortho"), (-2, -1))


def write_raw(path, kspace, header=None, most=1, time="phase", left_out=(), first=0, change=None) -> None:
    """Lines in no order, noise among them, each once to `most` times with errors that average out."""
    lines = [(*at, a) for at in np.ndindex(kspace.shape[1:4]) for a in range(1 + at[2] % most)]
    random.Random(0).shuffle(lines)
    with ismrmrd.Dataset(path, mode="w") as dataset:
        dataset.write_xml_header(header or xml())
        noise = ismrmrd.Acquisition.from_array(np.full((3, 64), 1e3 + 0j, np.complex64))
        noise.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        dataset.append_acquisition(noise)
        for s, t, line, a in lines:
            if (s, t, line) in left_out:
                continue
            error = 1 + 0.5 * (a - line % most / 2)
            samples = (kspace[:, s, t, line, first:] * error).astype(np.complex64)
            acquisition = ismrmrd.Acquisition.from_array(samples, center_sample=OVERSAMPLED // 2 - first)
            index = acquisition.idx
            index.slice, index.kspace_encode_step_1, index.average = s, line, a
            setattr(index, time, t)
            if change is not None:
                change(acquisition)
            dataset.append_acquisition(acquisition)


def sum_of_squares(kspace: np.ndarray) -> np.ndarray:
    """Images of k-space ``(n, c, t, y, x)``, the coils combined without maps."""
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, (-2, -1)), norm="ortho"), (-2, -1))
    return np.sqrt((np.abs(images) ** 2).sum(1))


@pytest.mark.parametrize("most, time", [(1, "phase"), (3, "phase"), (1, "repetition")])
def test_raw_data_come_back_as_the_kspace_of_every_coil(most, time, capsys):
    images = cine(2, 4, Y, X, dtype=float)
    write_raw("a.h5", coil_kspace(images), most=most, time=time)
    written = imported("a.h5", "out.npz")
    assert written["kspace"].shape == (2, 3, 4, Y, X)
    np.testing.assert_allclose(unit(sum_of_squares(written["kspace"])), unit(images), atol=1e-5)
    assert written["groups"].tolist() == [0, 0] and written.keys() == {"kspace", "groups", "coils"}
    said = capsys.readouterr().out
    n = 96 * (most + 1) // 2
    assert f"{n} of {n + 1} lines are of images: 3 coils, 2 slices of 4 frames ({time}s) of 12 lines" in said
    assert f"up to {most} time" in said and "to the field of view, 12 x 10" in said
    assert "Jane" not in said and b"Jane" not in Path("out.npz").read_bytes()
    assert open_cine("a.h5").shape == (2, 4, Y, X)


def test_raw_data_with_fewer_lines_and_an_asymmetric_echo():
    images = cine(1, 3, Y, X, dtype=float)
    kspace = coil_kspace(images)
    write_raw("a.h5", kspace[..., 2:9, :], header=xml(limits=(0, 6, 4)))
    write_raw("b.h5", kspace, first=4)
    kept = {"a.h5": kspace.copy(), "b.h5": kspace.copy()}
    kept["a.h5"][..., :2, :], kept["a.h5"][..., 9:, :], kept["b.h5"][..., :4] = 0, 0, 0
    for name, lines in kept.items():
        expected = sum_of_squares(lines.swapaxes(0, 1))[..., 5:15]
        np.testing.assert_allclose(sum_of_squares(reading.read(Path(name)).kspace), expected, rtol=1e-4)
    middle = np.abs(reading.read(Path("a.h5")).kspace).sum((0, 1, 2, 4))
    assert middle.argmax() == Y // 2, "the centre that the header gives is in the middle"
    assert "5 of 12 lines lie beyond the header's limits: zero" in reading.read(Path("a.h5")).notes[1]
    write_raw("c.h5", kspace, header=xml(limits=None))
    np.testing.assert_allclose(
        unit(sum_of_squares(reading.read(Path("c.h5")).kspace)), unit(images), atol=1e-5
    )


def test_wrong_raw_data(capsys):
    kspace = coil_kspace(cine(1, 3, Y, X, dtype=float))
    write_raw("a.h5", kspace, left_out={(0, 1, 5)})
    assert "undersampled k-space (35 of 36 lines)" in refused(
        capsys, "evaluate", "--data", "a.h5", "--method", "kt_tv"
    )
    write_raw("a.h5", kspace[:, :, :1])
    assert "a single frame" in wrong("a.h5")
    write_raw("a.h5", kspace, header=xml("radial"))
    assert "a radial trajectory" in wrong("a.h5")
    changes = {
        "a 3-D acquisition": lambda line: setattr(line.idx, "kspace_encode_step_2", 3),
        "2 contrasts": lambda line: setattr(line.idx, "contrast", line.idx.kspace_encode_step_1 % 2),
        "2 sets": lambda line: setattr(line.idx, "set", line.idx.kspace_encode_step_1 % 2),
        "in reverse (EPI)": lambda line: line.setFlag(ismrmrd.ACQ_IS_REVERSE),
        "without a line of an image": lambda line: setattr(line, "encoding_space_ref", 1),
        "lines up to 12; expected fewer than 12": lambda line: setattr(line.idx, "kspace_encode_step_1", Y),
    }
    for found, change in changes.items():
        write_raw("a.h5", kspace, change=change)
        assert found in wrong("a.h5")
    write_raw("a.h5", kspace, header=xml(limits=(0, 20, 10)))
    assert "lines up to 20; expected fewer than 12" in wrong("a.h5")
    write_raw("a.h5", kspace, header=b"<nonsense/>")
    assert "damaged" in wrong("a.h5")
    write_raw("a.h5", kspace[:, :, :, :0])
    assert "raw data without a line of an image" in wrong("a.h5")
    write_raw("a.h5", kspace)
    assert "axes means nothing" in wrong("a.h5", axes="tyx") and "expected the key 'other'" in wrong(
        "a.h5", key="other"
    )
