from __future__ import annotations

import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how busy the machine is proves nothing
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run what is marked `no_cover` untraced. In the workers of pytest-xdist, pytest-cov traces twice and pauses only one of the two."""
    tracing = sys.gettrace()
    if tracing is None or item.get_closest_marker("no_cover") is None:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracing)
