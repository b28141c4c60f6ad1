"""The shared start of a seed: initial weights and sample orders, with fingerprints that prove them."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..core.rng import permutation, preserved_rng, seed_python, seed_torch
from ..core.tree import dense_parts, equal_tensors
from ..errors import USER_CODE_ERRORS, ComparisonError, WorkloadError, explain
from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor, nn

Order = Callable[[int, int, int], Any]
_CACHED_ORDERS_BYTES = 2**22
_SLOW_SECONDS = 0.5
"""Seconds from which on a factory is slow, so that its module is copied where copies are allowed."""


class EpochOrder(NamedTuple):
    """Hold the shared order of one epoch, int64[N], and its SHA-256; clone it before writing."""

    indices: Tensor
    sha256: str


class SharedStart:
    """Hold the initial weights and the sample orders that all arms of a seed share.

    Args:
        workload: The workload, with the factory that makes the module.
        seed: The seed of the weights and the orders.
        batch: Returns a small batch of the training data on the CPU in float32, for lazy modules.
        order: ``order(seed, epoch, n)``, which replaces the shuffled order; None: the order is shuffled.
        copies: Whether the module of a slow factory may be copied.

    Attributes:
        copies: Whether modules are copied, since the factory is slow.
        weight_bytes: Bytes of the weights.
    """

    def __init__(
        self,
        workload: Workload,
        seed: int,
        batch: Callable[[], Any],
        order: Order | None = None,
        copies: bool = False,
    ) -> None:
        self._workload, self._batch = workload, batch
        self._seed, self._n, self._order = seed, workload.size, order
        self._orders: dict[int, EpochOrder] = {}
        began = time.perf_counter()
        self._unused: nn.Module | None = self._build()
        self.copies = copies and time.perf_counter() - began > _SLOW_SECONDS
        self._initial = {name: value.detach().clone() for name, value in values_of(self._unused).items()}
        self.weight_bytes = sum(weight.nbytes for weight in self._unused.parameters())

    def model(self) -> nn.Module:
        """Return a new module with the shared initial weights, on the CPU in the dtypes of its factory.

        The factory makes each module under the seed. A copy could keep references to the module that it was
        copied from, for example in a lambda over ``self``, in a hook or in an attribute of a parameter. Only
        with ``copies`` is a module copied, if it can be.

        Raises:
            WorkloadError: The factory fails, or makes a module other than at its first call.
        """
        if self.copies and self._unused is not None:
            try:
                return copy.deepcopy(self._unused)
            except USER_CODE_ERRORS:  # the factory makes the module instead
                self.copies = False
        module, self._unused = self._unused, None
        if module is None:
            module = self._build()
            _refuse_other_values(self._initial, values_of(module), f"workload {self._workload.name}")
        return module

    def differs(self, module: nn.Module) -> str | None:
        """Return the name of the first weight or buffer that differs from the shared start, or None."""
        for name, value in values_of(module).items():
            if name in self._initial and not equal_tensors(
                self._initial[name].to(value.dtype), value.detach().cpu()
            ):
                return name
        return None

    def _build(self) -> nn.Module:
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)  # the default dtype of the caller must not change modules
        try:
            with preserved_rng():
                seed_torch(self._seed)
                seed_python(self._seed)
                module = build_module(self._workload.model, f"workload {self._workload.name}")
                materialize(self._workload, module, self._batch)
                set_to_train(module)
                _refuse_compressed(module, f"workload {self._workload.name}")
                return module
        finally:
            torch.set_default_dtype(dtype)

    def order(self, epoch: int) -> EpochOrder:
        """Return the shared order of an epoch; the last few are cached."""
        if epoch not in self._orders:
            while self._orders and len(self._orders) * self._n * 8 > _CACHED_ORDERS_BYTES:
                self._orders.pop(next(iter(self._orders)))
            order = permutation(self._seed, epoch, self._n) if self._order is None else self._custom(epoch)
            self._orders[epoch] = EpochOrder(order, hashlib.sha256(order.numpy().tobytes()).hexdigest())
        return self._orders[epoch]

    def _custom(self, epoch: int) -> Tensor:
        assert self._order is not None
        try:
            indices = np.asarray(self._order(self._seed, epoch, self._n))
        except USER_CODE_ERRORS as error:
            call = f"order(seed={self._seed}, epoch={epoch}, n={self._n})"
            raise ComparisonError(f"{call} failed: {explain(error)}") from error
        if not np.array_equal(np.sort(indices, axis=None), np.arange(self._n)):
            raise ComparisonError(
                f"order(seed={self._seed}, epoch={epoch}, n={self._n}) must return each index from 0 to "
                f"{self._n - 1} exactly once; got {np.array2string(indices, threshold=8)}"
            )
        return torch.from_numpy(indices.astype(np.int64).reshape(-1).copy())


def build_module(factory: Callable[[], Any], who: str) -> nn.Module:
    """Call a factory and return its module.

    Args:
        factory: Called without arguments.
        who: Names the factory in messages.

    Raises:
        WorkloadError: The factory fails, or returns no module.
    """
    try:
        module = factory()
    except USER_CODE_ERRORS as error:
        raise WorkloadError(f"{who}: model() failed: {explain(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise WorkloadError(f"{who}: model() must return an nn.Module, got a {type(module).__name__}")
    return module


def values_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all tensors of a module by name: parameters, all buffers, and plain attributes."""
    found: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                found[f"{path}.{name}".lstrip(".")] = value
    return found


