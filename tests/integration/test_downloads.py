import asyncio
import dataclasses
import errno
import hashlib
import socket
import threading

import pytest
from aiohttp.abc import AbstractResolver
from yarl import URL

from batcher.downloads import DownloadLimits, HttpFetcher
from batcher.errors import DownloadError, DownloadErrorKind, OutputError
from batcher.hosts import TrustedHosts, open_download_session
from batcher.model import Artifact
from batcher.storage import LocalStorage
from tests.support import sample_bytes as sample
from tests.support.file_server import (
    FileServer,
    answer,
    chunked,
    dripping,
    endless,
    gzipped,
    raw,
    redirect,
    stalling,
    unannounced,
)

PNG = sample.picture("PNG")
JPEG = sample.picture("JPEG", 256, 256)
TRANSIENT, EXPIRED, UNUSABLE = DownloadErrorKind.TRANSIENT, DownloadErrorKind.EXPIRED, DownloadErrorKind.UNUSABLE
LOOPBACK = TrustedHosts(loopback=True)


class Names(AbstractResolver):
    """A name server of the test's own: each look-up of a name takes the next of its answers, the last for ever."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(addresses) for name, addresses in answers.items()}
        self.asked = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        self.asked.append(host)
        answers = self.answers.get(host)
        if not answers:
            raise OSError(errno.ENOENT, "no such name")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {"hostname": host, "host": address, "port": port, "family": socket.AF_INET6 if ":" in address else socket.AF_INET, "proto": 0, "flags": 0}
            for address in found
        ]

    async def close(self):
        pass


@pytest.fixture
async def server():
    async with FileServer() as server:
        yield server


@pytest.fixture
async def fetcher_of(tmp_path):
    sessions = []

    def make(hosts=LOOPBACK, resolver=None, read_timeout_s=5.0, connect_timeout_s=5.0, **limits):
        session = open_download_session(
            hosts, resolver=resolver, read_timeout_s=read_timeout_s, connect_timeout_s=connect_timeout_s, user_agent="batcher/1"
        )
        sessions.append(session)
        return HttpFetcher(session, LocalStorage(tmp_path), hosts, DownloadLimits(**limits), now=lambda: 1_000_000_000.0)

    yield make
    for session in sessions:
        await session.close()


@pytest.fixture
def files(tmp_path):
    return lambda: {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}


async def fails(fetcher, url, kind, words="."):
    with pytest.raises(DownloadError, match=words) as caught:
        await fetcher.fetch(url, "mug")
    assert caught.value.kind is kind, caught.value
    return caught.value


async def test_a_file_is_saved_under_the_extension_of_its_bytes(server, fetcher_of, files, tmp_path):
    url = server.route("/x.jpg", answer(PNG, headers={"Content-Type": "image/webp"}))
    artifact = await fetcher_of().fetch(url, "shoes/mug-2")
    assert artifact == Artifact("results/shoes/mug-2.png", hashlib.sha256(PNG).hexdigest(), len(PNG), "image/png", 48, 32)
    assert (tmp_path / artifact.path).read_bytes() == PNG
    assert files() == {artifact.path}


@pytest.mark.parametrize("reply", [answer, chunked, unannounced])
@pytest.mark.parametrize(
    "data", [PNG, sample.picture("PNG", 700, 600), sample.mp4(media=1_500_000), sample.webm()], ids=["small", "large", "film", "webm"]
)
async def test_however_it_is_sent_it_arrives_as_it_was(server, fetcher_of, tmp_path, reply, data):
    artifact = await fetcher_of().fetch(server.route("/file", reply(data)), "mug")
    assert (tmp_path / artifact.path).read_bytes() == data
    assert (artifact.size_bytes, artifact.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.fault("D9", "C15")
async def test_nothing_is_told_to_the_server_but_the_name_of_the_program(server, fetcher_of, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    url = server.route("/a", answer(PNG, headers={"Set-Cookie": "session=1; Path=/"}))
    fetcher = fetcher_of()
    await fetcher.fetch(url, "a")
    await fetcher.fetch(url, "b")
    assert server.connections == 1
    for request in server.received:
        headers = {name.lower(): value for name, value in request.headers}
        assert headers.pop("host") == f"127.0.0.1:{server.port}"
        assert headers == {"user-agent": "batcher/1", "accept": "*/*", "accept-encoding": "identity"}


async def test_a_signed_link_is_requested_exactly_as_it_was_given(server, fetcher_of):
    server.route("/%7Ea/b%21", answer(PNG))
    server.route("/with%20space", answer(PNG))
    fetcher = fetcher_of()
    await fetcher.fetch(server.url("/%7Ea/b%21?Signature=a%2Bb%21~c+d&x=%7e"), "a")
    await fetcher.fetch(server.url("/with space"), "b")
    assert [request.target for request in server.received] == ["/%7Ea/b%21?Signature=a%2Bb%21~c+d&x=%7e", "/with%20space"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(PNG[:2000], announced=len(PNG)), "broke off"),
        (answer(JPEG + bytes(100), announced=len(JPEG) - 50), "not proper HTTP|cut short"),
        (answer(sample.picture("PNG", 700, 600), announced=400_000), "cut short"),
        (unannounced(PNG[:2000]), "cut short"),
        (unannounced(JPEG[:9000]), "cut short"),
        (unannounced(sample.mp4()[:-1]), "cut short"),
        (chunked(PNG, finished=False), "broke off"),
        (answer(b""), "is empty"),
        (unannounced(b""), "is empty"),
        (unannounced(PNG[:7]), "only 7 bytes"),
        (raw(b""), "broke off"),
        (raw(b"hello, this is not HTTP\r\n\r\n"), "not proper HTTP"),
        (answer(PNG, headers={"Content-Length": "12x"}), "not proper HTTP"),
        (answer(b"", 204), "answered 204"),
        (answer(PNG[:10], 206), "answered 206"),
    ],
)
@pytest.mark.fault("E1", "E4")
async def test_a_body_that_is_not_whole_is_tried_again_and_never_saved(server, fetcher_of, files, reply, words):
    await fails(fetcher_of(), server.route("/file", reply), TRANSIENT, words)
    assert files() == set()


async def test_after_a_broken_body_the_next_try_succeeds(server, fetcher_of, files):
    url = server.route("/file", answer(PNG[:99], announced=len(PNG)), answer(b"no", 503), answer(PNG))
    fetcher = fetcher_of()
    await fails(fetcher, url, TRANSIENT)
    await fails(fetcher, url, TRANSIENT)
    assert (await fetcher.fetch(url, "mug")).width == 48
    assert files() == {"results/mug.png"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(code, EXPIRED) for code in (401, 403, 404, 410)]
    + [(code, TRANSIENT) for code in (408, 425, 429, 500, 502, 503, 504, 599, 202)]
    + [(code, UNUSABLE) for code in (300, 304, 400, 402, 405, 416, 451)],
)
@pytest.mark.fault("E8")
async def test_each_status_has_its_meaning(server, fetcher_of, files, status, kind):
    reply = answer(b"" if status == 304 else b"the reason \x1b[31mwhy\n", status)
    error = await fails(fetcher_of(), server.route("/file", reply), kind, f"answered {status}" + ("" if status == 304 else ": the reason"))
    assert "\x1b" not in str(error)
    assert files() == set()


@pytest.mark.fault("E8")
async def test_a_store_that_calls_an_expired_link_a_bad_request_is_understood(server, fetcher_of):
    await fails(fetcher_of(), server.route("/file", answer(b"<Code>ExpiredToken</Code>", 400)), EXPIRED)


@pytest.mark.parametrize("reply", [answer(b"", 404, announced=500), answer(b"\x1f\x8b", 404, headers={"Content-Encoding": "gzip"})])
async def test_an_unreadable_error_page_does_not_hide_the_status(server, fetcher_of, reply):
    await fails(fetcher_of(), server.route("/file", reply), EXPIRED, r"answered 404\.")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Sun, 09 Sep 2001 01:47:00 GMT", 20.0), ("-5", 0.0), ("999999999", 3600.0), ("soon", None), (None, None)],
)
@pytest.mark.fault("C8")
async def test_the_advice_when_to_come_back_is_passed_on(server, fetcher_of, header, seconds):
    url = server.route("/file", answer(b"", 429, headers={"Retry-After": header} if header else {}))
    assert (await fails(fetcher_of(), url, TRANSIENT)).retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "quote", "kind"),
    [
        (sample.page("Please wait " * 80), "<!DOCTYPE html>", TRANSIENT),
        (b'{"error": {"code": "not \x1b]0;ready"}}', '"error"', UNUSABLE),
        (bytes(600), "", UNUSABLE),
    ],
)
@pytest.mark.fault("E5")
async def test_what_is_no_media_is_refused_and_quoted(server, fetcher_of, files, body, quote, kind):
    error = await fails(fetcher_of(), server.route("/file.png", answer(body, headers={"Content-Type": "image/png"})), kind, "not an image")
    assert quote in error.message
    assert error.message.isprintable()
    assert len(error.message) < 400
    assert files() == set()


@pytest.mark.fault("E4")
async def test_an_endless_page_is_left_at_its_beginning_and_an_endless_file_at_the_limit(server, fetcher_of, files):
    fetcher = fetcher_of(max_bytes=300_000)
    await fails(fetcher, server.route("/page", endless(sample.page() * 10)), TRANSIENT, "not an image")
    await fails(fetcher, server.route("/film", endless(sample.mp4())), UNUSABLE, "larger than the limit of 300,000")
    assert files() == set()


@pytest.mark.fault("E4")
async def test_a_file_announced_over_the_limit_is_not_begun(server, fetcher_of):
    url = server.route("/film", stalling(b"", announced=3 * 1024**3))
    await fails(fetcher_of(), url, UNUSABLE, "announces 3,221,225,472 bytes")


@pytest.mark.fault("E2")
async def test_a_compressed_body_is_refused(server, fetcher_of, files):
    await fails(fetcher_of(), server.route("/file", gzipped(PNG)), UNUSABLE, "encoded as gzip")
    assert files() == set()


@pytest.mark.fault("E3")
async def test_silence_ends_a_download(server, fetcher_of, files):
    url = server.route("/file", stalling(PNG[:900]))
    await fails(fetcher_of(read_timeout_s=0.05), url, TRANSIENT, "fell silent")
    assert files() == set()


@pytest.mark.fault("E3")
async def test_the_deadline_ends_a_download_however_steadily_it_drips(server, fetcher_of, files):
    url = server.route("/file", dripping(PNG[:900]))
    await fails(fetcher_of(timeout_s=0.08, min_bytes_per_s=0), url, TRANSIENT, "did not end within 0.08 s")
    assert files() == set()


@pytest.mark.fault("E3")
async def test_a_trickle_is_given_up_long_before_the_deadline(server, fetcher_of, files):
    url = server.route("/file", dripping(b"", every_s=0.005))
    await fails(fetcher_of(slow_after_s=0.05, min_bytes_per_s=10_000), url, TRANSIENT, "too slowly")
    assert files() == set()


async def test_a_slow_but_sufficient_transfer_goes_on(server, fetcher_of):
    url = server.route("/file", dripping(sample.mp4()[:600], every_s=0.002))
    await fails(fetcher_of(slow_after_s=0.02, min_bytes_per_s=1, timeout_s=0.15), url, TRANSIENT, "did not end")


async def test_what_cannot_be_connected_to_is_tried_again(fetcher_of, files):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        await fails(fetcher_of(), f"http://127.0.0.1:{closed.getsockname()[1]}/a", TRANSIENT, "broke off")
    await fails(fetcher_of(resolver=Names()), "https://gone.runcomfy.net/a", TRANSIENT, "cannot be resolved")
    assert files() == set()


async def test_a_handshake_that_does_not_end_is_given_up_and_tried_again(server, fetcher_of):
    url = f"https://127.0.0.1:{server.port}/a"
    await fails(fetcher_of(connect_timeout_s=0.05), url, TRANSIENT, "no connection could be opened in time")
    assert server.received == []


# -- redirects


async def test_redirects_are_followed_to_trusted_hosts(server, fetcher_of):
    server.route("/c", answer(PNG))
    server.route("/b", redirect("c?x=%2B", 308))
    url = server.route("/a", redirect(server.url("/b", "localhost"), 301))
    assert (await fetcher_of().fetch(url, "mug")).path == "results/mug.png"
    assert [request.target for request in server.received] == ["/a", "/b", "/c?x=%2B"]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://evil.example/x", "not a host of the service"),
        ("http://169.254.169.254/latest/meta-data", "not a host of the service"),
        ("http://10.0.0.1/", "not a host of the service"),
        ("http://[::2%25lo]/", "not a host of the service"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://127.0.0.1/", "only http and https"),
        ("//evil.example/x", "not a host of the service"),
        ("http://me:pw@127.0.0.1/", "user name"),
        ("http://127.0.0.1\\@evil.example/", "not a link"),
        ("http://127.0.0.1:99999/", "not a link"),
        ("", "not a link"),
    ],
)
@pytest.mark.fault("E7", "X17")
async def test_a_redirect_elsewhere_is_not_followed(server, fetcher_of, files, location, words):
    await fails(fetcher_of(), server.route("/a", redirect(location)), UNUSABLE, words)
    assert len(server.received) == 1
    assert files() == set()


@pytest.mark.fault("E7")
async def test_a_circle_of_redirects_ends(server, fetcher_of):
    await fails(fetcher_of(), server.route("/a", redirect("/a")), UNUSABLE, "more than 5 times")
    assert len(server.received) == 6


@pytest.mark.fault("E7")
async def test_a_redirect_from_https_to_http_is_not_followed(fetcher_of):
    with pytest.raises(DownloadError, match="from https to http"):
        fetcher_of()._next_hop(URL("https://x.runcomfy.net/a"), "http://127.0.0.1/a")


# -- where a name leads to


INSIDE = """
    127.0.0.1 10.1.2.3 192.168.1.1 172.16.0.1 169.254.169.254 100.64.0.1 100.100.100.200 168.63.129.16 0.0.0.0 224.0.0.1 255.255.255.255
    ::1 :: fe80::1 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2001:db8::1
