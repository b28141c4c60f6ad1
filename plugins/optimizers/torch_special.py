"""Optimizers of ``torch.optim`` that are built in another way than from parameters and hyperparameters.

Each function imports torch by itself, so that a list of optimizers starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from optcompare import ComparisonError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def muon(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> Optimizer:
    """Orthogonalised momentum, for models whose trainable parameters are all matrices."""
    from torch.optim import Muon

    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.ndim != 2:
            raise ComparisonError(
                f"optimizer muon orthogonalises matrices, and parameter '{name}' has shape "
                f"{list(weight.shape)}; use it with a model whose trainable parameters all have two "
                "dimensions, or use adamw"
            )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return Muon(
        weights, lr, weight_decay, momentum, nesterov, eps=eps, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn
    )


def lbfgs(
    model: nn.Module,
    *,
    lr: float = 1.0,
    max_iter: int = 5,
    max_eval: int | None = None,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
    history_size: int = 100,
    line_search_fn: Literal["strong_wolfe"] | None = "strong_wolfe",
) -> Optimizer:
    """Limited-memory BFGS, for full batches: an update is up to max_iter iterations of one pass or more.

    The default is five iterations in place of torch's 20, so that curves have enough points. The history is
    kept between updates. An update costs one pass more than its iterations.
    """
    from torch.optim import LBFGS

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return LBFGS(
        weights, lr, max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn
    )


def sparseadam(
    model: nn.Module, *, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Optimizer:
    """Adam that updates only the rows with a gradient, for models whose gradients are all sparse."""
    from torch.optim import SparseAdam

    return SparseAdam([weight for weight in model.parameters() if weight.requires_grad], lr, betas, eps)
