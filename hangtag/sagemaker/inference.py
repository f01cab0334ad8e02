"""Designs for SageMaker: one sent to an endpoint, or all below an address checked for a job."""

import json
from pathlib import Path
from typing import Any, Final

from hangtag.errors import ConfigError, JobError
from hangtag.library.image_files import IMAGE_SUFFIXES
from hangtag.sagemaker.account import Account
from hangtag.sagemaker.requests import prefixed
from hangtag.service.config import ServeConfig
from hangtag.storage import s3

MAX_BODY: Final = 6 * 2**20  # bytes that InvokeEndpoint takes
MAX_TRANSFORMED: Final = int(ServeConfig.max_body_mb * 1e6)  # bytes that the server takes


def invoke(account: Account, name: str, design: bytes) -> Any:
    """Return an endpoint's response to a design's bytes: probabilities in the order of the tags.

    Raises JobError, and ConfigError for a file that is too large to send.
    """
    if len(design) > MAX_BODY:
        raise ConfigError(
            f"{len(design) / 2**20:.1f} MiB; an endpoint takes {MAX_BODY // 2**20}: make the "
            "design smaller, the model sees a few hundred pixels anyway"
        )
    request = {
        "EndpointName": prefixed(name),
        "Body": design,
        "ContentType": "application/x-image",
        "Accept": "application/json",
    }
    try:
        response = account.call("invoke_endpoint", request)
    except LookupError as cause:
        raise JobError(f"{prefixed(name)}: {cause}") from cause
    body = response["Body"].read()
    try:
        return json.loads(body)
    except ValueError as cause:
        message = f"{prefixed(name)} answered something other than JSON: {body[:200]!r}"
        raise JobError(message) from cause


def check_designs(address: str) -> int:
    """Return how many designs a transform job would read below an address.

    A single file that the server refuses fails the whole job. Raises ConfigError for files that are
    not designs or too large, StorageError, OSError.
    """
    count, wrong = 0, []
    for found in s3.listed(address):
        count += 1
        if Path(found.key).suffix.lower() not in IMAGE_SUFFIXES or found.size > MAX_TRANSFORMED:
            wrong.append(found.key)
    if wrong:
        raise ConfigError(
            f"{address}: {len(wrong)} of {count} files are not designs, or over "
            f"{MAX_TRANSFORMED / 1e6:g} MB, and would fail the job, such as {wrong[0]}; keep "
            "them elsewhere"
        )
    if not count:
        raise ConfigError(f"{address} holds no designs")
    return count
