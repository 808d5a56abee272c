"""End-point error and Fl-all against figures worked out by hand; .flo files; the published zero-flow errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keywarp.engines.errors import UsageError
from keywarp.flow.base import Field
from keywarp.flow.flo import known, read_flo, write_flo
from keywarp.flow.metrics import FlowError, end_point_errors, flow_error

# The pairs 00001 and 00002, which nobody may pass on: in the project's shared folder beside the repository.
CHAIRS = Path(__file__).parents[3] / "shared" / "data" / "flow"


def field_of(*rows: list[tuple[float, float]]) -> Field:
    return np.array(rows, np.float32)


# --- Errors -----------------------------------------------------------------------------------------------


def test_errors_by_hand() -> None:
    truth = field_of([(3, 4), (0, 0)], [(100, 0), (0, -2)])
    found = field_of([(0, 0), (0, 3)], [(104, 3), (0, -2)])
    np.testing.assert_allclose(end_point_errors(found, truth), [[5, 3], [5, 0]])
    error = flow_error(found, truth)
    assert error.pixels == 4
    assert error.epe_px == pytest.approx(13 / 4)
    # 5 px of 5 px is wrong; 3 px is not more than 3 px; 5 px of 100 px is not more than 5 %; 0 px is right.
    assert error.fl_all == pytest.approx(1 / 4)


def test_fl_needs_both_limits_to_be_passed() -> None:
    truth = field_of([(61, 0), (59, 0), (1000, 0), (10, 0)])
    found = field_of([(64.04, 0), (62.01, 0), (1051, 0), (12.9, 0)])
    # 3.04 of 61 px is 4.98 %; 3.01 of 59 px is 5.1 %; 51 of 1000 px is 5.1 %; 2.9 px is not more than 3 px.
    assert flow_error(found, truth).wrong == 2


def test_only_valid_pixels_count_and_pictures_add_up() -> None:
    truth = field_of([(0, 0), (0, 0), (0, 0)])
    found = field_of([(6, 8), (0, 1), (900, 0)])
    first = flow_error(found, truth, np.array([[True, True, False]]))
    assert first == FlowError(2, 11.0, 1)
    both = first + flow_error(truth, truth)
    assert (both.pixels, both.wrong) == (5, 1)
    assert both.epe_px == pytest.approx(11 / 5)


def test_nothing_to_compare_has_no_figures() -> None:
    field = field_of([(1, 1)])
    nothing = flow_error(field, field, np.array([[False]]))
    assert nothing == FlowError()
    assert np.isnan(nothing.epe_px)
    assert np.isnan(nothing.fl_all)


def test_a_value_that_is_no_number_is_infinitely_wrong() -> None:
    error = flow_error(field_of([(float("nan"), 0), (0, 0)]), field_of([(0, 0), (0, 0)]))
    assert (error.epe_px, error.fl_all) == (float("inf"), 0.5)


def test_grids_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match="field of 2x1 cannot be compared with a truth of 1x1"):
        flow_error(field_of([(0, 0), (0, 0)]), field_of([(0, 0)]))


# --- Files ------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    field = np.random.default_rng(0).normal(0, 20, (5, 7, 2)).astype(np.float32)
    write_flo(tmp_path / "a.flo", field)
    assert (tmp_path / "a.flo").stat().st_size == 12 + 5 * 7 * 8
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), field)


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.flo"
    values = np.array([1.5, -2, 1e10, 0], "<f4")
    path.write_bytes(
        np.array([202021.25], "<f4").tobytes() + np.array([2, 1], "<i4").tobytes() + values.tobytes()
    )
    field = read_flo(path)
    assert field.tolist() == [[[1.5, -2.0], [1e10, 0.0]]]
    assert known(field).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no .flo file: it begins with b''"),
        (b"P6\n512 384\n255\n", "it begins with b'P6"),
        (b"PIEH\x02\x00", "ends in its header"),
        (b"PIEH" + np.array([0, 4], "<i4").tobytes(), "says that it is 0x4"),
        (b"PIEH" + np.array([2, -1], "<i4").tobytes(), "says that it is 2x-1"),
        (b"PIEH" + np.array([2, 2], "<i4").tobytes() + bytes(31), "takes 44 bytes, and has 43"),
        (b"PIEH" + np.array([2, 2], "<i4").tobytes() + bytes(33), "takes 44 bytes, and has 45"),
    ],
)
def test_files_that_are_no_fields_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.flo"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_flo(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.flo' cannot be read: No such file"):
        read_flo(tmp_path / "none.flo")
    with pytest.raises(UsageError, match=r"a field is \(height, width, 2\); given: \(2, 2\)"):
        write_flo(tmp_path / "a.flo", np.zeros((2, 2), np.float32))


# --- Real pairs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "zero_px"), [("chairs_00001", 4.306), ("chairs_00002", 2.113)])
def test_zero_flow_has_the_published_error(name: str, zero_px: float) -> None:
    path = CHAIRS / f"{name}_flow.flo"
    if not path.is_file():
        pytest.skip(f"needs real data: {path} (the project's shared folder beside the repository)")
    truth = read_flo(path)
    assert truth.shape == (384, 512, 2)
    assert known(truth).all()
    assert flow_error(np.zeros_like(truth), truth).epe_px == pytest.approx(zero_px, abs=5e-4)
