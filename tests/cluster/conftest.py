"""A real Ray cluster of several nodes on this machine, each with a raylet and an object store."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.storage.conftest import moto, read_once, storage

__all__ = ["moto", "read_once", "storage"]
NICENESS = "RAY_worker_niceness"  # written so
STORE = 80 * 2**20  # bytes; Ray's least


@dataclass
class Nodes:
    """The nodes of a cluster. The head has no cores: it can be relied on."""

    cluster: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, **resources: int) -> Any:
        settings = {"num_cpus": 1, "object_store_memory": STORE, **resources}
        return self.cluster.add_node(**settings)

    def kill(self) -> None:
        """Kill the last node, -9, and add another."""
        self.lose()
        self.add()

    def lose(self) -> None:
        """Kill the last node, -9."""
        node = max(self.cluster.worker_nodes, key=lambda one: one.unique_id)
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # for functions of these tests
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ[NICENESS] = "0"  # with Ray's 15 they starve beside other tests
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HANGTAG_CACHE"] = str(tmp_path_factory.mktemp("cache of the nodes"))
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "of the nodes"
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    found = Nodes(Cluster(initialize_head=True, head_node_args=head))
    try:
        found.add()
        found.add()
        yield found
    finally:
        found.cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
