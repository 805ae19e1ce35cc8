"""What the environment says: the one module that reads it. Sources as in RunComfy's own command line tool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batcher.errors import TokenError
from batcher.providers.runcomfy import DEFAULT_BASE


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the service is, and the token for it; None where there is none. `token_problem` says why a token file was of no use."""

    api_base: str = DEFAULT_BASE
    token: str | None = field(default=None, repr=False)
    token_problem: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str], home: Path) -> Environment:
        """`RUNCOMFY_TOKEN`, else `token.json` in the first of the official tool's folders; `RUNCOMFY_MODEL_API_BASE`."""
        base = environ.get("RUNCOMFY_MODEL_API_BASE", "").strip().rstrip("/") or DEFAULT_BASE
        token = environ.get("RUNCOMFY_TOKEN", "").strip()
        if token:
            return cls(base, token)
        path = token_file(environ, home)
        try:
            content = json.loads(path.read_text("utf-8"))
            token = content["access_token"].strip()
        except FileNotFoundError:
            return cls(base, None, f"there is no {path} either")
        except OSError as error:
            return cls(base, None, f"{path} cannot be read: {error.strerror}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(base, None, f'{path} does not hold {{"access_token": "…"}}')
        return cls(base, token or None, "" if token else f"{path} holds an empty token")

    def require_token(self) -> str:
        """The token. Raises `TokenError` if there is none."""
        if self.token is None:
            raise TokenError(
                f"no token: RUNCOMFY_TOKEN is not set, and {self.token_problem or 'no token file was found'}",
                "Set RUNCOMFY_TOKEN, log in with the runcomfy tool, or try without an account: --simulate.",
            )
        return self.token


def token_file(environ: Mapping[str, str], home: Path) -> Path:
    """Where the official tool keeps its token."""
    if environ.get("RUNCOMFY_CONFIG_DIR"):
        return Path(environ["RUNCOMFY_CONFIG_DIR"]) / "token.json"
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "runcomfy" / "token.json"
    return home / ".config" / "runcomfy" / "token.json"
