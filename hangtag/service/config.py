"""The configuration of the server: one dataclass, shown by `hangtag serve --help`.

Imports the standard library only, so that help is quick.
"""

import ipaddress
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hangtag.errors import ConfigError
from hangtag.tagging.precision import Asked

RETRY_SECONDS: Final = 1  # of the Retry-After header
# Where prometheus_client lets the processes of one server count together.
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
TOKEN_VARIABLE: Final = "HANGTAG_TOKEN"
PORTS: Final = {"http": 80, "https": 443}  # browsers leave them out of an origin


def is_loopback(host: str) -> bool:
    """Return whether a host name, in any case, or an address is this machine's own.

    So are names that end in `.localhost` (RFC 6761, section 6.3).
    """
    name = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@dataclass(frozen=True)
class ServeConfig:
    """How a model is served."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all networks."""

    port: int = 8080
    """Port to listen on; 0 for any free one."""

    public: bool = False
    """Accept requests from other machines without a token (HANGTAG_TOKEN)."""

    max_body_mb: float = 50.0
    """Largest request, in megabytes."""

    max_images: int = 64
    """Most images in one request."""

    max_megapixels: float = 25.0
    """Largest image, unless the model has a smaller limit. Memory grows in proportion: with 64
    clients that send the worst images of 25 megapixels, the server stays under 1.5 GB."""

    timeout_seconds: float = 55.0
    """Longest time for a request; SageMaker gives up after 60."""

    queue: int = 256
    """Most images in progress; beyond it requests get 503 and Retry-After."""

    precision: Asked = "auto"
    """Compute in 8 bits (int8) or not (fp32); auto: in 8 bits where the model has a network for
    that and this machine's processor is quicker by it."""

    processes: int = 1
    """Processes that answer side by side, each with its share of the cores, a queue and memory of
    its own. On few cores one is best."""

    allow_origin: tuple[str, ...] = ()
    """Origin whose web pages may send requests from the browser, such as
    https://dam.example.com; may be given several times. By default only the server's own page."""

    index: Path | None = None
    """The folder that `hangtag index` wrote: adds search, similar designs and the tab Library."""

    teach: bool = False
    """Let the tab Library and POST /teach teach the model new tags, which changes MODEL/."""

    label_studio: Path | None = None
    """Folder of the designs, as Label Studio knows it (its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT):
    answers what Label Studio asks of an ML backend."""

    reload: bool = False
    """Let POST /reload load a changed model folder, as SIGHUP always does."""

    def __post_init__(self) -> None:
        if self.teach and self.index is None:
            raise ConfigError("--teach needs --index: tags are taught from designs of an index")
        for name in ("max_body_mb", "max_images", "max_megapixels", "timeout_seconds", "queue"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} = {getattr(self, name):g}: choose a number above 0")
        if self.processes < 1:
            raise ConfigError(f"processes = {self.processes}: choose 1 or more")
        if self.processes > 1 and (self.teach or self.reload):
            raise ConfigError(
                "--teach and --reload reach one process only: leave out --processes, or reload all "
                "of them with SIGHUP"
            )
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port = {self.port}: choose 0 (any free one) to 65535")
        for origin in self.allow_origin:
            if not _is_origin(origin):
                raise ConfigError(
                    f"allow_origin = {origin}: write it in lower case and without a path, such as "
                    "https://dam.example.com"
                )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def token(self) -> str | None:
        """Return the bearer token in the environment, if any.

        Raises ConfigError when there is none and other machines could reach the server, unless
        `public`.
        """
        token = os.environ.get(TOKEN_VARIABLE) or None
        if token is None and not self.loopback and not self.public:
            raise ConfigError(
                f"{self.host} can be reached from other machines: set {TOKEN_VARIABLE} to a secret "
                "that clients send as a bearer token, or give --public to serve everybody"
            )
        return token


def _is_origin(text: str) -> bool:
    """Return whether a text is an origin as browsers write it (RFC 6454, section 6.2)."""
    try:
        parts = urlsplit(text)
        usual = parts.port is not None and parts.port == PORTS.get(parts.scheme)
    except ValueError:
        return False
    written = f"{parts.scheme}://{parts.netloc}".lower()
    return bool(parts.hostname) and not usual and text == written and "@" not in text
