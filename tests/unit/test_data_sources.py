"""Copies of CIFAR-10 and MNIST: found, read whole or not at all, kept, fetched."""

import io
import os
import pickle
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from mlcourse import data, data_downloads, data_readers, data_sources
from mlcourse.data import CIFAR10_CLASSES, DataDamaged, DataMissing

PER_CLASS = {"train": 5, "test": 2}
HAS_CIFAR10 = data_sources.find("cifar10") is not None  # of the real one, before it is hidden


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No copy anywhere, a cache of this test alone, and no network."""
    monkeypatch.delenv("MLCOURSE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "xdg" / "mlcourse"


@pytest.fixture
def tiny(monkeypatch):
    """Random images that JPEG keeps well, (X, y) a part, classes in turn."""
    monkeypatch.setattr(data_readers, "N_TRAIN", 50)
    monkeypatch.setattr(data_readers, "N_TEST", 20)
    rng = np.random.RandomState(0)
    made = {}
    for part, count in PER_CLASS.items():
        small = rng.randint(256, size=(10 * count, 3, 2, 2), dtype=np.uint8)
        made[part] = (small.repeat(16, axis=2).repeat(16, axis=3), np.tile(np.arange(10), count))
    return made


def as_batches(folder: Path, tiny) -> Path:
    X, y = tiny["train"]
    parts = [(X[i::5], y[i::5]) for i in range(5)]
    names = [f"data_batch_{i + 1}" for i in range(5)]
    folder = folder / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, (images, labels) in zip([*names, "test_batch"], [*parts, tiny["test"]], strict=True):
        batch = {"data": images.reshape(len(images), -1), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def encoded(image: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, kind, quality=100, subsampling=0)
    return stream.getvalue()


def as_folder(folder: Path, tiny, kind: str = "png") -> Path:
    for part, (X, y) in tiny.items():
        for i, (image, label) in enumerate(zip(X, y, strict=True)):
            path = folder / part / CIFAR10_CLASSES[label] / f"{i}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image, {"png": "PNG", "jpg": "JPEG"}[kind]))
    return folder


def as_packed(folder: Path, tiny, **changes) -> Path:
    X, y = (np.concatenate([tiny["train"][part], tiny["test"][part]]) for part in (0, 1))
    files = [encoded(image, "JPEG") for image in X]
    arrays = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": y.astype(np.uint8),
        "classes": np.array(CIFAR10_CLASSES),
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "cifar10_jpeg.npz", **{**arrays, **changes})
    return folder / "cifar10_jpeg.npz"


def as_mnist(folder: Path) -> Path:
    rng = np.random.RandomState(0)
    folder = folder / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 10)):
        X, y = rng.randint(256, size=(count, 28, 28)), np.arange(count) % 10
        for what, array in (("images-idx3", X), ("labels-idx1", y)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{part}-{what}-ubyte").write_bytes(content)
    return folder


def equal(images: data.Images, tiny, close: float = 0) -> None:
    """The images are the tiny ones, up to `close` levels, in any order of the training part."""
    X, y = tiny["test"]
    assert images.X_test.dtype == images.X_train.dtype == torch.uint8
    assert images.y_test.dtype == images.y_train.dtype == torch.int64
    assert np.abs(images.X_test.numpy().astype(int) - X).max() <= close
    assert images.y_test.tolist() == y.tolist()
    X, y = tiny["train"]
    distance = np.abs(images.X_train.numpy().astype(int)[:, None] - X).max(axis=(2, 3, 4))
    same = distance.argmin(axis=1)
    assert distance.min(axis=1).max() <= close
    assert sorted(same) == list(range(50))
    assert images.y_train.tolist() == y[same].tolist()
    assert images.classes == CIFAR10_CLASSES


# --- Finding and reading -----------------------------------------------------------------------


@pytest.mark.parametrize("named", ["variable", "cache"])
@pytest.mark.parametrize(
    ("make", "name", "close"),
    [
        (as_batches, "CIFAR-10, with other pixels than the original", 0),
        (as_folder, "CIFAR-10", 0),
        (lambda folder, tiny: as_folder(folder, tiny, "jpg"), "CIFAR-10, re-encoded as JPEG", 4),
        (as_packed, "CIFAR-10, re-encoded as JPEG", 4),
    ],
    ids=["batches", "png", "jpg", "packed"],
)
def test_every_kind_of_copy_is_found_and_read(
    make, name, close, named, tiny, tmp_path, cache, monkeypatch
):
    make(cache if named == "cache" else tmp_path / "own", tiny)
    if named == "variable":
        monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "own"))
    images = data.cifar10(download=False)
    assert images.name == name
    equal(images, tiny, close)
    again = data.cifar10(download=False)
    assert again.name == name
    assert torch.equal(again.X_train, images.X_train)
    assert torch.equal(again.y_test, images.y_test)


@pytest.mark.parametrize("make", [as_batches, as_packed])
def test_the_variable_may_name_the_copy_itself(make, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_DATA", str(make(tmp_path / "own", tiny)))
    equal(data.cifar10(download=False), tiny, close=4)


def test_copies_are_preferred_in_the_documented_order(tiny, tmp_path, cache, monkeypatch):
    own = tmp_path / "own"
    monkeypatch.setenv("MLCOURSE_DATA", str(own))
    found = []
    for make, place in ((as_batches, cache), (as_packed, own), (as_folder, own), (as_batches, own)):
        make(place, tiny)
        copy = data_sources.find("cifar10")
        found.append((copy.kind, copy.path.is_relative_to(own)))
    assert found == [("batches", False), ("packed", True), ("images", True), ("batches", True)]


def test_the_original_is_known_by_its_checksums(tiny, tmp_path, monkeypatch):
    folder = as_batches(tmp_path, tiny)
    sums = {path.name: torchvision.datasets.utils.calculate_md5(path) for path in folder.iterdir()}
    test = ("test_batch", sums.pop("test_batch"))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", list(sums.items()))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", [test])
    assert data_readers.read_batches(folder).name == "CIFAR-10"


def test_batches_are_read_as_torchvision_reads_them(tiny, tmp_path, monkeypatch):
    folder = as_batches(tmp_path, tiny)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr(kind, "_load_meta", lambda self: None)
    theirs = kind(tmp_path)
    ours = data_readers.read_batches(folder)
    assert np.array_equal(theirs.data.transpose(0, 3, 1, 2), ours.X_train)
    assert theirs.targets == ours.y_train.tolist()


def test_a_part_is_called_a_part(tiny, tmp_path, monkeypatch):
    as_folder(tmp_path / "own", tiny)
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(data_readers, "N_TRAIN", 50_000)
    assert data.cifar10(download=False).name == "a part of CIFAR-10"


def test_a_folder_gives_classes_in_turn(tiny, tmp_path):
    arrays = data_readers.read_folder(as_folder(tmp_path, tiny))
    assert arrays.y_train.tolist() == list(range(10)) * 5


def test_a_python_2_pickle_is_read(tmp_path):
    """The original batches were written by Python 2: protocol 2, strings of bytes, numpy.core."""
    array = np.arange(2 * 3072, dtype=np.uint8).reshape(2, -1)
    text = pickle.dumps({"data": array, "labels": [3, 9]}, protocol=2)
    text = text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = tmp_path / "data_batch_1"
    path.write_bytes(text)
    X, y = data_readers._read_batch(path)
    assert np.array_equal(X.reshape(2, -1), array)
    assert y.tolist() == [3, 9]


# --- Damage ------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def repacked(**changes):
    def change(own: Path, tiny) -> None:
        as_packed(own, tiny, **changes)

    return change


def in_batches(change):
    return lambda own, tiny: change(as_batches(own, tiny))


def in_folder(change):
    return lambda own, tiny: change(as_folder(own, tiny, "jpg"))


def write_batch(**batch):
    return in_batches(lambda folder: (folder / "data_batch_2").write_bytes(pickle.dumps(batch)))


PIXELS = np.zeros((4, 3072), np.uint8)
DAMAGE = {
    "batch cut short": (in_batches(lambda f: truncate(f / "data_batch_3")), "data_batch_3"),
    "batch gone": (in_batches(lambda f: (f / "test_batch").unlink()), "test_batch"),
    "batch empty": (in_batches(lambda f: (f / "data_batch_1").write_bytes(b"")), "data_batch_1"),
    "batch a program": (write_batch(data=Evil(), labels=[]), "data_batch_2"),
    "batch without labels": (write_batch(data=PIXELS), "data_batch_2"),
    "batch with few labels": (write_batch(data=PIXELS, labels=[1, 2]), "data_batch_2"),
    "batch with label 10": (write_batch(data=PIXELS, labels=[1, 2, 3, 10]), "data_batch_2"),
    "batch of floats": (write_batch(data=PIXELS * 0.5, labels=[1, 2, 3, 4]), "data_batch_2"),
    "image cut short": (in_folder(lambda f: truncate(f / "train/cat/3.jpg")), "3.jpg"),
    "image empty": (in_folder(lambda f: (f / "train/cat/3.jpg").write_bytes(b"")), "3.jpg"),
    "image of another size": (
        in_folder(lambda f: Image.new("RGB", (8, 9)).save(f / "train/cat/3.jpg")),
        "3.jpg is 8x9",
    ),
    "image gone": (in_folder(lambda f: (f / "test/dog/5.jpg").unlink()), "dog holds 1 images"),
    "class gone": (
        in_folder(lambda f: (f / "test/dog").rename(f / "test/hound")),
        "dog is missing",
    ),
    "class empty": (
        in_folder(lambda f: [path.unlink() for path in (f / "test/dog").iterdir()]),
        "dog holds no",
    ),
    "test part gone": (in_folder(lambda f: (f / "test").rename(f / "later")), "is missing"),
    "packed cut short": (lambda own, tiny: truncate(as_packed(own, tiny)), "cifar10_jpeg.npz"),
    "packed is text": (
        lambda own, tiny: as_packed(own, tiny).write_text("hello"),
        "cifar10_jpeg.npz",
    ),
    "packed labels": (repacked(labels=np.zeros(69, np.uint8)), "does not hold 70 images"),
    "packed offsets": (repacked(offsets=np.arange(71)), "does not hold 70 images"),
    "packed classes": (repacked(classes=np.array(list("abcdefghij"))), "does not hold"),
    "packed pickles": (repacked(classes=np.array([object()])), "cifar10_jpeg.npz"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_copy_is_refused_in_one_sentence(
    damage, says, tiny, tmp_path, cache, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "own"))
    damage(tmp_path / "own", tiny)
    with pytest.raises(DataDamaged, match=says) as caught:
        data.cifar10()
    assert "\n" not in str(caught.value)
    assert "get it again" in str(caught.value)
    assert not (tmp_path / "executed").exists()
    assert not list(cache.rglob("*.np?"))


def test_a_damaged_jpeg_within_the_packed_file_is_named(tiny, tmp_path, monkeypatch):
    path = as_packed(tmp_path, tiny)
    with np.load(path) as packed:
        arrays = dict(packed)
    start = arrays["offsets"][7]
    arrays["jpeg"] = arrays["jpeg"].copy()
    arrays["jpeg"][start : start + 20] = 0
    np.savez(path, **arrays)
    monkeypatch.setenv("MLCOURSE_DATA", str(path))
    with pytest.raises(DataDamaged, match="image 7 cannot be decoded"):
        data.cifar10()


def test_a_damaged_copy_is_not_replaced_by_digits(tiny, tmp_path, monkeypatch):
    truncate(as_packed(tmp_path, tiny))
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path))
    with pytest.raises(DataDamaged):
        data.cifar10_or_digits()


# --- The cache of decoded pixels ---------------------------------------------------------------


def kept_files(cache: Path) -> set[str]:
    return {path.suffix for path in (cache / "decoded").iterdir()}


def test_decoded_pixels_are_kept_until_the_copy_changes(tiny, tmp_path, cache, monkeypatch):
    path = as_packed(tmp_path / "own", tiny)
    monkeypatch.setenv("MLCOURSE_DATA", str(path))
    decoded = []
    decode = data_readers._decode
    monkeypatch.setattr(data_readers, "_decode", lambda *args: decoded.append(1) or decode(*args))
    first = data.cifar10()
    assert torch.equal(data.cifar10().X_train, first.X_train)
    assert len(decoded) == 1
    X, y = tiny["train"]
    as_packed(tmp_path / "own", {**tiny, "train": (X[::-1], y[::-1])})
    assert data.cifar10().y_train.tolist() == y[::-1].tolist()
    assert len(decoded) == 2
    assert len(list((cache / "decoded").iterdir())) == 2  # the old copy's files are gone


def test_kept_pixels_alone_are_no_copy(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_DATA", str(as_packed(tmp_path / "own", tiny)))
    data.cifar10()
    monkeypatch.delenv("MLCOURSE_DATA")
    with pytest.raises(DataMissing):
        data.cifar10(download=False)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_kept_files_are_made_again(suffix, tiny, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("MLCOURSE_DATA", str(as_packed(tmp_path / "own", tiny)))
    first = data.cifar10()
    truncate(next((cache / "decoded").glob(f"*{suffix}")))
    assert torch.equal(data.cifar10().X_test, first.X_test)
    assert kept_files(cache) == {".npy", ".npz"}


def test_a_cache_that_cannot_be_written_is_no_error(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("MLCOURSE_DATA", str(as_packed(tmp_path / "own", tiny)))
    equal(data.cifar10(), tiny, close=4)


def test_a_failed_write_leaves_nothing(tiny, tmp_path, cache, monkeypatch):
    def fails(file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", fails)
    path = as_packed(tmp_path / "own", tiny)
    monkeypatch.setenv("MLCOURSE_DATA", str(path))
    equal(data.cifar10(), tiny, close=4)
    assert not list((cache / "decoded").iterdir())


def test_the_cache_is_where_the_platform_keeps_it(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("LOCALAPPDATA", "local")
    found = {}
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(data_sources.sys, "platform", platform)
        found[platform] = data_sources.cache().as_posix().removeprefix(Path.home().as_posix())
    assert found == {
        "linux": "/.cache/mlcourse",
        "darwin": "/Library/Caches/mlcourse",
        "win32": "local/mlcourse/Cache",
    }


def test_nothing_is_printed_off_a_terminal(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLCOURSE_DATA", str(as_packed(tmp_path / "own", tiny)))
    data.cifar10()
    assert capfd.readouterr() == ("", "")


def test_a_bar_shows_on_a_terminal(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    data_readers.read_packed(as_packed(tmp_path / "own", tiny))
    assert capfd.readouterr().out == ""


# --- Nothing there -----------------------------------------------------------------------------


def test_what_is_said_without_a_copy_names_every_way(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataMissing) as caught:
        data.cifar10(download=False)
    said = str(caught.value)
    for part in (
        "cifar-10-batches-py",
        "train/CLASS/",
        "cifar10_jpeg.npz",
        "mlcourse data cifar10",
    ):
        assert part in said
    assert f"MLCOURSE_DATA={tmp_path / 'typo'}" in said
    assert str(cache) in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_without_a_network_the_download_fails_at_once(name):
    start = time.perf_counter()
    with pytest.raises(DataMissing, match="no server that has it answers"):
        getattr(data, name)()
    assert time.perf_counter() - start < 10  # importing torchvision is most of it


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    forever = threading.Event()
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda *args, **kwargs: forever.wait() and io.BytesIO()
    )
    monkeypatch.setattr(data_downloads, "PATIENCE", 0.05)
    with pytest.raises(DataMissing, match="no server"):
        data.cifar10()
    forever.set()


def test_digits_stand_in_and_say_so(capsys):
    images = data.cifar10_or_digits()
    assert images.name == "textured digits"
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "textured digits" in said
    assert "mlcourse data cifar10" in said


def test_a_copy_that_is_there_is_used_and_named(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLCOURSE_DATA", str(as_packed(tmp_path / "own", tiny)))
    assert data.cifar10_or_digits().name == "CIFAR-10, re-encoded as JPEG"
    said = capsys.readouterr().out
    assert "CIFAR-10, re-encoded as JPEG" in said
    assert str(tmp_path) not in said


# --- Download ----------------------------------------------------------------------------------


@pytest.fixture
def server(tiny, monkeypatch):
    """torchvision's classes fetch from a server that has the tiny sets; its list of roots."""
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: io.BytesIO())
    roots = []

    def fetch(make, fails=False):
        def fetch(root, download):
            roots.append(root)
            make(root)
            if server.fails:
                raise RuntimeError("File not found or corrupted.")

        return fetch

    class Server:
        fails = False

    server = Server()
    server.roots = roots
    kinds = torchvision.datasets
    for kind, make in (("CIFAR10", lambda root: as_batches(root, tiny)), ("MNIST", as_mnist)):
        fake = fetch(make)
        for attribute in ("url", "train_list", "test_list", "resources", "mirrors"):
            if hasattr(getattr(kinds, kind), attribute):
                setattr(fake, attribute, getattr(getattr(kinds, kind), attribute))
        monkeypatch.setattr(kinds, kind, fake)
    return server


