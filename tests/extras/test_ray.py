"""A real Ray cluster of several nodes on this machine."""

from __future__ import annotations

import threading

import pytest

from optcompare import ComparisonError, compare
from tests.helpers.strategies import Growing
from tests.helpers.trials import same
from tests.helpers.workloads import small_workload, wandering

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),
]  # Ray leaves sockets and processes to the collector


@pytest.fixture
def cluster():
    """Two nodes of two CPUs each; the driver is connected to the first."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 2**27})
    cluster.other = cluster.add_node(num_cpus=2, object_store_memory=2**27)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


SETTINGS = {"optimizers": ["sgd:momentum=0.9", "adam"], "lr": 0.01, "trainer": "loop"}


class Removes:
    """Takes a node away in the middle of the run."""

    def __init__(self, cluster, after):
        self.cluster, self.left = cluster, after
        self.thread = threading.Thread(target=lambda: cluster.remove_node(cluster.other))

    def measured(self, trial, record):
        pass

    def trial_finished(self, trial, outcome):
        self.left -= 1
        if self.left == 0:
            self.thread.start()

    def advanced(self, done, of, fraction, seconds_left):
        pass


def test_a_cluster_trains_the_same_bits(cluster):
    strategies = ["mini:3", Growing()]
    whole = compare(small_workload(model=wandering), strategies, **SETTINGS, seeds=3, epochs=4)
    result = compare(
        small_workload(model=wandering), strategies, **SETTINGS, seeds=3, epochs=4, executor="ray"
    )
    same(result, whole)
    assert result.environment["jobs"] == 4, "as many as there are CPUs"


@pytest.mark.slow
def test_a_node_that_is_lost_loses_nothing(cluster, tmp_path):
    settings = {**SETTINGS, "seeds": 40, "epochs": 30}
    whole = compare(small_workload(), ["mini:3", "full"], **settings)
    removes = Removes(cluster, after=5)
    result = compare(
        small_workload(),
        ["mini:3", "full"],
        **settings,
        executor="ray",
        observer=removes,
        out=tmp_path / "run",
    )
    assert removes.thread.ident is not None, "the run ended before a node was taken away"
    removes.thread.join()
    assert set(result.trials["status"]) == {"finished"}
    same(result, whole)


@pytest.mark.slow
def test_tasks_demand_the_threads_of_the_comparison(cluster):
    """Of 4 CPUs on two nodes, tasks of 2 threads leave room for two at once."""
    result = compare(small_workload(), ["mini:3"], **SETTINGS, seeds=2, epochs=2, executor="ray", threads=2)
    assert result.environment["jobs"] == 2


@pytest.mark.slow
def test_lanes_are_trained_on_a_cluster(cluster):
    settings = {"seeds": 6, "epochs": 6, "dtype": "float64", "trainer": "lanes"}
    whole = compare(small_workload(), ["mini:3"], **settings)
    result = compare(small_workload(), ["mini:3"], **settings, executor="ray")
    assert set(result.trials["trainer"]) == {"lanes"}
    assert result.records["train_loss"].tolist() == pytest.approx(
        whole.records["train_loss"].tolist(), rel=1e-9
    )


def test_an_address_where_no_cluster_is_is_one_clear_line():
    pytest.importorskip("ray")
    with pytest.raises(
        ComparisonError, match=r"there is no Ray cluster at 127\.0\.0\.1:1: Connection refused"
    ):
        compare(small_workload(), ["mini:3"], seeds=1, epochs=1, executor="ray:127.0.0.1:1")
