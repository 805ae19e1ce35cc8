"""Who may ask for what: every request passes here first.

On loopback whoever reaches the page may look at it, as at the files themselves; what has to be kept out is other pages in the same browser. Such a
page may send requests here, and may give itself a name that leads here (DNS rebinding), so the name in `Host` has to be one of ours, and nothing is
given to a page of another origin. On any other address a token is asked for besides.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SAFETY: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "batcher",
}
"""What every answer says besides."""

WRONG_TOKEN_S: Final = 0.5
"""How long whoever gives a wrong token waits for the answer."""

_OWN_SITES: Final = frozenset({"same-origin", "none"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Lets a request through or refuses it. `host` is the address that is listened on; `token` is what the page asks for, None where nothing is."""

    def __init__(self, host: str, token: str | None) -> None:
        self._names = {"localhost", host.lower(), *((name := socket.gethostname().lower()), f"{name}.local") * (token is not None)}
        self._token = token
        self._session = secrets.token_urlsafe(32)
        self.cookie = "batcher"
        """What the cookie is called: cookies know no ports, so that whoever listens puts its own into the name."""

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware."""
        refusal = self._refusal(request)
        if refusal is not None:
            return web.Response(status=refusal[0], text=f"{refusal[1]}\n")
        return await handler(request)

    def is_known(self, request: web.Request) -> bool:
        """Whether whoever asks has shown the token, where there is one."""
        return self._token is None or _is_same(request.cookies.get(self.cookie, ""), self._session)

    async def admit(self, request: web.Request) -> web.Response:
        """Take the token, and give a cookie for it that no script can read and no other site makes the browser send."""
        try:
            given = (await request.json())["token"]
        except (ValueError, TypeError, KeyError):
            given = None
        if self._token is None or not isinstance(given, str) or not _is_same(given, self._token):
            await asyncio.sleep(WRONG_TOKEN_S)
            return web.Response(status=403, text="That is not the token.\n")
        answer = web.Response(status=204)
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict", path="/")
        return answer

    def _refusal(self, request: web.Request) -> tuple[int, str] | None:
        """The status and the words with which the request is refused, if it is."""
        if not self._is_ours(request.headers.get("Host", "")):
            return 421, "Nothing is served under this name. Start with --host NAME to use one of your own."
        site = request.headers.get("Sec-Fetch-Site")
        is_visit = request.method == "GET" and request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if site is not None and site not in _OWN_SITES and not is_visit:
            return 403, "Another site may not ask for this."
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("Origin") != f"http://{request.headers['Host']}":
                return 403, "Only the page itself may send this."
            if request.content_type != "application/json":
                return 415, "Send JSON."
        if request.path not in ("/", "/session") and not self.is_known(request):
            return 401, "Open the page with the address that batcher printed: its token is needed."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (URL(f"http://{host}").host or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._token is not None  # an address cannot be pointed elsewhere, as a name can


def _is_same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(errors="surrogatepass"), secret.encode())
