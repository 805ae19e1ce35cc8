"""JSON without spaces, for hashes and for the ledger: the same text for the same value, now and in later versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def compact_encoder(*, sort_keys: bool = False, ensure_ascii: bool = False, default: Callable[[Any], Any] | None = None) -> Callable[[Any], str]:
    """What `json.JSONEncoder.encode` of these arguments is, at a third of its cost for small values: that makes its inner part anew each time.

    It does not look for circles: values come from files and from rows, which have none.
    """
    documented = json.JSONEncoder(sort_keys=sort_keys, ensure_ascii=ensure_ascii, separators=(",", ":"), default=default)
    make = getattr(encoder, "c_make_encoder", None)  # not documented, and not in every Python
    if make is None:
        return documented.encode
    quote = encoder.encode_basestring_ascii if ensure_ascii else encoder.encode_basestring
    encode = make(None, documented.default, quote, None, ":", ",", sort_keys, False, True)
    return lambda value: "".join(encode(value, 0))
