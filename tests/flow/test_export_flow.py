"""FlowNets as files: what `keywarp export` writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (pip install 'keywarp[torch]')")
onnx = pytest.importorskip("onnx", reason="needs onnx (pip install 'keywarp[torch]')")

from keywarp.engines.card import part_path  # noqa: E402 - needs torch
from keywarp.engines.errors import ModelError, UsageError  # noqa: E402
from keywarp.engines.weights import write_weights  # noqa: E402
from keywarp.flow.card import read_flow_card  # noqa: E402
from keywarp.flow.flow_part import FlowPart  # noqa: E402
from keywarp.models.export_flow import flow_part  # noqa: E402
from keywarp.pipeline.cli.networks import export_command  # noqa: E402

from .flownets import random_flownet, write_flownet  # noqa: E402


def test_the_command_writes_a_card_that_can_be_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_flownet(tmp_path / "runs", random_flownet("flownet-half", 16), "flownet-half", "enet-camvid")
    export_command("flownet-half", tmp_path / "runs" / "trained.safetensors", tmp_path / "out", "mine")
    path = tmp_path / "out" / "mine.json"
    card = read_flow_card(path)
    assert (card.name, card.network, card.stride_px) == ("mine", "flownet-half", 8)
    assert (card.scale_for, card.scale_channels) == ("enet-camvid", 16)
    assert (card.input.width, card.input.height, card.input.smallest_side_px) == (640, 360, 64)
    assert card.parameters == sum(p.numel() for p in random_flownet("flownet-half", 16).parameters())
    assert sorted(card.files) == ["flow"]
    for part in card.files:
        assert part_path(card, path, part).is_file()
    assert "".join(capsys.readouterr().out.split()).endswith(f"keywarprunSOURCE--flow{path}")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    write_flownet(tmp_path, random_flownet("flownet-inception"))
    weights = tmp_path / "trained.safetensors"
    with pytest.raises(
        ModelError, match=r"are of flownet-inception, as their card says; not of flownet-half"
    ):
        export_command("flownet-half", weights, tmp_path / "out", None)
    with pytest.raises(UsageError, match="unknown network 'flownet-third'"):
        export_command("flownet-third", weights, tmp_path / "out", None)
    write_weights(random_flownet("flownet-half"), weights)
    with pytest.raises(ModelError, match="are not of flownet-inception"):
        export_command("flownet-inception", weights, tmp_path / "out", None)
    weights.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="there is no card beside"):
        export_command("flownet-inception", weights, tmp_path / "out", None)


def test_weights_that_are_not_finite_are_refused() -> None:
    network = random_flownet("flownet-inception")
    with torch.no_grad():
        network.get_parameter("predict.0.weight")[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"predict\.0\.weight.*not finite"):
        flow_part(network)


def test_weights_beyond_fp16_are_refused() -> None:
    network = random_flownet("flownet-inception")
    with torch.no_grad():
        network.get_parameter("predict.0.weight")[0, 0, 0, 0] = -65504.0
    assert flow_part(network)
    with torch.no_grad():
        network.get_parameter("predict.0.weight")[0, 0, 0, 0] = -70000.0
    with pytest.raises(
        ModelError, match=r"weight 'predict\.0\.weight' holds 70000; .* fp16, which ends at 65504; train"
    ):
        flow_part(network)


def test_the_file_has_symbols_and_equal_bytes() -> None:
    network = random_flownet("flownet-inception", 16)
    data = flow_part(network)
    assert flow_part(network) == data
    graph = onnx.load_model_from_string(data).graph
    found = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert found == {
        "image": [1, "H", "W", 3],
        "key": [1, "H", "W", 3],
        "flow": [1, "h", "w", 2],
        "scale": [1, 16, "h", "w"],
    }


@pytest.mark.parametrize("size", [(128, 64), (136, 72), (134, 98)])
def test_halving_inside_the_part_is_average_pooling(size: tuple[int, int]) -> None:
    network = random_flownet("flownet-inception", 4)
    width, height = size
    image, key = (torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8) for _ in range(2))
    with torch.no_grad():
        flow, scale = FlowPart(network)(image, key)
        pictures = [picture.permute(0, 3, 1, 2).float() / 255 for picture in (image, key)]
        expected = network(*pictures)
    torch.testing.assert_close(flow.permute(0, 3, 1, 2), expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scale, expected[1])
