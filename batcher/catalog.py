"""Looking into the service's catalog of models."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack

from batcher.clock import LoopClock
from batcher.config import Environment
from batcher.errors import ApiError, ApiErrorKind, TokenError
from batcher.model import ModelInfo
from batcher.providers.runcomfy import open_runcomfy
from batcher.settings import RunSettings
from batcher.version import VERSION


async def list_models(search: str, environment: Environment, *, simulate: bool) -> list[ModelInfo]:
    """Every model that matches `search`. Raises `TokenError`, or `ApiError` if the service does not answer."""
    async with AsyncExitStack() as stack:
        if simulate:
            from batcher.simulator import Simulator

            base, token = (await stack.enter_async_context(Simulator())).base_url, secrets.token_hex(16)
        else:
            base, token = environment.api_base, environment.require_token()
        provider = await stack.enter_async_context(open_runcomfy(base, token, RunSettings(), clock=LoopClock(), version=VERSION))
        try:
            return [info async for info in provider.models(search)]
        except ApiError as error:
            if error.kind is ApiErrorKind.TOKEN:
                raise TokenError(error.message, "Set RUNCOMFY_TOKEN to a valid token.") from error
            raise