def _refuse_other_values(first: Mapping[str, Tensor], now: Mapping[str, Tensor], who: str) -> None:
    for name in dict.fromkeys((*first, *now)):
        if name in first and name in now and equal_tensors(first[name], now[name]):
            continue
        what = (
            "has other values"
            if name in first and name in now
            else "exists after one call and not after the other"
        )
        raise WorkloadError(
            f"{who}: model() was called twice under the same seed, and {name} {what}; let it draw from "
            "torch's, NumPy's or Python's global generators alone, and start from the same files"
        )


def _refuse_compressed(module: nn.Module, who: str) -> None:
    """Refuse weights and buffers in layouts such as CSR, which torch cannot copy with ``copy.deepcopy``."""
    for name, value in values_of(module).items():
        layout = str(value.layout)
        if layout not in ("torch.strided", "torch.sparse_coo"):
            raise WorkloadError(
                f"{who}: the model's {name} has the layout {layout}, which cannot be copied for each trial; "
                "make it with .to_sparse_coo(), or dense"
            )


def fingerprint(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of name, dtype, shape and bytes of all values, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, torch.Tensor):
            digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            for part in dense_parts(value.detach()):
                digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{name}|{value!r}|".encode())
    return digest.hexdigest()


def set_to_train(model: nn.Module) -> None:
    """Put a model into training mode, as every training loop does.

    If a model in training mode has parts in evaluation mode, this is intended, and nothing changes.
    """
    if not model.training or all(module.training for module in model.modules()):
        model.train()


def materialize(workload: Workload, model: nn.Module, batch: Callable[[], Any]) -> None:
    """Initialise lazy modules by one forward pass of a small batch; leave other models alone.

    Args:
        workload: Runs the forward pass.
        model: Any module.
        batch: Returns the batch; called only if the model has lazy weights.

    Raises:
        WorkloadError: The forward pass fails.
    """
    if not any(torch.nn.parameter.is_lazy(weight) for weight in model.parameters()):
        return
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()
            workload.mean_loss(model, batch())
    except USER_CODE_ERRORS as error:
        raise WorkloadError(
            f"workload {workload.name}: its lazy modules cannot take a batch: {explain(error)}"
        ) from error
    for module, training in modes:
        module.training = training