"""


@pytest.mark.parametrize("address", INSIDE.split())
@pytest.mark.fault("E7")
async def test_a_trusted_name_that_leads_inside_is_not_connected_to(server, fetcher_of, files, address):
    names = Names(files_runcomfy_net=[[address]])
    error = await fails(fetcher_of(resolver=names), "https://files.runcomfy.net/a", UNUSABLE, f"leads to {address}")
    assert "--allow-host files.runcomfy.net" in error.remedy
    assert server.connections == 0
    assert files() == set()


@pytest.mark.fault("E7")
async def test_of_several_addresses_only_the_public_ones_are_tried(fetcher_of, monkeypatch):
    names = Names(files_runcomfy_net=[["127.0.0.1", "192.0.2.1", "8.8.8.8"]])
    tried = []

    async def connect(*args, addr_infos, **options):
        tried.extend(info[4][0] for info in addr_infos)
        raise OSError(errno.ENETUNREACH, "unreachable")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    await fails(fetcher_of(resolver=names), "https://files.runcomfy.net/a", TRANSIENT)
    assert tried == ["8.8.8.8"]


@pytest.mark.fault("E7")
async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server, fetcher_of):
    names = Names(files_runcomfy_net=[["127.0.0.1"], ["127.0.0.1"]], lo_localhost=[["127.0.0.1"], ["10.0.0.1"]])
    fetcher = fetcher_of(resolver=names)
    await fetcher.fetch(server.route("/a", answer(PNG)).replace("127.0.0.1", "lo.localhost"), "mug")
    await fails(fetcher, "https://files.runcomfy.net/a", UNUSABLE)
    assert names.asked == ["lo.localhost", "files.runcomfy.net"]


@pytest.mark.fault("E7")
async def test_an_allowed_host_may_be_inside_but_never_where_secrets_are_told(server, fetcher_of, files):
    hosts = TrustedHosts(allow=("minio.internal", "*.lan"))
    names = Names(minio_internal=[["127.0.0.1"]], bad_lan=[["169.254.169.254"]])
    fetcher = fetcher_of(hosts, names)
    server.route("/a", answer(PNG))
    assert (await fetcher.fetch(server.url("/a", "minio.internal"), "mug")).width == 48
    await fails(fetcher, "http://bad.lan/latest", UNUSABLE, r"leads to 169\.254\.169\.254")
    await fails(fetcher, server.url("/a"), UNUSABLE, "not a host of the service")


async def test_a_name_for_loopback_must_lead_to_loopback(fetcher_of):
    await fails(fetcher_of(resolver=Names(localhost=[["10.0.0.1"]])), "http://localhost:1/a", UNUSABLE, r"leads to 10\.0\.0\.1")


@pytest.mark.fault("C15")
async def test_a_proxy_is_used_where_one_is_given_and_may_be_inside(server, tmp_path):
    hosts = TrustedHosts(allow=("files.example",))
    server.route("http://files.example/a", answer(PNG))
    names = Names(proxy_lan=[["127.0.0.1"]])
    proxy = URL(f"http://proxy.lan:{server.port}")
    async with open_download_session(hosts, proxy_hosts=["proxy.lan"], resolver=names) as session:
        fetcher = HttpFetcher(session, LocalStorage(tmp_path), hosts, proxy_for=lambda url: proxy if url.host == "files.example" else None)
        artifact = await fetcher.fetch("http://files.example/a", "mug")
        with pytest.raises(DownloadError, match="not a host of the service"):
            await fetcher.fetch("http://proxy.lan/a", "mug")
    assert artifact.width == 48
    assert names.asked == ["proxy.lan"]


# -- links that are refused, and what is said of links


@pytest.mark.fault("E7")
async def test_a_refused_link_costs_no_request_and_no_file(server, fetcher_of, files):
    hosts = dataclasses.replace(LOOPBACK, loopback=False)
    error = await fails(fetcher_of(hosts), server.url("/a?signature=secret"), UNUSABLE)
    assert "--allow-host 127.0.0.1" in error.remedy
    assert server.connections == 0
    assert files() == set()


@pytest.mark.parametrize("reply", [answer(b"", 404), raw(b"nonsense\r\n\r\n"), stalling(PNG[:9]), redirect("/a?s=secret"), answer(b"x" * 99)])
async def test_messages_never_show_the_signature_of_a_link(server, fetcher_of, reply):
    url = server.route("/a", reply) + "?X-Signature=secret"
    with pytest.raises(DownloadError) as caught:
        await fetcher_of(read_timeout_s=0.03).fetch(url, "mug")
    assert "secret" not in str(caught.value)


# -- endings


@pytest.mark.parametrize("moment", ["connecting", "receiving", "inspecting", "publishing"])
async def test_cancelled_at_any_moment_nothing_is_left_but_a_whole_file(server, fetcher_of, files, monkeypatch, moment):
    reached, go = threading.Event(), threading.Event()

    def hold(*args, **options):
        reached.set()
        go.wait(5)
        raise OSError(errno.EIO, "held")

    replies = {"connecting": stalling(b""), "receiving": stalling(PNG[:900])}
    url = server.route("/file", replies.get(moment, answer(PNG)))
    if moment == "inspecting":
        monkeypatch.setattr("batcher.downloads.inspect", hold)
    elif moment == "publishing":
        monkeypatch.setattr("batcher.storage.os.fsync", hold)
    task = asyncio.get_running_loop().create_task(fetcher_of().fetch(url, "mug"))
    if moment in replies:
        while not server.received:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
    else:
        await asyncio.to_thread(reached.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files() == set()


async def test_a_full_disk_is_the_disks_fault_and_not_the_links(server, fetcher_of, files, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    url = server.route("/file", answer(PNG))
    with monkeypatch.context() as broken:
        broken.setattr("batcher.storage._sync", full)
        with pytest.raises(OutputError, match="Free some space"):
            await fetcher_of().fetch(url, "mug")
    assert files() == set()
    assert (await fetcher_of().fetch(url, "mug")).width == 48


async def test_a_file_that_cannot_be_read_back_is_the_disks_fault(server, fetcher_of, files, monkeypatch):
    def unreadable(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("batcher.downloads.inspect", unreadable)
    large = PNG + bytes(300_000)  # what is small is not read back
    with pytest.raises(OutputError, match="cannot be read back"):
        await fetcher_of().fetch(server.route("/file", answer(large)), "mug")
    assert files() == set()


async def test_many_files_at_once_each_arrive_whole(server, fetcher_of, files):
    fetcher = fetcher_of()
    pictures = {f"/{n}": sample.picture("PNG", seed=n + 1) for n in range(20)}
    artifacts = await asyncio.gather(*(fetcher.fetch(server.route(path, answer(data)), path[1:]) for path, data in pictures.items()))
    assert [artifact.sha256 for artifact in artifacts] == [hashlib.sha256(data).hexdigest() for data in pictures.values()]
    assert files() == {f"results/{n}.png" for n in range(20)}


async def test_fetching_again_is_safe_and_other_bytes_keep_the_first_beside(server, fetcher_of, files):
    url = server.route("/file", answer(PNG), answer(PNG), answer(sample.picture("PNG", seed=9)))
    fetcher = fetcher_of()
    for _ in range(3):
        await fetcher.fetch(url, "mug")
    assert files() == {"results/mug.png", f"results/earlier/mug.{hashlib.sha256(PNG).hexdigest()[:8]}.png"}
