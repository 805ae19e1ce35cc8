"""docs/reliability.md says of every fault which test shows it; here that is held against the tests."""

from __future__ import annotations

from tests.support.scoreboard import groups, shown_by

FAULTS = {fault.id: fault for group in groups().values() for fault in group.faults}


def test_every_fault_has_a_test_or_a_reason_why_not() -> None:
    shown = shown_by()
    assert [fault.id for fault in FAULTS.values() if not shown.get(fault.id) and not fault.elsewhere] == []


def test_no_reason_is_left_where_a_test_shows_the_fault() -> None:
    assert [fault for fault in shown_by() if FAULTS[fault].elsewhere] == []


def test_tests_name_no_fault_that_the_scoreboard_does_not_have() -> None:
    assert shown_by().keys() - FAULTS.keys() == set()


def test_the_scoreboard_is_whole() -> None:
    sizes = {"A": 14, "B": 12, "C": 17, "D": 9, "E": 10, "F": 10, "G": 8}
    assert [fault for fault in FAULTS if not fault.startswith("X")] == [f"{letter}{n}" for letter, size in sizes.items() for n in range(1, size + 1)]
