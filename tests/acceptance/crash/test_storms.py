"""Batches killed at random until they end: at named points, at the n-th point of any name, and after random times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chaos import TROUBLE, Lab, open_lab, storms, temporary_home

pytestmark = [pytest.mark.acceptance, pytest.mark.no_cover, pytest.mark.fault("A1", "A2", "X1", "X2", "G8")]

KILLS = 45
"""In each storm; three of them and the kills of the neighbouring modules are well over two hundred."""


@pytest.fixture(scope="module")
def calm() -> Iterator[Lab]:
    with temporary_home() as home, open_lab(home) as lab:
        yield lab


@pytest.fixture(scope="module")
def troubled() -> Iterator[Lab]:
    with temporary_home() as home, open_lab(home, *TROUBLE) as lab:
        yield lab


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_alone(calm: Lab, seed: int) -> None:
    figures = storms(calm, seed, KILLS, rows=8)
    assert figures.kills >= KILLS
    assert figures.done > 0
    assert (figures.paid_twice, figures.lost, figures.damaged, figures.hangs) == (0, 0, 0, 0)


def test_kills_and_a_service_on_a_bad_day(troubled: Lab) -> None:
    figures = storms(troubled, 3, KILLS, rows=8, may_lose_answers=True)
    assert figures.kills >= KILLS
    assert figures.done > 0
    assert (figures.paid_twice, figures.lost, figures.damaged, figures.hangs) == (0, 0, 0, 0)
