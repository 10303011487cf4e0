"""Only plain files are opened, values lie where the file says, and sizes are checked before memory is taken."""

import gzip
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
from data.formats.test_ismrmrd import X, Y, coil_kspace, write_raw
from data.formats.writing import cine, header, refused, write_nifti, write_series, wrong
from scipy.io import savemat

from dmri_helpers.data import DataError, open_cine
from dmri_helpers.data.formats import guard
from dmri_helpers.results import free_memory

HUGE = 2**20  # values along an axis: three of them are more than any machine holds


@pytest.mark.skipif(os.name == "nt", reason="no FIFO on this system")
@pytest.mark.parametrize("name", ["a.npy", "scan/a", "scan.cfl"])
def test_a_fifo_is_refused_and_never_waited_for(name, folder, capsys):
    write_series("scan", cine(1, 4, 8, 6))
    Path("scan.hdr").write_text("# Dimensions\n8 6 1 1 1 1 1 1 1 1 4\n")
    os.mkfifo(name) if name != "scan/a" else (Path("scan/c").mkdir(), os.mkfifo("scan/c/a"))
    source = "scan" if name == "scan/a" else name.replace(".cfl", ".hdr")
    assert "found a FIFO; expected a plain file" in wrong(source)
    for command in (
        ["info"],
        ["evaluate", "--method", "zero_filled", "--data"],
        ["train", "--out", "r", "--data"],
    ):
        assert "found a FIFO" in refused(capsys, *command, source)


def test_sockets_devices_and_links_out_of_a_folder_are_refused(folder, capsys):
    write_series("scan", cine(1, 4, 8, 6))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("scan/socket")
        assert "scan/socket: found a socket" in wrong("scan")
    Path("scan/socket").unlink()
    assert "/dev/null: found a device" in wrong("/dev/null")
    assert "found no plain file" in refused(
        capsys, "evaluate", "--method", "zero_filled", "--json", "/dev/null", "--force"
    )
    np.save("secret.npy", cine(4, 8, 6))
    for target in (folder / "secret.npy", folder):
        Path("scan/link").symlink_to(target)
        assert "scan/link: found a link out of the folder" in wrong("scan")
        Path("scan/link").unlink()
    Path("scan/link").symlink_to("a")  # inside: as before
    Path("linked").symlink_to("scan")  # whoever names a link asks for it
    assert open_cine("linked").shape == (1, 4, 8, 6)


def external(file):
    file["dataset"] = h5py.ExternalLink("other.h5", "/dataset")


def external_raw_data(file):
    file["scan"] = h5py.ExternalLink("other.h5", "/")


