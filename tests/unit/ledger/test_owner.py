from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from batcher.errors import OutputError
from batcher.ledger import Owner

pytestmark = pytest.mark.fault("A11")

HOLD = """
import sys, time
from pathlib import Path
from batcher.ledger import Owner
owner = Owner(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_has_one_owner_and_the_next_is_told_who(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(OutputError) as caught:
        Owner(tmp_path)
    assert f"process {other.pid} on {socket.gethostname()}, since 20" in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "--out" in caught.value.remedy
    assert caught.value.exit_code == 73


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_dead_owner_is_taken_over_without_asking(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with Owner(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()} "):
        Owner(tmp_path)


def test_the_lock_is_the_owners_alone_and_is_never_somebody_elses_file(tmp_path: Path) -> None:
    with Owner(tmp_path):
        assert (tmp_path / "owner.lock").stat().st_mode & 0o777 == 0o600
    (tmp_path / "owner.lock").unlink()
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / "owner.lock").symlink_to("precious")
    with pytest.raises(OutputError, match=r"owner\.lock: cannot be written"):
        Owner(tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"x"


def test_a_disk_that_takes_nothing_keeps_nobody_from_owning_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "write", MagicMock(side_effect=OSError(errno.ENOSPC, "full")))
        owner = Owner(tmp_path)
    with owner, pytest.raises(OutputError, match="another process holds it"):
        Owner(tmp_path)


def test_the_next_owner_hears_whether_the_last_closed_the_ledger(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        assert not owner.found_closed
        owner.close()
        with pytest.raises(OutputError, match=f"process {os.getpid()} "):
            Owner(tmp_path)
    with Owner(tmp_path) as owner:
        assert owner.found_closed
    with Owner(tmp_path) as owner:
        assert not owner.found_closed, "that one was not closed"


def test_a_folder_that_was_let_go_can_be_taken(tmp_path: Path) -> None:
    with Owner(tmp_path), pytest.raises(OutputError, match="is in use"):
        Owner(tmp_path)
    owner = Owner(tmp_path)
    owner.release()
    Owner(tmp_path).release()


def test_an_owner_that_does_not_say_who_it_is(tmp_path: Path) -> None:
    with Owner(tmp_path):
        for content in ("", "{}", "[1]", "no json", '{"pid": 1}'):
            (tmp_path / Owner.FILE).write_text(content)
            with pytest.raises(OutputError, match="another process holds it"):
                Owner(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"owner\.lock: cannot be written: No such file"):
        Owner(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Owner(tmp_path / "file")


def test_what_an_earlier_owner_wrote_is_gone_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / Owner.FILE
    with Owner(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("x" * 1000)
    with Owner(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()} on "):
        Owner(tmp_path)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed there")
def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / Owner.FILE).symlink_to(target)
    with pytest.raises(OutputError, match="cannot be written"):
        Owner(tmp_path / "out")
    assert target.read_text() == "mine"
