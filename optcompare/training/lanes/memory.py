"""Compute how many lanes fit into memory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.rng import preserved_rng
from ...errors import ComparisonError
from ..loop.trial import TrialRun
from ..measurement.step_stats import needs_samples
from .program import Blueprint

if TYPE_CHECKING:
    from torch import Tensor

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SAMPLE_ROWS = 32
_PASSES = 3
"""The memory of an update as a multiple of what autograd keeps: the same for gradients and for copies."""


def memory_limit(text: str | None, device: torch.device) -> float:
    """Return the bytes of a memory limit.

    Args:
        text: ``4GB``, ``500MB``, or ``25%`` of the free memory; None: half of the free memory.
        device: The device that has the memory.

    Raises:
        ComparisonError: The text is no size and no share.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|([kmgt]?)i?b?)\s*", (text or "50%").lower())
    value = float(match.group(1)) if match else 0.0
    if match is None or value <= 0 or (match.group(2) == "%" and value > 100):
        raise ComparisonError(
            f"memory must be a size or a share of what is free, such as 4GB or 25%, got {text!r}"
        )
    return value / 100 * free_memory(device) if match.group(2) == "%" else value * _UNITS[match.group(3)]


def free_memory(device: torch.device) -> int:
    """Return the free bytes, without swapping and within the limit of the control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo = _text("/proc/meminfo")
    if "MemAvailable:" in meminfo:
        limits.append(int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024)
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        limits.append(max(0, int(limit) - int(used)))
    return min(limits)


def lanes_that_fit(
    blueprint: Blueprint,
    run: TrialRun,
    largest: int,
    evaluated: int,
    memory: float,
    needs: Sequence[str] = (),
) -> tuple[int, int]:
    """Return the number of lanes that can be updated at once, and the number that can be evaluated.

    Args:
        blueprint: The blueprint of the lanes.
        run: A trial of the family.
        largest: Rows of the largest batch.
        evaluated: Rows of one forward pass of evaluation.
        memory: Bytes that lanes may use.
        needs: The statistics that the strategy needs after each update.
    """
    weights = sum(weight.numel() * weight.element_size() for weight in run.model.parameters())
    kept = kept_bytes_a_row(run)
    state = 2 * weights + blueprint.optimizer.state_bytes  # weights, gradients, state of the optimizer
    state += weights * largest if needs_samples(needs) else 0
    update = 2 * state + _PASSES * kept * min(largest, blueprint.chunk)
    return max(1, int(memory // max(1.0, update))), max(
        1, int(memory // max(1.0, _PASSES * kept * evaluated))
    )


def kept_bytes_a_row(run: TrialRun) -> float:
    """Return the bytes per row that autograd keeps of a forward pass."""
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    rows = torch.arange(min(_SAMPLE_ROWS, run.source.n, run.trial.arm.chunk))
    with preserved_rng(), torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        batch = next(run.source.stream([rows], 0, 0, ahead=False))
        run.workload.mean_loss(run.another_model(), batch)
    return kept / len(rows)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
