"""Losses for tags that are noisy, incomplete and unbalanced.

Each takes float logits (n, T) and int8 labels (n, T) with 1 yes, 0 reviewed no, -1 unknown, and
returns the mean over all cells. Most unknown cells are a "no". The cross-entropies treat all of
them as one; the other losses allow for missing tags, and trust a reviewed "no" fully.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(logits, _targets(logits, labels))


def weighted_bce(logits: Tensor, labels: Tensor, frequencies: Tensor) -> Tensor:
    """Binary cross-entropy in which the yes and the no of a tag have the same total weight.

    `frequencies`: (T,), share of yes among the training designs. SageMaker's
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

    Easy "no"s have little weight (focusing by `gamma_negative`), and those below the probability
    `clip` none (shifting), so that neither their number nor a missing tag dominates the gradient.
    This applies to unknown cells; a reviewed "no" is certain and has plain cross-entropy.
    """
    targets = _targets(logits, labels)
    # In single precision: half precision has no probabilities between 0.998 and 1.
    p = torch.sigmoid(logits.float())
    shifted = (p - clip).clamp(min=0)
    log_no = torch.log1p(-shifted.clamp(max=1 - 1e-6))
    yes = targets * F.logsigmoid(logits.float())
    no = shifted**gamma_negative * log_no
    # Skipping the default of 0 saves a quarter of the loss's time.
    if gamma_positive:
        yes = yes * (1 - p) ** gamma_positive
    reviewed = labels == 0
    if reviewed.any():
        no = torch.where(reviewed, F.logsigmoid(-logits.float()), no)
    return -(yes + (1 - targets) * no).mean()


def hill(
    logits: Tensor, labels: Tensor, weight: float = 1.5, margin: float = 1.0, gamma: float = 2.0
) -> Tensor:
    """Hill loss (Zhang et al. 2021, arXiv:2112.07368, section 3.2).

    An unknown cell costs (`weight` - p) p^2, whose gradient over the logit is a hill at p = 1/2: a
    "no" that the network contradicts is probably a missing tag and counts less again. A "yes" has
    focal weight by `gamma` and a `margin` in its logit, so that it is not pushed to extremes.
    """
    x = logits.float()
    p = torch.sigmoid(x)
    unknown = (p - weight) * p**2
    no = _reviewed(x, labels, unknown)
    return -torch.where(labels == 1, _focal_yes(x - margin, gamma), no).mean()


def splc(
    logits: Tensor,
    labels: Tensor,
    epoch: int,
    threshold: float = 0.6,
    margin: float = 1.0,
    gamma: float = 2.0,
) -> Tensor:
    """Self-paced loss correction (Zhang et al. 2021, arXiv:2112.07368, section 3.3).

    From the second epoch on (`epoch` 1) an unknown cell with a probability above `threshold` counts
    as a missing "yes". Yes and no have focal weight by `gamma`, a labelled "yes" also a `margin`.
    """
    x = logits.float()
    x = torch.where(labels == 1, x - margin, x)
    p = torch.sigmoid(x)
    yes = labels == 1
    if epoch >= 1:
        yes = yes | ((labels == -1) & (p > threshold))
    unknown = p**gamma * F.logsigmoid(-x)
    return -torch.where(yes, _focal_yes(x, gamma), _reviewed(x, labels, unknown)).mean()


def selective(
    logits: Tensor,
    labels: Tensor,
    ignored: int = 5,
    gamma_unknown: float = 4.0,
    gamma_negative: float = 1.0,
) -> Tensor:
    """Partial asymmetric loss, selective by likelihood (Ben-Baruch et al. 2021, arXiv:2110.10955).

    The `ignored` likeliest unknown cells of a design have no weight, at most half of its tags; the
    others count as "no" with focusing `gamma_unknown`; a reviewed "no" has focusing
    `gamma_negative`, a "yes" none.
    """
    x = logits.float()
    p = torch.sigmoid(x)
    unknown = labels == -1
    log_no = F.logsigmoid(-x)
    cells = torch.where(unknown, p**gamma_unknown * log_no, p**gamma_negative * log_no)
    count = min(ignored, x.shape[1] // 2)
    likeliest = p.detach().masked_fill(~unknown, -1).topk(count, dim=1).indices
    kept = torch.ones_like(p).scatter(1, likeliest, 0.0)
    cells = torch.where(unknown, cells * kept, cells)
    return -torch.where(labels == 1, F.logsigmoid(x), cells).mean()


def _focal_yes(x: Tensor, gamma: float) -> Tensor:
    return (1 - torch.sigmoid(x)) ** gamma * F.logsigmoid(x)


def _reviewed(x: Tensor, labels: Tensor, unknown: Tensor) -> Tensor:
    """Return the log-likelihood of a "no" where it is reviewed, and `unknown` elsewhere."""
    return torch.where(labels == 0, F.logsigmoid(-x), unknown)


def _targets(logits: Tensor, labels: Tensor) -> Tensor:
    return (labels == 1).to(logits.dtype)
