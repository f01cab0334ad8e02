"""Other heads on the features that the kernel head has: logistic loss, and a small MLP.

    python benchmarks/quality/other_heads.py runs/quality/{openclipart,emoji,icons}/dataset

Macro mAP (micro mAP) on the test split where there is one, else on validation. `kernel` is what
`hangtag train` fits. `logistic` has the same kernel between the same landmarks, every tag fitted by
logistic regression, each penalty a row. The MLP gets the same standardised features; the mean of
three seeds. Both get their best epoch or penalty by the split that judges, which flatters them.
Four minutes of two cores per dataset.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.index.own import SIDE_OF_OWN
from hangtag.quality.metrics import macro_map, micro_map
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.features import FEATURES_FOLDER, stored_features

PENALTIES = (1e-2, 1e-1)
WIDTH = 512
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 40, 128, 5e-4, 0.05, 0.5
SEEDS = (0, 1, 2)
Labels = NDArray[np.int8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", type=Path, nargs="+")
    print("| set | head | macro mAP (micro) | seconds |")
    print("|---" * 4 + "|")
    for path in parser.parse_args().datasets:
        compare(Dataset.open(path))


def compare(folder: Dataset) -> None:
    """Print the rows of one dataset."""
    backbone = OnnxBackbone()
    judged = "test" if "test" in folder.splits() else "validation"
    splits = ("train", "validation", "test") if judged == "test" else ("train", "validation")
    stored, found = stored_features(
        backbone, folder, splits, SIDE_OF_OWN, folder.path / FEATURES_FOLDER
    )
    train, other = found["train"], found[judged]
    groups = groups_of(folder, "train")
    assert groups is not None
    yes = folder.labels("train")[train.records]
    truth = folder.judged_labels(judged)[other.records]
    unseen = Rows(stored, other.rows)[:]

    def row(title: str, outputs: NDArray[np.float32], began: float) -> None:
        scores = expit(outputs.astype(np.float64))
        figures = f"{macro_map(scores, truth):.4f} ({micro_map(scores, truth):.4f})"
        seconds = time.monotonic() - began
        print(f"| {folder.path.parent.name} | {title} | {figures} | {seconds:.0f} |", flush=True)

    began = time.monotonic()
    head = kernel.fit(
        Rows(stored, train.rows), yes, groups[train.records], backbone.widths, predict=0
    ).head
    row("**kernel**", head.logits(unseen), began)
    widths = head.settings.widths
    x, z = (
        kernel.standardised(rows, head.mean, head.scale, widths)
        for rows in (Rows(stored, train.rows)[:], unseen)
    )
    within = torch.from_numpy(kernel.kernel(x, head.landmarks, head.settings))
    across = torch.from_numpy(kernel.kernel(z, head.landmarks, head.settings))
    targets = torch.from_numpy((yes == 1).astype(np.float32))
    for penalty in PENALTIES:
        began = time.monotonic()
        weights, bias = logistic(within, targets, penalty)
        row(f"logistic, penalty {penalty:g}", (across @ weights + bias).numpy(), began)
    began = time.monotonic()
    runs = [mlp(torch.from_numpy(x), targets, torch.from_numpy(z), seed) for seed in SEEDS]
    best = max(range(EPOCHS), key=lambda n: sum(macro_map(run[n], truth) for run in runs))
    macro, micro = (
        float(np.mean([of(run[best], truth) for run in runs])) for of in (macro_map, micro_map)
    )
    print(
        f"| {folder.path.parent.name} | MLP of {WIDTH}, best at epoch {best + 1} "
        f"| {macro:.4f} ({micro:.4f}) | {(time.monotonic() - began) / len(SEEDS):.0f} |",
        flush=True,
    )


def logistic(within: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weights, (M, T), and bias, (T,), of kernel logistic regression.

    `within`: (n, M), the kernel. The penalty is on the functions' norms, w' K w / 2: the weights
    are learned in the coordinates in which that norm is plain, K's square root.
    """
    values, vectors = torch.linalg.eigh(within.double())
    kept = values > 1e-6 * values.max()
    # Rounding makes the rest of a kernel matrix of full rank; the scale conditions the descent.
    coordinates = (vectors[:, kept] * values[kept].sqrt()).float()
    back = (vectors[:, kept] / values[kept].sqrt()).float()
    frequency = targets.mean(0).clamp(1e-5, 1 - 1e-5)
    weights = torch.zeros(coordinates.shape[1], targets.shape[1], requires_grad=True)
    bias = torch.log(frequency / (1 - frequency)).requires_grad_()
    descent = torch.optim.LBFGS(
        [weights, bias], max_iter=150, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        descent.zero_grad()
        outputs = coordinates @ weights + bias
        errors = F.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")
        total = errors + penalty / 2 * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    descent.step(loss)  # type: ignore[no-untyped-call]
    return back @ weights.detach(), bias.detach()


def mlp(x: Tensor, targets: Tensor, z: Tensor, seed: int) -> list[NDArray[np.float64]]:
    """Return the scores of z, (m, T), after every epoch of an MLP with one hidden layer."""
    torch.manual_seed(seed)
    scale = float(x.square().mean().sqrt())
    x, z = x / scale, z / scale
    network = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(x.shape[1], WIDTH), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, targets.shape[1]),
    )  # fmt: skip
    frequency = targets.mean(0).clamp(1e-5)
    network[-1].bias.data = torch.log(frequency / (1 - frequency))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    found = []
    for _ in range(EPOCHS):
        network.train()
        for some in torch.randperm(len(x))[: len(x) // BATCH * BATCH].view(-1, BATCH):
            errors = F.binary_cross_entropy_with_logits(
                network(x[some]), targets[some], reduction="sum"
            )
            (errors / BATCH).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        network.eval()
        with torch.inference_mode():
            found.append(torch.sigmoid(network(z)).double().numpy())
    return found


if __name__ == "__main__":
    main()
