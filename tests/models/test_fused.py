"""Labels by keywarp's own kernels: what the network's parts say, at every size, on every instruction set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keywarp.engines.build import get_engine
from keywarp.engines.errors import EngineError
from keywarp.engines.fake import FakeEngine
from keywarp.engines.openvino_ import OpenVinoEngine
from keywarp.flow.base import KeyFlow
from keywarp.flow.build import flow_kernel
from keywarp.flow.gradients import best_kernel
from keywarp.flow.scenes.street import StreetScene
from keywarp.models.base import Earlier, Level, Model, Setup
from keywarp.models.build import load_model
from keywarp.models.card import Card, file_sha256, find_card, part_path, read_card
from keywarp.models.fused import FusedHead, kernels
from keywarp.models.results import SegmentationMap
from keywarp.models.segmentation import SegmentationModel
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.run import Run

SIZE = (152, 88)
built = pytest.mark.skipif(not kernels(), reason="keywarp was installed without a C++ compiler")
Head = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What FusedHead takes: the convolutions of even and of odd rows, and the bias of both."""


def made_up(classes: int, channels: int, seed: int = 0) -> Head:
    """The two convolutions of a head, with zeros where a pixel sees nothing."""
    rng = np.random.default_rng(seed)
    even = rng.normal(size=(classes, 2, channels, 1, 2)).astype(np.float32)
    odd = rng.normal(size=(classes, 2, channels, 2, 2)).astype(np.float32)
    even[:, 0, :, :, 1] = odd[:, 0, :, :, 1] = 0
    bias = np.repeat(rng.normal(size=classes).astype(np.float32), 2)
    shape = (2 * classes, channels)
    return even.reshape(*shape, 1, 2), odd.reshape(*shape, 2, 2), bias


