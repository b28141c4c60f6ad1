"""The expected risk of SGD on the workload ``noisy-quadratic``, without training."""

import numpy as np


def exact_risk(h, c, rate, batch, n, updates):
    """E[½Σ h w²] after each update from w = 1: w' = (1-ηh)w - ηb with b the mean noise of a batch drawn
    without replacement; within an epoch var b = c(N-B)/(B(N-1)) and cov(b, b') = -c/(N-1), between epochs
    none (SCIENCE: random reshuffling).
    """
    a, mean, var, cross, risks = 1 - rate * h, np.ones_like(h), np.zeros_like(h), np.zeros_like(h), []
    for update in range(updates):
        if update % (n // batch) == 0:
            cross = np.zeros_like(h)  # cov(w, next b) for the batches of this epoch
        var = a**2 * var - 2 * a * rate * cross + rate**2 * c * (n - batch) / (batch * (n - 1))
        cross = a * cross + rate * c / (n - 1)
        mean = a * mean
        risks.append(0.5 * float(h @ (mean**2 + var)))
    return np.array(risks)
