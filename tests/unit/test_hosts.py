from ipaddress import ip_address

import pytest

from batcher.errors import DownloadError, DownloadErrorKind, UsageError
from batcher.hosts import Reach, TrustedHosts


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
@pytest.mark.fault("E7")
def test_public_addresses_are_admitted(address):
    assert Reach.PUBLIC.admits(ip_address(address))


@pytest.mark.parametrize(
    "link",
    [
        "https://playgrounds-storage-public.runcomfy.net/tools/7007/a.png?sig=%2B",
        "https://a.b.runcomfy.com/x",
        "HTTPS://Files.RunComfy.NET:443/x",
        "https://files.runcomfy.net./x",
    ],
)
def test_hosts_of_the_service_are_trusted_over_https(link):
    assert TrustedHosts().check(link).scheme == "https"


@pytest.mark.parametrize(
    "link",
    [
        "https://evilruncomfy.net/x",
        "https://runcomfy.net.evil.example/x",
        "https://runcomfy.net",
        "http://files.runcomfy.net/x",
        "https://files.runcomfy.net:8443/x",
        "https://files.runcomfy.net@evil.example/x",
        "https://user@files.runcomfy.net/x",
        "https://user:pw@files.runcomfy.net/x",
        "https://evil.example\\.runcomfy.net/x",
        "https://evil.example/\\.runcomfy.net",
        "https://evil.example#.runcomfy.net",
        "https://evil.example?.runcomfy.net",
        "https://evil.example;.runcomfy.net/x",
        "https://evil.example%2f.runcomfy.net/x",
        "https://a..runcomfy.net/x",
        "https://.runcomfy.net/x",
        "https://files.runcomfy.net\n.evil.example/x",
        "https://files.runcomfy.net/a\tb",
        "https://files.runcomfy.net/\x1b[31m",
        "https://files.runcomfy.net:99999/",
        "ftp://files.runcomfy.net/x",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "//files.runcomfy.net/x",
        "files.runcomfy.net/x",
        "https:files.runcomfy.net",
        "https:///x",
        "",
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://2130706433/x",
        "http://127.1/x",
        "https://[::ffff:127.0.0.1]/x",
    ],
)
@pytest.mark.fault("X17", "E7")
def test_any_other_link_is_refused(link):
    with pytest.raises(DownloadError) as caught:
        TrustedHosts().check(link)
    assert caught.value.kind is DownloadErrorKind.UNUSABLE
    assert caught.value.message.isprintable()


def test_loopback_is_trusted_only_beside_an_api_on_loopback():
    near, far = TrustedHosts.beside("http://127.0.0.1:8188/v1"), TrustedHosts.beside("https://model-api.runcomfy.net/v1", ["files.example"])
    assert near.loopback
    assert TrustedHosts.beside("http://[::1]:1").loopback
    assert TrustedHosts.beside("http://localhost:1").loopback
    assert far == TrustedHosts(loopback=False, allow=("files.example",))
    for link in ("http://127.0.0.1:8188/x", "https://localhost/x", "http://[::1]:9/x", "http://127.8.8.8/x", "http://sim.localhost:1/x"):
        assert near.check(link).raw_host
    for link in ("http://0.0.0.0/x", "http://10.0.0.1/x", "http://localhost.evil.example/x", "http://2130706433/x", "http://evil..localhost/"):
        with pytest.raises(DownloadError):
            near.check(link)


def test_allowed_hosts_are_matched_whole_and_subdomains_by_a_star():
    hosts = TrustedHosts(allow=(" Files.Example. ", "*.cdn.example", "10.0.0.5", "[fd00::5]", "bücher.example"))
    for link in (
        "http://files.example:9000/x",
        "https://a.b.cdn.example/x",
        "http://10.0.0.5/x",
        "http://[fd00:0::5]:1/x",
        "https://xn--bcher-kva.example/x",
    ):
        assert hosts.check(link).raw_host
    for link in ("https://x.files.example/", "https://cdn.example/", "https://evilcdn.example/", "http://10.0.0.6/", "http://[fd00::6]/"):
        with pytest.raises(DownloadError):
            hosts.check(link)


NO_HOSTS = ["", "*", "*.", "https://files.example", "files.example/x", "a b", "files.example:80", "*.*.example", "user@files.example", "-x"]


@pytest.mark.parametrize("entry", NO_HOSTS)
def test_an_entry_that_is_no_host_is_a_usage_error(entry):
    with pytest.raises(UsageError, match=r"files\.example\.com"):
        TrustedHosts(allow=(entry,))