def external_storage(file):
    file.create_dataset("dataset", (5, 8, 6), "f4", external=[("secret", 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    layout = h5py.VirtualLayout((5, 8, 6), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "dataset", (5, 8, 6))
    file.create_virtual_dataset("dataset", layout)


@pytest.mark.parametrize("write", [external, external_raw_data, external_storage, virtual])
def test_hdf5_whose_values_lie_in_another_file_is_refused(write):
    Path("secret").write_bytes(bytes(range(240)) * 4)
    with h5py.File("other.h5", "w") as file:
        file["dataset"] = cine(5, 8, 6).astype("f4")
    with h5py.File("a.h5", "w") as file:
        write(file)
    assert "into another file" in wrong("a.h5")


def huge_npz():
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dataset.npy", b"\x93NUMPY")
    _declare("a.npz", 2**48)


def _declare(path: str, size: int) -> None:
    """Let the directory of a zip file say that its member unpacks to so many bytes (zip64)."""
    content = Path(path).read_bytes()
    start = content.index(b"PK\1\2")
    directory = bytearray(content[start:])
    name, end = struct.unpack("<H", directory[28:30])[0], directory.index(b"PK\5\6")
    directory[24:28], directory[30:32] = b"\xff" * 4, struct.pack("<H", 12)
    directory[46 + name : 46 + name] = struct.pack("<HHQ", 1, 8, size)
    directory[end + 12 + 12 : end + 12 + 16] = struct.pack("<I", end + 12)
    Path(path).write_bytes(content[:start] + directory)


def huge_npy():
    with open("a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (2, HUGE, HUGE, HUGE)}
        )


def huge_hdf5():
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("dataset", (HUGE, HUGE, HUGE), "f4", chunks=(1, 64, 64), compression=9)


def huge_nifti():
    content = bytearray(write_nifti("b.nii", cine(8, 6, 3, 5)).read_bytes())
    content[40:50] = struct.pack("<5h", 4, *[32767] * 4)
    Path("b.nii").unlink()
    Path("a.nii.gz").write_bytes(gzip.compress(content))


def huge_matlab():
    savemat("a.mat", {"dataset": cine(5, 8, 6)}, do_compression=True)
    content = Path("a.mat").read_bytes()
    inner = bytearray(zlib.decompress(content[136:]))
    inner[32:44] = struct.pack("<3I", *[HUGE] * 3)
    packed = zlib.compress(inner)
    Path("a.mat").write_bytes(content[:128] + struct.pack("<II", 15, len(packed)) + packed)


def huge_packed_matlab():
    packed = zlib.compress(struct.pack("<II", 14, 2**32 - 8))
    Path("a.mat").write_bytes(
        b"MATLAB 5.0".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(packed)) + packed
    )


def huge_dicom():
    (path,) = write_series("scan", cine(1, 1, 8, 6))
    image = pydicom.dcmread(path)
    image.NumberOfFrames = 2**31 - 1
    image.save_as("a.dcm")


def huge_packed_dicom():
    image = header(NumberOfFrames=30000, Rows=65535, Columns=65535)
    image.PixelData = pydicom.encaps.encapsulate([b"\0" * 10] * 30000)
    image.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
    image["PixelData"].VR = "OB"
    image.save_as("a.dcm", enforce_file_format=True)


def huge_deflated_dicom():
    image = header(Rows=8, Columns=6, PixelData=bytes(96), ImageComments="a" * 2**20)
    image.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    image.save_as("a.dcm", enforce_file_format=True)


def huge_bart():
    Path("a.hdr").write_text("# Dimensions\n1048576 1048576 1 1 1 1 1 1 1 1 1048576\n")
    Path("a.cfl").write_bytes(bytes(800))


@pytest.mark.parametrize(
    "write",
    [
        *(huge_npz, huge_npy, huge_hdf5, huge_nifti, huge_matlab, huge_packed_matlab, huge_dicom),
        *(huge_packed_dicom, huge_deflated_dicom, huge_bart),
    ],
)
def test_what_a_header_promises_is_checked_before_memory_is_taken(write, folder, monkeypatch, request):
    write()
    small = request.node.callspec.id in ("huge_packed_matlab", "huge_deflated_dicom")
    monkeypatch.setattr(guard, "free_memory", lambda: 2**18 if small else free_memory())
    (source,) = [path for path in folder.glob("a.*") if path.suffix != ".cfl"]
    message = wrong(source)
    whole = "GB of free memory" in message or "unpacks to more than" in message
    assert whole or (write in (huge_npy, huge_dicom, huge_bart) and "expected" in message), message


def test_other_sizes_are_checked_before_anything_is_made(folder, capsys, monkeypatch):
    np.save("a.npy", cine(1, 5, 8, 6).astype(np.float32) / 240)
    monkeypatch.setenv("DMRI_CACHE", str(folder / "cache"))
    monkeypatch.setenv("DMRI_PROFILE", "tiny")
    train = "train --out new --model unrolled"
    for command in (
        f"import a.npy out.npz --size {HUGE}",
        f"phantom --out out.npz --n {10**12}",
        f"phantom --out out.npz --size {HUGE} {HUGE} --coils 2",
        f"{train} --features {10**6}",
        f"{train} --cascades {10**9}",
        f"{train} --blocks {10**9}",
        "train --out new --depth 20 --init-features 4096",
    ):
        said = refused(capsys, *command.split())
        assert "free" in said and "GB" in said, said
    with pytest.raises(DataError, match="free memory"):
        open_cine("phantom", n=1, shape=(1, HUGE, HUGE))
    with pytest.raises(DataError, match="free memory"):
        open_cine("phantom", n=10**12, shape=(20, 64, 64))


@pytest.mark.skipif(os.name == "nt", reason="other rules for names on this system")
def test_names_that_are_no_utf8_and_names_that_are_too_long(folder, capsys, monkeypatch):
    odd = os.fsdecode(b"a\xff.npy")
    try:
        np.save(odd, cine(3, 5, 24, 20))
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    assert open_cine(odd).shape == (3, 5, 24, 20)
    capsys.readouterr()
    for name in ("a" * 300, "a" * 200, "folder/" + "b" * 250, "c/" * 2100 + "d"):
        for command in (
            ["evaluate", "--method", "zero_filled", "--data", odd, "--json", name],
            ["reconstruct", "--method", "zero_filled", "--data", odd, "--out", name],
            ["train", "--data", odd, "--out", name],
            ["phantom", "--out", name],
            ["import", odd, f"{name}.npz"],
        ):
            assert "name" in refused(capsys, *command)
        if "c/" in name or len(name) > 256:
            for command in (
                ["info", name],
                ["evaluate", "--method", name, "--data", odd],
                ["import", name, "o"],
            ):
                refused(capsys, *command)


def test_a_header_that_leaves_values_out_is_seen(folder):
    """Numpy would read fewer values, and never reach the checksum."""
    np.savez("a.npz", dataset=cine(2, 5, 20, 30))
    content = Path("a.npz").read_bytes()
    Path("a.npz").write_bytes(content.replace(b"(2, 5, 20, 30)", b"(2, 5, 20, 3 )", 1))
    assert "a damaged file" in wrong("a.npz")


def test_parts_that_libraries_trip_over_are_refused(folder):
    """Of the mutants of `make stress`: scipy crashed on the first two, HDF5 went round for ever in the third."""
    savemat("a.mat", {"images": cine(5, 8, 6)})
    content = Path("a.mat").read_bytes()
    for start, damage in ((184, bytes(24)), (176, b"\xff" * 8)):  # the tag of the values; that of the name
        Path("a.mat").write_bytes(content[:start] + damage + content[start + len(damage) :])
        assert "a damaged file" in wrong("a.mat")
    heap = b"GCOL\1\0\0\0" + struct.pack("<Q", 80) + struct.pack("<HH4xQ8s", 1, 1, 8, b"a line")
    Path("heap").write_bytes(heap + struct.pack("<HH4xQ24x", 0, 0, 40))
    guard.hdf5_heaps(Path("heap"))
    Path("heap").write_bytes(heap + bytes(40))
    with pytest.raises(DataError, match="a hole of no size"):
        guard.hdf5_heaps(Path("heap"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [8, 14, 15, 17])
@pytest.mark.parametrize("part", ["real", "imaginary"])
def test_a_part_of_a_matlab_array_that_is_no_numbers_is_refused(folder, packed, kind, part):
    """Read by scipy it ends the process, or is taken for other numbers."""
    savemat("good.mat", {"images": cine(6, 20, 24) + 1j, "other": {"a": np.arange(4.0), "b": ["x", "yy"]}})
    content = bytearray(Path("good.mat").read_bytes())
    tag = struct.pack("<II", 9, 6 * 20 * 24 * 8)
    at = content.index(tag)
    at = at if part == "real" else content.index(tag, at + 8)
    for changed in (9, kind):
        content[at : at + 4] = struct.pack("<I", changed)
        Path("a.mat").write_bytes(_packed(content) if packed else content)
        if changed == 9:
            assert open_cine("a.mat").shape == (1, 6, 20, 24)
        else:
            assert "a.mat: found a damaged file (a part of an array" in wrong("a.mat")


def _packed(content: bytes) -> bytes:
    """A MATLAB file with every element packed."""
    packed, at = content[:128], 128
    while at < len(content):
        size = struct.unpack("<I", content[at + 4 : at + 8])[0] + 8
        element = zlib.compress(bytes(content[at : at + size]))
        packed, at = packed + struct.pack("<II", 15, len(element)) + element, at + size
    return packed


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("userblock", [0, 512])
def test_an_hdf5_chunk_that_is_too_short_is_refused(folder, options, userblock):
    """The library would fill it up with whatever lies in memory, or end the process."""
    values = (cine(6, 20, 24) / 2879).astype(np.float32)
    with h5py.File("a.h5", "w", userblock_size=userblock) as file:
        images = file.create_dataset("images", data=values, chunks=(2, 20, 24), **options)
    np.testing.assert_array_equal(open_cine("a.h5").tensor()[0], values)
    with h5py.File("a.h5", "r+") as file:
        images = file["images"]
        content = images.id.read_direct_chunk((2, 0, 0))[1]
        images.id.write_direct_chunk((2, 0, 0), zlib.compress(zlib.decompress(content)[:100]))
    assert "a.h5: found a damaged file (a chunk of '/images')" in wrong("a.h5")


def test_raw_data_that_claim_lines_longer_than_the_file_are_refused(folder):
    write_raw("raw.h5", coil_kspace(np.random.default_rng(0).random((1, 3, Y, X))))
    with h5py.File("raw.h5") as file:
        lines = file["dataset/data"]
        number = lines.dtype.names.index("data")
        at = lines.id.get_chunk_info(5).byte_offset + lines.id.get_type().get_member_offset(number)
    content = bytearray(Path("raw.h5").read_bytes())
    content[at : at + 4] = struct.pack("<I", 2**31)
    Path("raw.h5").write_bytes(content)
    assert "raw.h5: found a damaged file (a chunk of '/dataset/data')" in wrong("raw.h5")
