"""What a manifest, or a flag, may state about how a batch runs. Units are in the names."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """The block `run:` of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=64, ge=1, le=10_000, description="The most requests in flight at the service; fewer where it answers 429.")
    posts_in_flight: int = Field(default=16, ge=1, le=256, description="Submits under way at once: the most rows that a crash can leave in doubt.")
    downloads: int = Field(default=16, ge=1, le=256, description="Downloads under way at once.")
    submits_per_s: float | None = Field(default=None, gt=0, description="The most submits in any one second, evenly spread; no limit if left out.")
    regenerations: int = Field(
        default=0, ge=0, le=20, description="How often a generation that the service reports as failed is paid for again. 0: never."
    )
    refusals: int = Field(default=30, ge=0, description="How often one row is submitted again after answers that prove that nothing was made.")
    download_attempts: int = Field(default=8, ge=1, description="How often the download of one result is tried.")
    stop_after_refused: int = Field(
        default=20, ge=0, description="The batch stops where so many of the first submits of a run are all refused. 0: never."
    )
    poll_floor_s: float = Field(default=0.1, gt=0, description="The shortest wait between two polls of one request.")
    poll_ceiling_s: float = Field(default=10.0, gt=0, description="The longest wait between two polls of one request.")
    polls_per_s: float | None = Field(default=None, gt=0, description="The most polls a second, of all requests together; no limit if left out.")
    backoff_base_s: float = Field(default=0.5, gt=0, description="The first wait after something failed; it doubles, with full jitter.")
    backoff_ceiling_s: float = Field(default=60.0, gt=0, description="The longest such wait, a `Retry-After` of the service apart.")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="How long opening a connection may take.")
    read_timeout_s: float = Field(default=30.0, gt=0, description="How long a GET may stay silent.")
    submit_timeout_s: float = Field(default=120.0, gt=0, description="How long a submit may take: a short time here makes doubt.")
    job_timeout_s: float = Field(default=7200.0, gt=0, description="How long one run waits for a request before its row is given up, its id kept.")
    on_stuck: Literal["give_up", "wait"] = Field(
        default="give_up", description="What becomes of a request that takes longer than `job_timeout_s`; `wait` never gives it up."
    )
    download_timeout_s: float = Field(default=900.0, gt=0, description="How long one download may take.")
    outage_s: float = Field(default=7200.0, ge=0, description="How long an outage of the service is waited out.")
    grace_s: float = Field(default=30.0, ge=0, description="How long a stop waits for requests that are running at the service.")


class OutputSettings(BaseModel):
    """The block `output:` of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="{id}", min_length=1, description="The name of a row's files, without extension: a template over id, fields and axes.")
