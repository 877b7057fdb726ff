"""A Ray cluster of two nodes on loopback, as a process: kills the second when told to on stdin."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    """Print the address; a line kills the second node at once, a further one ends it all."""
    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    print("address", cluster.address, flush=True)  # noqa: T201
    sys.stdin.readline()
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)  # noqa: T201
    sys.stdin.readline()
    cluster.shutdown()


if __name__ == "__main__":
    main()