def scores(head: Head, features: np.ndarray) -> np.ndarray:
    """(C, 2h, 2w) float64 of features (K, h, w): the two convolutions, tap by tap."""
    _, height, width = features.shape
    around = np.pad(features.astype(np.float64), ((0, 0), (0, 1), (0, 1)))
    out = np.zeros((len(head[2]) // 2, 2 * height, 2 * width)) + head[2][::2, None, None]
    for row in (0, 1):
        kernel = head[row].astype(np.float64)
        for below, right in product(range(kernel.shape[2]), (0, 1)):
            cells = around[:, below : below + height, right : right + width]
            found = np.einsum("ok,khw->ohw", kernel[:, :, below, right], cells)
            for column in (0, 1):
                out[:, row::2, column::2] += found[column::2]
    return out


def sampled(features: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Features (K, h, w) at ``cell + flow[cell]``, bilinearly, the nearest cell outside; float64."""
    _, height, width = features.shape
    rows, columns = np.mgrid[:height, :width]
    x = np.clip(columns + flow[..., 0].astype(np.float64), 0, width - 1)
    y = np.clip(rows + flow[..., 1].astype(np.float64), 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = x - left, y - top
    values = features.astype(np.float64)
    upper = values[:, top, left] * (1 - across) + values[:, top, right] * across
    lower = values[:, bottom, left] * (1 - across) + values[:, bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down)


def assert_best(labels: np.ndarray, wanted: np.ndarray) -> None:
    """``labels`` are the best of the scores, or so nearly that single precision cannot tell."""
    chosen = np.take_along_axis(wanted, labels[None].astype(int), 0)[0]
    np.testing.assert_array_less(wanted.max(0) - chosen, 1e-4)
    assert (labels == wanted.argmax(0)).mean() > 0.999


@built
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize(
    ("classes", "channels", "grid", "threads"),
    [
        (11, 16, (32, 18), 1),
        (11, 16, (33, 7), 2),
        (11, 16, (1, 1), 4),
        (11, 16, (5, 40), 3),
        (2, 16, (31, 3), 1),
        (12, 32, (16, 16), 2),
        (13, 16, (17, 5), 1),
        (19, 48, (20, 12), 2),
        (35, 16, (47, 9), 2),
    ],
)
def test_the_best_class_of_every_pixel(
    kernel: str, classes: int, channels: int, grid: tuple[int, int], threads: int
) -> None:
    rng = np.random.default_rng(classes)
    parts = made_up(classes, channels)
    head = FusedHead(grid, *parts, threads=threads, kernel=kernel)
    shape = (1, channels, *grid[::-1])
    # far beyond the picture in places, and a fraction of a cell in others
    flow = rng.normal(scale=6, size=(*grid[::-1], 2)).astype(np.float32)
    for _ in range(2):  # the second time the buffers are not new
        features = rng.normal(size=shape).astype(np.float32)
        assert_best(head.plain(features), scores(parts, features[0]))
        labels = head.warped(head.pack(features), flow)
        assert labels.dtype == np.uint8
        assert_best(labels, scores(parts, sampled(features[0], flow)))
    head.close()


@built
def test_no_flow_leads_out_of_memory() -> None:
    parts = made_up(11, 16)
    head = FusedHead((24, 10), *parts)
    features = np.random.default_rng(0).normal(size=(1, 16, 10, 24)).astype(np.float32)
    packed = head.pack(features)
    flow = np.zeros((10, 24, 2), np.float32)
    flow[..., 0], flow[..., 1] = np.inf, -np.inf
    corner = np.broadcast_to(features[0, :, :1, -1:], features[0].shape)
    assert_best(head.warped(packed, flow), scores(parts, corner))
    flow[:] = np.nan
    first = np.broadcast_to(features[0, :, :1, :1], features[0].shape)
    assert_best(head.warped(packed, flow), scores(parts, first))
    flow[:] = 3e38
    last = np.broadcast_to(features[0, :, -1:, -1:], features[0].shape)
    assert_best(head.warped(packed, flow), scores(parts, last))


@built
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, -np.inf, np.nan])
def test_whatever_the_features_are_labels_are_classes(kernel: str, value: float) -> None:
    head = FusedHead((24, 10), *made_up(11, 16), kernel=kernel)
    features = np.full((1, 16, 10, 24), value, np.float32)
    assert head.plain(features).max() < 11
    assert head.warped(head.pack(features), np.zeros((10, 24, 2), np.float32)).max() < 11


@built
def test_calls_at_once_wait_for_each_other() -> None:
    head = FusedHead((80, 60), *made_up(11, 16), threads=2)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 16, 60, 80)).astype(np.float32)
    flow = rng.normal(scale=6, size=(60, 80, 2)).astype(np.float32)
    packed, wanted = head.pack(features), head.plain(features)
    carried = head.warped(packed, flow)
    with ThreadPoolExecutor(4) as pool:
        plain = [pool.submit(head.plain, features) for _ in range(100)]
        warped = [pool.submit(head.warped, packed, flow) for _ in range(100)]
    assert all(np.array_equal(call.result(), wanted) for call in plain)
    assert all(np.array_equal(call.result(), carried) for call in warped)


@built
def test_equal_scores_go_to_the_first_class() -> None:
    parts = made_up(11, 16)
    head = FusedHead((20, 4), *map(np.zeros_like, parts))
    assert not head.plain(np.ones((1, 16, 4, 20), np.float32)).any()


@built
def test_arrays_that_do_not_fit_are_refused() -> None:
    from keywarp.models.fused import _rows

    call: Any = _rows.labels
    small = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="'features' holds 12 bytes; 64 are wanted"):
        _rows.pack(small, small, 4, 4)
    sizes = {"height": 2, "width": 3, "channels": 16, "groups": 1, "group": 12, "first": 0, "last": 2}
    fitting: dict[str, Any] = {
        "features": np.zeros(6 * 16, np.float32),
        "flow": np.zeros(12, np.float32),
        "weights": np.zeros(12 * 16 * 9, np.float32),
        "bias": np.zeros(12, np.float32),
        "scratch": np.zeros(2 * 16 * 32, np.float32),
        "labels": np.zeros(24, np.uint8),
    }
    call(kernels()[0], *fitting.values(), *sizes.values())
    for name, array in fitting.items():
        given = {**fitting, name: array[:-1]}
        with pytest.raises(ValueError, match=f"'{name}' holds"):
            call(kernels()[0], *given.values(), *sizes.values())
    wrong = [
        ("height", 0),
        ("width", -1),
        ("channels", 15),
        ("groups", 0),
        ("group", 5),
        ("first", 2),
        ("last", 3),
    ]
    wrong += [("height", 2**31 - 1), ("width", 2**31 - 1), ("groups", 2**28), ("first", -1)]
    for name, size in wrong:
        with pytest.raises(ValueError, match="sizes"):
            call(kernels()[0], *fitting.values(), *{**sizes, name: size}.values())
    with pytest.raises(ValueError, match="no kernel 'sse9'"):
        call("sse9", *fitting.values(), *sizes.values())
    fitting["labels"].flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"(?i)writ|read-only"):
        call(kernels()[0], *fitting.values(), *sizes.values())


@contextmanager
def opened(
    engine: str, level: Level, *, fused: bool, aggregates: bool = False
) -> Iterator[SegmentationModel]:
    model = SegmentationModel(find_card("enet"))
    model.open(Setup(get_engine(engine), level, aggregates=aggregates, threads=2, fused=fused), SIZE)
    try:
        yield model
    finally:
        model.close()


def labels_of(model: Model[SegmentationMap], *, aggregates: bool) -> list[np.ndarray]:
    """Two key frames of a street, and each carried twice."""
    scene = StreetScene(size=SIZE, rate=10, length=20, seed=3)
    flow = cv2.resize(np.random.default_rng(0).normal(scale=3, size=(4, 6, 2)).astype(np.float32), (38, 22))
    key_flow = KeyFlow(flow, np.ones(flow.shape[:2], np.bool_), 3)
    found, key = [], None
    for number in (0, 9):
        image = model.prepare(Picture.from_bgr(scene.frame(number).bgr))
        if aggregates and key is not None:
            key = model.features_with(image, Earlier(key, key_flow, np.full((11, 19), 0.5, np.float32)))
        else:
            key = model.features(image)
        found.append(key.result.labels.copy())
        found += [model.propagate(key, key_flow).labels.copy() for _ in range(2)]
    return found


@built
@pytest.mark.parametrize(
    ("engine", "level", "aggregates"),
    [
        ("openvino", "features", False),
        ("openvino", "features", True),
        ("openvino", "result", False),
        ("onnxruntime", "features", False),
        ("torch", "features", True),
    ],
)
def test_a_model_says_the_same_with_its_kernels_and_with_the_engine(
    engine: str, level: Level, aggregates: bool
) -> None:
    pytest.importorskip(engine)
    found = []
    for fused in (True, False):
        with opened(engine, level, fused=fused, aggregates=aggregates) as model:
            assert (model.fused in kernels()) is fused
            found.append(labels_of(model, aggregates=aggregates))
    assert len({labels.tobytes() for labels in found[0]}) > 1
    for ours, theirs in zip(*found, strict=True):
        assert (ours == theirs).mean() > 0.9995


@built
def test_the_level_changes_while_it_runs() -> None:
    with opened("openvino", "result", fused=True) as model:
        before = labels_of(model, aggregates=False)
        model.change("features", aggregates=False)
        carried = labels_of(model, aggregates=False)
        model.change("result", aggregates=False)
        after = labels_of(model, aggregates=False)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert np.array_equal(before[0], carried[0])
    assert not np.array_equal(before[1], carried[1])


class _Elsewhere(OpenVinoEngine):
    """An engine whose networks are out of the processor's reach."""

    @property
    def on_cpu(self) -> bool:
        return False


def test_engines_that_are_not_on_the_cpu_run_heads_themselves() -> None:
    assert OpenVinoEngine().on_cpu
    assert not OpenVinoEngine("GPU").on_cpu
    assert not FakeEngine({}).on_cpu
    model = load_model("enet")
    model.open(Setup(_Elsewhere(), threads=1), SIZE)
    assert model.fused is None
    assert len(labels_of(model, aggregates=False)) == 6
    model.close()


@built
def test_at_bf16_the_head_stays_as_exact() -> None:
    model = load_model("enet")
    try:
        model.open(Setup(get_engine("openvino"), precision="bf16", threads=2), SIZE)
    except EngineError as error:
        pytest.skip(str(error))
    found = labels_of(model, aggregates=False)
    assert (model.fused, model.runs_on) == (kernels()[0], "openvino bf16")
    model.close()
    with opened("openvino", "features", fused=False) as exact:
        wanted = labels_of(exact, aggregates=False)
    assert all((ours == theirs).mean() > 0.98 for ours, theirs in zip(found, wanted, strict=True))


@built
def test_a_head_that_cannot_be_read_is_the_engines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = find_card("enet")
    card = read_card(path)
    for part in card.files:
        source = part_path(card, path, part)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    renamed = tmp_path / card.files["warp_head"].path
    renamed.write_bytes(renamed.read_bytes().replace(b"labels.even.weight", b"labels.EVEN.weight"))
    entry = card.files["warp_head"].model_copy(update={"sha256": file_sha256(renamed)})
    files = {**card.files, "warp_head": entry}
    (tmp_path / "card.json").write_text(card.model_copy(update={"files": files}).to_json())
    model = load_model(str(tmp_path / "card.json"))
    with caplog.at_level("INFO"):
        model.open(Setup(get_engine("openvino"), threads=1), SIZE)
    assert "has no weight 'labels.even.weight'" in caplog.text
    assert model.fused is None
    assert len(labels_of(model, aggregates=False)) == 6
    model.close()


@built
def test_a_head_of_another_kind_is_the_engines(tmp_path: Path) -> None:
    path = find_card("enet")
    card: Card = read_card(path)
    assert card.head == "transposed_conv"
    plain = card.model_copy(update={"head": None})
    for part in card.files:
        (tmp_path / card.files[part].path).symlink_to(part_path(card, path, part))
    (tmp_path / "plain.json").write_text(plain.to_json())
    model = load_model(str(tmp_path / "plain.json"))
    model.open(Setup(get_engine("openvino"), threads=1), SIZE)
    assert model.fused is None
    model.close()
    file = part_path(card, path, "warp_head")
    assert FusedHead.of_part(file, 11, 20, (8, 8), threads=1) is None


@built
@pytest.mark.parametrize("fused", [True, False])
def test_the_report_names_the_kernel(fused: bool) -> None:
    run = Run("street:length=3,size=64x48", sinks=["null"], fused=fused)
    for _ in run:
        pass
    assert run.report()["fused"] == (kernels()[0] if fused else None)
    assert run.report()["flow_kernel"] == (best_kernel() if fused else None)


def test_a_flow_without_gradients_has_no_kernel() -> None:
    assert [flow_kernel(name, True) for name in ("dis", "source", "flownet-inception", "card.json")] == [
        None
    ] * 4
    assert {flow_kernel(name, True) for name in ("lk", "lk:fine", "codec", "auto")} == {best_kernel()}
    assert flow_kernel("lk", False) is None


def test_without_a_compiler_engines_and_opencv_do_it() -> None:
    """The modules are made to be missing, as they are where keywarp was installed without a compiler."""
    code = (
        "import sys; sys.modules['keywarp.models.fused._rows'] = sys.modules['keywarp.flow._gradients'] = None\n"
        "from keywarp.models.fused import kernels; assert kernels() == ()\n"
        "import keywarp; run = keywarp.Run('street:length=4,size=64x48', interval=2, sinks=['null'])\n"
        "for packet in run: pass\n"
        "print(*[run.report()[key] for key in ('fused', 'flow_kernel')], run.report()['frames']['out'])\n"
        "from keywarp.pipeline.cli.doctor import findings\n"
        "print(*[f'{f.found} {f.cure}' for f in findings() if f.topic.startswith('kernels')], sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    ran, *advice = done.stdout.splitlines()
    assert ran == "None None 4"
    assert [line.partition(" (")[0] for line in advice] == ["False a C++ compiler"] * 2
