"""Losses for tags that are noisy, incomplete and unbalanced.

Each takes float logits (n, T) and int8 labels (n, T) with 1 yes, 0 reviewed no, -1 unknown, and
returns the mean over all cells. Most unknown cells are a "no", so all count as one here; the
asymmetric loss is the one that doubts it, and believes a reviewed "no" in full.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(logits, _targets(logits, labels))


def weighted_bce(logits: Tensor, labels: Tensor, frequencies: Tensor) -> Tensor:
    """Binary cross-entropy whose yes and no weigh the same in sum, tag by tag.

    `frequencies`: (T,), share of yes among the training designs. The seed's
    `use_weighted_loss`: weights "based on the distribution of classes".
    """
    yes = frequencies.clamp(1e-3, 1 - 1e-3)
    targets = _targets(logits, labels)
    weights = torch.where(targets > 0, 0.5 / yes, 0.5 / (1 - yes))
    return F.binary_cross_entropy_with_logits(logits, targets, weight=weights)


def asymmetric(
    logits: Tensor,
    labels: Tensor,
    gamma_negative: float = 4.0,
    gamma_positive: float = 0.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, arXiv:2009.14119, equations 4 to 7).

    Easy "no"s weigh little (focusing by `gamma_negative`), and those below the probability `clip`
    nothing (shifting), so that neither their number nor a forgotten tag rules the gradient. That is
    for unknown cells; a reviewed "no" is certain and takes plain cross-entropy.
    """
    targets = _targets(logits, labels)
    # In single precision: half precision has no probabilities between 0.998 and 1.
    p = torch.sigmoid(logits.float())
    shifted = (p - clip).clamp(min=0)
    log_no = torch.log1p(-shifted.clamp(max=1 - 1e-6))
    yes = targets * F.logsigmoid(logits.float())
    no = shifted**gamma_negative * log_no
    # Mostly there is nothing to do here, which saves a quarter of the loss's time.
    if gamma_positive:
        yes = yes * (1 - p) ** gamma_positive
    reviewed = labels == 0
    if reviewed.any():
        no = torch.where(reviewed, F.logsigmoid(-logits.float()), no)
    return -(yes + (1 - targets) * no).mean()


def _targets(logits: Tensor, labels: Tensor) -> Tensor:
    return (labels == 1).to(logits.dtype)
