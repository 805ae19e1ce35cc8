import json
import os
import sys

import pytest

from batcher.simulator.errors import SimulatorError
from batcher.simulator.journal import Journal
from batcher.simulator.records import Cancellation, Fate, Submission


def submission(ordinal=1, **fields):
    return Submission(
        **{
            "ordinal": ordinal,
            "request_id": f"r{ordinal}",
            "model_id": "a/b",
            "body": {"prompt": "é", "image": {"$blob": "00"}},
            "body_sha256": "f" * 64,
            "owner": "me",
            "accepted_at": 10.0,
            "service_s": 1.5,
            "price_usd": 0.08,
            **fields,
        }
    )


def read(folder):
    journal = Journal(folder)
    try:
        return list(journal.entries())
    finally:
        journal.close()


def test_what_is_written_is_read_again(tmp_path):
    entries = [submission(1), submission(2, fate=Fate.FAILS_B, error={"why": ["so"]}), Cancellation("r1", 11.0)]
    journal = Journal(tmp_path / "state")
    for entry in entries:
        journal.append(entry)
    journal.close()
    journal.close()
    assert read(tmp_path / "state") == entries


@pytest.mark.parametrize("torn", [b"{", b'{"version":1,"entry":"acc', b'{"version":1}', b"x" * 200_000])
def test_a_torn_last_line_is_dropped_and_the_next_entry_is_whole(tmp_path, torn):
    journal = Journal(tmp_path)
    journal.append(submission(1))
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(torn)
    journal = Journal(tmp_path)
    journal.append(submission(2))
    assert list(journal.entries()) == [submission(1), submission(2)]
    journal.close()


def test_a_file_of_one_torn_line_is_an_empty_journal(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(b'{"version"')
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    "line", ["nonsense", "{}", "[]", json.dumps({"version": 2, "entry": "accepted"}), json.dumps({"version": 1, "entry": "eaten"})]
)
def test_a_line_that_is_no_entry_is_refused_with_its_place(tmp_path, line):
    (tmp_path / "journal.jsonl").write_text(line + "\n")
    with pytest.raises(SimulatorError, match=r"journal.jsonl:1: not a line"):
        read(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_two_simulators_cannot_share_a_journal(tmp_path):
    first = Journal(tmp_path)
    with pytest.raises(SimulatorError, match="another simulator"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="cannot hold"):
        Journal(tmp_path / "file" / "state")


def test_a_disk_that_takes_nothing_or_half_is_told_and_leaves_no_half_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.append(submission(1))
    write = os.write

    def half(file, line):
        return write(file, line[: len(line) // 2])

    def none(file, line):
        raise OSError(28, "No space left on device")

    for broken in (half, none):
        monkeypatch.setattr("batcher.simulator.journal.os.write", broken)
        with pytest.raises(SimulatorError, match="cannot be written"):
            journal.append(submission(2))
    monkeypatch.undo()
    journal.append(submission(3))
    assert list(journal.entries()) == [submission(1), submission(3)]
    journal.close()