def test_a_download_is_kept_for_the_next_time(server, tiny, cache):
    equal(data.cifar10(), tiny)
    equal(data.cifar10(), tiny)
    assert len(data.mnist().X_train) == 30
    assert len(server.roots) == 2
    assert {path.name for path in cache.iterdir()} == {"cifar-10-batches-py", "MNIST", "decoded"}


def test_a_failed_download_leaves_nothing(server, cache):
    server.fails = True
    with pytest.raises(DataMissing, match=r"its download failed \(File not found"):
        data.cifar10()
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_hold_a_download(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataMissing, match="its download failed"):
        data.cifar10()


# --- MNIST -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "MNIST", "MNIST/raw"])
def test_mnist_is_read_as_torchvision_reads_it(where, tmp_path, monkeypatch):
    as_mnist(tmp_path)
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / where))
    images = data.mnist(download=False)
    assert (images.name, images.classes) == ("MNIST", tuple("0123456789"))
    theirs = torchvision.datasets.MNIST(tmp_path)
    assert torch.equal(images.X_train, theirs.data[:, None])
    assert torch.equal(images.y_train, theirs.targets)
    assert images.X_test.shape == (10, 1, 28, 28)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("t10k-images-idx3-ubyte", truncate, "holds 7800 bytes, not 7840"),
        ("train-labels-idx1-ubyte", Path.unlink, "is missing"),
        ("train-labels-idx1-ubyte", lambda path: path.write_bytes(b"\x1f\x8b"), "not an IDX"),
        (
            "train-labels-idx1-ubyte",
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x0a"),
            "train-images-idx3-ubyte does not hold",
        ),
    ],
)
def test_damaged_mnist_is_refused(file, change, says, tmp_path, monkeypatch):
    change(as_mnist(tmp_path) / file)
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path))
    with pytest.raises(DataDamaged, match=says):
        data.mnist()


# --- The real copy -----------------------------------------------------------------------------


@pytest.mark.skipif(not HAS_CIFAR10, reason="no local copy of CIFAR-10")
def test_the_real_copy_is_complete(monkeypatch, request):
    for variable in ("MLCOURSE_DATA", "XDG_CACHE_HOME"):
        value = REAL_PLACES[variable]
        monkeypatch.setenv(variable, value) if value else monkeypatch.delenv(variable, False)
    images = data.cifar10(download=False)
    assert images.X_train.shape == (50_000, 3, 32, 32)
    assert images.X_test.shape == (10_000, 3, 32, 32)
    assert images.y_train.bincount().tolist() == [5_000] * 10
    assert images.y_test.bincount().tolist() == [1_000] * 10
    mean = images.X_train.double().mean(dim=(0, 2, 3)) / 255
    expected = torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64)
    torch.testing.assert_close(mean, expected, atol=5e-4, rtol=0)


REAL_PLACES = {name: os.environ.get(name) for name in ("MLCOURSE_DATA", "XDG_CACHE_HOME")}
