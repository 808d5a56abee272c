from __future__ import annotations

from collections.abc import Callable

import cv2
import pytest

from keywarp.engines.errors import UsageError
from keywarp.pipeline.threads import Shared, ThreadBudget, available_cores


@pytest.mark.parametrize(
    ("total", "engine", "decoder", "encoder"), [(1, 1, 1, 1), (2, 2, 1, 1), (3, 3, 1, 1), (8, 8, 4, 4)]
)
def test_every_part_gets_at_least_one_thread_and_none_more_than_all(
    total: int, engine: int, decoder: int, encoder: int
) -> None:
    budget = ThreadBudget.divide(total)
    assert (budget.engine, budget.decoder, budget.encoder) == (engine, decoder, encoder)


def test_without_a_number_the_budget_is_all_cores() -> None:
    assert ThreadBudget.divide(None).engine == available_cores() >= 1


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="0 threads are not possible"):
        ThreadBudget.divide(0)


def test_opencv_gets_its_share() -> None:
    before = cv2.getNumThreads()
    with ThreadBudget(4, 2, 2, 3).applied_to_opencv():
        assert cv2.getNumThreads() == 3
    assert cv2.getNumThreads() == before


def test_several_models_divide_the_engine_share() -> None:
    assert ThreadBudget.divide(8, models=2).engine == 4
    assert ThreadBudget.divide(2, models=3).engine == 1


def test_a_shared_setting_is_undone_by_the_last_that_leaves() -> None:
    events: list[str] = []

    def make() -> Callable[[], None]:
        events.append("made")
        return lambda: events.append("undone")

    setting = Shared(make)
    with setting.held():
        first, second = setting.held(), setting.held()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert events == ["made"]
    assert events == ["made", "undone"]
