"""Which connections a process opens, which names it looks up and which programs it starts, as the system sees it and as Python does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from yarl import URL

from tests.support.command import AT_STARTUP, SAMPLES, Service, environment, report
from tests.support.preloaded import batcher, service

pytestmark = [pytest.mark.acceptance, pytest.mark.fault("X21")]

AUDIT = "socket.connect,socket.getaddrinfo,socket.gethostby,socket.sendto,socket.sendmsg,subprocess,os.exec,os.fork,os.posix_spawn,os.spawn,os.system"
LOOKUPS = ("/etc/", "/run/systemd", "/var/run/nscd")
"""Local sockets that the system's own library asks for names of hosts and users."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), "--latency-s", 0.05, "--art", "plain") as running:
        yield running


def rows(home: Path) -> Path:
    path = home / "rows.csv"
    path.write_text("id,prompt\n" + "".join(f"row{n},thing {n}\n" for n in range(3)), "utf-8")
    return path


def audited(home: Path, *arguments: object, env: dict[str, str], asyncio_only: bool = False) -> list[str]:
    """What Python did with the network and with other programs. uvloop looks names up by itself, so that it can be left out."""
    seen = home / "seen"
    seen.unlink(missing_ok=True)
    more = {"PYTHONPATH": AT_STARTUP, "AUDIT_TO": str(seen), "AUDIT": AUDIT, **({"WITHOUT": "uvloop"} if asyncio_only else {})}
    ended = batcher(*arguments, home=home, env={**env, **more})
    assert ended.returncode == 0, ended.stderr
    return seen.read_text("utf-8").splitlines()


def test_a_batch_speaks_with_the_service_and_with_nobody_else(tmp_path: Path, simulated: Service) -> None:
    command = ("run", rows(tmp_path), "--job", "text_to_image", "--out", tmp_path / "out")
    seen = audited(tmp_path, *command, env=simulated.env, asyncio_only=True)
    address = ("127.0.0.1", URL(simulated.base).port)
    assert report(tmp_path / "out")["counts"]["done"] == 3
    assert sum(line.startswith("socket.connect") for line in seen) >= 2
    assert [line for line in seen if str(address) not in line and not line.startswith(f"socket.getaddrinfo ('127.0.0.1', {address[1]},")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("plan", SAMPLES / "quickstart.yaml"),
        ("init", "new.yaml"),
        ("status", "out"),
        ("report", "out"),
        ("plan", SAMPLES / "products.csv", "--job", "background_replacement", "--out", "elsewhere"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_need_no_service_speak_with_nobody(tmp_path: Path, batch: Path, arguments: tuple[object, ...]) -> None:
    shutil.copytree(batch, tmp_path / "out")
    assert audited(tmp_path, *arguments, env={}) == []


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, simulated: Service) -> Path:
    home = tmp_path_factory.mktemp("batch")
    ended = batcher("run", rows(home), "--job", "text_to_image", "--out", home / "out", home=home, env=simulated.env)
    assert ended.returncode == 0, ended.stderr
    return home / "out"


def test_the_catalog_is_asked_for_where_it_is(tmp_path: Path, simulated: Service) -> None:
    port = URL(simulated.base).port
    assert {line for line in audited(tmp_path, "models", env=simulated.env) if f"('127.0.0.1', {port})" not in line} == set()


def test_importing_opens_nothing(tmp_path: Path) -> None:
    code = "import pkgutil, batcher, jobs\n" + "\n".join(
        f"for found in pkgutil.walk_packages({package}.__path__, '{package}.'): found.name.endswith('__main__') or __import__(found.name)"
        for package in ("batcher", "jobs")
    )
    seen = tmp_path / "seen"
    env = environment(tmp_path, PYTHONPATH=AT_STARTUP, AUDIT_TO=str(seen), AUDIT=f"{AUDIT},socket.bind,socket.__new__")
    ended = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert seen.read_text("utf-8") == ""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_sees_no_other_connection_either(tmp_path: Path, simulated: Service) -> None:
    """What Python cannot see, such as what a library in C does."""
    trace = tmp_path / "trace"
    tracing = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,execve", "-e", "signal=none", "-s", "200", "-o", trace]
    run = [sys.executable, "-m", "batcher", "run", rows(tmp_path), "--job", "text_to_image", "--out", tmp_path / "out"]
    ended = subprocess.run(
        [*tracing, *run],
        env=environment(tmp_path, **simulated.env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stderr
    calls = trace.read_text("utf-8", "replace").splitlines()
    connected = {match[1] for line in calls if (match := re.search(r"connect\(\d+, \{(.*?)\}, \d+\)", line))}
    port = URL(simulated.base).port
    assert f'sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("127.0.0.1")' in connected
    assert [to for to in connected if f"htons({port})" not in to and not any(f'sun_path="{path}' in to for path in LOOKUPS)] == []
    assert not [line for line in calls if re.search(r"send(to|msg)\(\d+, .*sa_family=AF_INET", line)]
    assert sum("execve(" in line and "= 0" in line for line in calls) == 1
