"""How a simulated service behaves: documented behaviour by default, and a switch for each thing that is documented nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from batcher.simulator.errors import SimulatorError
from batcher.simulator.faults import FaultRule, explain


class SimulatorSettings(BaseModel):
    """Everything that can be chosen about a simulated service; units are in the names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int = Field(default=16, ge=1, description="Requests that run at once; the rest wait in the queue.")
    capacity: int | None = Field(default=None, ge=1, description="The most requests queued or running at once, 429 beyond that; left out: no limit.")
    latency_s: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="The median time that a request runs; left out: what the model takes."
    )
    sigma: float = Field(default=0.35, ge=0, le=3, description="The spread of running times (lognormal); 0: all alike.")
    speed: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Divides every running time.")
    seed: int = Field(default=0, description="The same seed and the same requests give the same ids, times, faults and pictures.")

    prices: Mapping[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="Prices by model id, in USD for the model's unit, in place of the catalog's."
    )
    balance_usd: float = Field(default=10_000.0, allow_inf_nan=False, description="What the account holds at the start.")
    token: SecretStr | None = Field(
        default=None, exclude=True, description="The only token that is accepted; left out: any. Never written out again."
    )

    art: Literal["drawn", "plain"] = Field(default="drawn", description="Real pictures, or tiny ones that cost nothing, for load tests.")
    size_px: int = Field(default=1024, ge=16, le=8192, description="The size of drawn pictures, whatever resolution a request asks for.")
    video_size_px: int = Field(default=480, ge=16, le=4096, description="The size of drawn videos.")
    outputs: int = Field(default=1, ge=1, le=64, description="How many images a request for images makes.")

    failures: Literal["A", "B"] = Field(
        default="A", description="How a failed generation is told. A: `completed` on status, `failed` on result; B: `failed` on both."
    )
    early_result: Literal[200, 400005] = Field(
        default=200, description="The answer to a result that is asked for too early: the state, or an error code."
    )
    success_word: Literal["succeeded", "completed"] = Field(default="succeeded", description="What success is called on the result.")
    cancelled_word: Literal["cancelled", "canceled"] = Field(default="cancelled", description="How cancelled is spelt.")
    output_shape: Literal["keyed", "list", "string", "url"] = Field(
        default="keyed", description="The shape of `output`: an object keyed by kind, a list, a bare string, or `{url: …}`."
    )
    cost_delay_s: float = Field(default=0.0, ge=0, description="How long after its end a request's cost appears.")
    charge_cancelled: bool = Field(default=False, description="Whether requests cancelled in the queue are charged.")
    charge_failed: bool = Field(default=False, description="Whether failed generations are charged.")
    fetch_inputs: Literal["none", "loopback", "any"] = Field(
        default="loopback", description="Which input links are fetched; a subject is invented for the others."
    )
    accept_data_uris: bool = Field(default=True, description="Whether images may stand in the body as data URIs.")
    accept_unknown_models: bool = Field(default=False, description="Whether models that the catalog does not hold are acted out too.")
    max_body_bytes: int = Field(default=64 * 2**20, ge=1024, description="The largest request body that is accepted.")
    link_lifetime_s: float | None = Field(default=None, gt=0, description="How long a link works after the result that gave it; left out: for ever.")
    expired_link_status: Literal[403, 404, 410] = Field(default=403, description="The answer to a link that no longer works.")
    retention_s: float | None = Field(default=None, gt=0, description="How long a request is known after its end; left out: for ever.")
    submits_per_s: int | None = Field(default=None, ge=1, description="The most submits in any one second, 429 beyond that; left out: no limit.")
    auth_failure: Literal[400004, 401, 402, 403] = Field(
        default=400004, description="The answer to a missing or wrong token: an error code, or a bare status."
    )
    errors_under_200: bool = Field(default=False, description="Whether errors come with HTTP status 200.")
    error_style: Literal["error_code", "code", "detail"] = Field(
        default="error_code", description="The fields of an error: error_code and error_message, code and message, or detail alone."
    )
    keepalive_timeout_s: float = Field(default=75.0, gt=0, description="How long an idle connection is kept open.")
    faults: tuple[FaultRule, ...] = Field(default=(), description="What goes wrong, and when; see `batcher.simulator.faults`.")

    @classmethod
    def from_yaml(cls, path: Path | str, **overrides: Any) -> SimulatorSettings:
        """Read settings from a YAML file; `overrides` win, except that faults are added in front of the file's. Raises `SimulatorError`."""
        path = Path(path)
        try:
            document = yaml.safe_load(path.read_text("utf-8")) or {}
        except OSError as error:
            raise SimulatorError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise SimulatorError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
        if not isinstance(document, dict):
            raise SimulatorError(f"{path}: settings are a mapping such as `slots: 8`, not {type(document).__name__}")
        faults = document.pop("faults", None) or []
        if not isinstance(faults, list):
            raise SimulatorError(f"{path}: faults: write a list, one fault an item")
        faults = [*overrides.pop("faults", ()), *faults]
        try:
            return cls.model_validate({**document, **overrides, "faults": faults})
        except ValidationError as error:
            raise SimulatorError(f"{path}: {explain(error)}") from error
