"""The Kubernetes manifest: valid by Kubernetes' own schemas, and of a server that exists."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from hangtag.cli.app import app
from hangtag.service.guard import is_open
from hangtag.service.server import SHUTDOWN_SECONDS

MANIFEST = Path(__file__).parents[1] / "deploy" / "serve.yaml"
RESOURCES = list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))
KINDS = {resource["kind"]: resource for resource in RESOURCES}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one["kind"])
@pytest.mark.parametrize("version", ["1.31", "1.35"])
def test_it_fits_the_schemas(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    wrong = {**KINDS["Service"], "spec": {**KINDS["Service"]["spec"], "selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_the_parts_belong_together() -> None:
    labels = KINDS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert KINDS["Service"]["spec"]["selector"] == labels
    assert KINDS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = KINDS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "hangtag")
    assert set(KINDS) == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}


def test_the_server_is_ours() -> None:
    """Its command parses, its probes need no token, and it has time to answer before the end."""
    pod = KINDS["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    python, _, program, *words = container["command"]
    assert (python, program) == ("python", "hangtag")
    _, bound, _ = app.parse_args(words, exit_on_error=False)
    (port,) = container["ports"]
    config = bound.arguments["config"]
    assert (config.host, config.port) == ("0.0.0.0", port["containerPort"])
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] == port["name"]
        assert is_open(probe["path"])
    assert "HANGTAG_TOKEN" in {one["name"] for one in container["env"]}
    slept = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= SHUTDOWN_SECONDS + slept
