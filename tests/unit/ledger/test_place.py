from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from batcher.ledger.place import is_another, place_of

pytestmark = pytest.mark.fault("X10")

HERE: dict[str, Any] = {"host": "desk", "machine": "m1", "path": "/out", "inodes": [7, 8]}


@pytest.mark.parametrize(
    ("then", "on_network", "another"),
    [
        (HERE, False, False),
        ({**HERE, "path": "/renamed"}, False, False),
        ({**HERE, "inodes": [9, 8]}, False, True),
        ({**HERE, "machine": "m2", "host": "lap"}, False, True),
        ({**HERE, "machine": None, "host": "container-2"}, False, False),
        ({**HERE, "machine": None, "host": "container-2"}, True, True),
        ({**HERE, "host": "desk"}, True, False),
        ({"host": "desk"}, False, False),
        ({"host": "lap"}, False, True),
    ],
    ids=["same", "renamed", "copied", "other machine", "new container", "other host on a share", "same host on a share", "0.1.0", "0.1.0 elsewhere"],
)
def test_a_copy_is_told_from_the_same_file_under_another_name(then: dict[str, Any], on_network: bool, another: bool) -> None:
    assert is_another(then, HERE, on_network=on_network) is another


def test_a_machine_that_does_not_tell_which_it_is_may_be_the_same() -> None:
    assert not is_another(HERE, {**HERE, "machine": None, "host": "container"}, on_network=False)


def test_a_file_that_is_renamed_stays_where_it_is_and_a_copy_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ledger.db").write_bytes(b"x")
    (tmp_path / "machine").write_text("m1\n")
    before = place_of(tmp_path / "a" / "ledger.db", tmp_path / "machine")
    inodes = [path.stat().st_ino for path in (tmp_path / "a" / "ledger.db", tmp_path / "a")]
    assert before == {"host": socket.gethostname(), "machine": "m1", "path": str((tmp_path / "a").resolve()), "inodes": inodes}
    assert place_of(tmp_path / "a" / "ledger.db", tmp_path / "missing")["machine"] is None
    (tmp_path / "a").rename(tmp_path / "b")
    assert not is_another(before, place_of(tmp_path / "b" / "ledger.db", tmp_path / "machine"), on_network=False)
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert is_another(before, place_of(tmp_path / "c" / "ledger.db", tmp_path / "machine"), on_network=False)
