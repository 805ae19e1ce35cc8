"""The simulation is worth what it notices: mistakes planted on purpose, and after how many seeds each is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.planted_bugs import BUGS, intent_not_awaited
from tests.support.simulation import Simulation, ViolationError, scenario_of

pytestmark = pytest.mark.no_cover

WITHIN = 400
"""Seeds that a mistake may need to be found, of the thousand that are run."""

SEEN_FROM_WITHIN_ONLY = {"no_cool_down", "not_before_lost"}
"""Waits that are too short break no promise about money: only who knows of the wait can tell."""


def seeds_until_found(within: int = WITHIN, *, looks_inside: bool = True, has_latency: bool = True) -> tuple[int, str] | None:
    """How many seeds it took until a promise was broken, and which."""
    for seed in range(within):
        scenario = scenario_of(seed)
        if not has_latency:
            lives = tuple(replace(life, fail_commit=None) for life in scenario.lives)
            scenario = replace(scenario, commit_s=lambda rng: 0.0, lives=lives)
        try:
            Simulation(scenario, seed, looks_inside=looks_inside).run()
        except ViolationError as error:
            return seed + 1, str(error).partition("\n")[0]
    return None


@pytest.mark.fault("X6")
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    found = seeds_until_found()
    assert found is not None, f"{name} was not noticed in {WITHIN} seeds"
    print(f"{name}: after {found[0]} seeds: {found[1]}")


@pytest.mark.fault("X6")
@pytest.mark.parametrize("name", [name for name in BUGS if name not in SEEN_FROM_WITHIN_ONLY])
def test_a_planted_bug_is_found_from_outside_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its consequences, as the service, the bill, the files and the ledger show them: no look at what is durable when."""
    BUGS[name](monkeypatch)
    found = seeds_until_found(looks_inside=False)
    assert found is not None, f"{name} was not noticed in {WITHIN} seeds"
    print(f"{name}: after {found[0]} seeds: {found[1]}")


@pytest.mark.fault("X6")
def test_without_the_latency_of_the_disk_a_hasty_post_would_go_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is the latency that finds it, and the simulation needs it."""
    intent_not_awaited(monkeypatch)
    assert seeds_until_found(has_latency=True) is not None
    assert seeds_until_found(60, has_latency=False) is None
