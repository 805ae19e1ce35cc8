from __future__ import annotations

import json
from pathlib import Path

import pytest

from batcher.config import DEFAULT_BASE, Environment, token_file
from batcher.errors import TokenError


def write_token(path: Path, content: object = "filed") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) and content.startswith(("{", "[", "n", " ")) else json.dumps({"access_token": content}))
    return path


def test_the_token_of_the_environment_comes_first(tmp_path: Path) -> None:
    write_token(tmp_path / ".config" / "runcomfy" / "token.json")
    assert Environment.read({"RUNCOMFY_TOKEN": " given \n"}, tmp_path).require_token() == "given"
    assert Environment.read({"RUNCOMFY_TOKEN": "  "}, tmp_path).require_token() == "filed"
    assert Environment.read({}, tmp_path).require_token() == "filed"


def test_the_token_file_is_where_the_official_tool_keeps_it(tmp_path: Path) -> None:
    home = Path("/home/me")
    everything = {"RUNCOMFY_CONFIG_DIR": "/cfg", "XDG_CONFIG_HOME": "/xdg"}
    assert token_file(everything, home) == Path("/cfg/token.json")
    assert token_file({"XDG_CONFIG_HOME": "/xdg", "RUNCOMFY_CONFIG_DIR": ""}, home) == Path("/xdg/runcomfy/token.json")
    assert token_file({"XDG_CONFIG_HOME": ""}, home) == Path("/home/me/.config/runcomfy/token.json")
    write_token(tmp_path / "token.json", "mine")
    assert Environment.read({"RUNCOMFY_CONFIG_DIR": str(tmp_path)}, home).require_token() == "mine"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "does not hold"),
        ("{}", "does not hold"),
        ("[]", "does not hold"),
        ('{"access_token": null}', "does not hold"),
        ('{"access_token": 7}', "does not hold"),
        ('{"access_token": {"a": 1}}', "does not hold"),
        ('{"access_token": "  "}', "holds an empty token"),
        ("[" * 100_000, "does not hold"),
    ],
)
def test_a_token_file_that_is_of_no_use_says_why(tmp_path: Path, content: str, words: str) -> None:
    path = write_token(tmp_path / ".config" / "runcomfy" / "token.json", content)
    environment = Environment.read({}, tmp_path)
    assert environment.token is None
    with pytest.raises(TokenError, match=words) as caught:
        environment.require_token()
    assert str(path) in caught.value.message
    assert "--simulate" in caught.value.remedy
    assert caught.value.exit_code == 77


def test_a_token_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".config" / "runcomfy" / "token.json").mkdir(parents=True)
    assert "cannot be read: Is a directory" in Environment.read({}, tmp_path).token_problem
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / "token.json").write_bytes(b"\xff\xfe\x00")
    assert "does not hold" in Environment.read({"RUNCOMFY_CONFIG_DIR": str(tmp_path / "bytes")}, tmp_path).token_problem


def test_no_token_anywhere(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"RUNCOMFY_TOKEN is not set, and there is no .*token\.json either"):
        Environment.read({}, tmp_path).require_token()
    with pytest.raises(TokenError, match="no token file was found"):
        Environment().require_token()


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(Environment(token="secret"))


@pytest.mark.parametrize(
    ("given", "base"),
    [
        (None, DEFAULT_BASE),
        ("", DEFAULT_BASE),
        ("  ", DEFAULT_BASE),
        ("https://other.example/v1/", "https://other.example/v1"),
        (" http://127.0.0.1:8181/v1 ", "http://127.0.0.1:8181/v1"),
    ],
)
def test_the_base_of_the_service(tmp_path: Path, given: str | None, base: str) -> None:
    environ = {} if given is None else {"RUNCOMFY_MODEL_API_BASE": given}
    assert Environment.read(environ, tmp_path).api_base == base
    assert Environment.read({**environ, "RUNCOMFY_TOKEN": "t"}, tmp_path).api_base == base
