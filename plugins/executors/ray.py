"""Run tasks on a Ray cluster; needs the extra ``[ray]``."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from optcompare import ComparisonError, hookimpl

if TYPE_CHECKING:
    from optcompare import Demand


@hookimpl
def optcompare_executors() -> dict[str, Callable[..., Executor]]:
    return {"ray": cluster}


def cluster(demand: Demand, address: str) -> Cluster:
    """Run trials on a Ray cluster: ``ray:ADDRESS``, else that in RAY_ADDRESS or a new one on this machine."""
    if demand.device.startswith("cuda:"):
        raise ComparisonError(
            f"executor ray chooses each task's GPU itself; give --device cuda, not {demand.device}"
        )
    try:
        import ray
    except ImportError as error:
        raise ComparisonError('executor ray needs the extra: pip install "optcompare[ray]"') from error
    begun = not ray.is_initialized()
    if begun:
        _check_address(address)
        try:
            ray.init(
                address=address or None, log_to_driver=False, logging_level="error", include_dashboard=False
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f" at {address}" if address else ""
            raise ComparisonError(f"there is no Ray cluster{where}: {str(error).splitlines()[0]}") from error
    return Cluster(ray, demand, begun)


def _check_address(address: str) -> None:
    """Refuse an address that does not answer; Ray itself would try for minutes, then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise ComparisonError(f"there is no Ray cluster at {address}: {error.strerror or error}") from error


class Cluster(Executor):
    """Submit functions to Ray with the CPUs and GPUs that each needs; Ray chooses machines and retries."""

    def __init__(self, ray: Any, demand: Demand, begun: bool) -> None:
        self._ray, self._begun = ray, begun
        self._needs = {"num_cpus": demand.threads, "num_gpus": demand.gpus}
        self._functions: dict[Callable[..., Any], Any] = {}
        resources = ray.cluster_resources()
        room = min(
            int(resources.get("CPU", 0)) // demand.threads,
            *([int(resources.get("GPU", 0))] if demand.gpus else []),
            10**6,
        )
        self.jobs = demand.jobs or max(1, room)

    def share(self, value: bytes) -> Any:
        """Put a value into the object store once."""
        return self._ray.put(value)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn not in self._functions:
            self._functions[fn] = self._ray.remote(fn).options(**self._needs)
        future: Future[Any] = self._functions[fn].remote(*args, **kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._begun:
            self._ray.shutdown()
