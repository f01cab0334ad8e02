"""fastai's defaults for multi-label, randomly initialised: ResNet-18 at 96 px, one cycle.

    python benchmarks/quality/plain_fastai.py FOLDER --epochs 15 --seed 0

Runs in an environment with fastai 2.8, not hangtag's; `rows.py` calls it. FOLDER holds train.lst,
validation.lst and the list to judge by, with absolute image paths, and gets scores.npz: scores of
the last epoch, as fastai exports it, float32 (n, T), and the ids of the designs, int64 (n,).
fastai opens designs as RGB: the colours under transparency are seen.
"""

import time

from fastai.vision.all import (
    ColReader,
    DataBlock,
    ImageBlock,
    MultiCategoryBlock,
    Resize,
    aug_transforms,
    resnet18,
    set_seed,
    vision_learner,
)
from pandas import DataFrame
from peer import leave, options_of

SIDE, BATCH = 96, 64


def main():
    options = options_of(__doc__)
    set_seed(options.seed, reproducible=True)
    rows, tags = designs(options.folder, {"train", "validation"})
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock(vocab=tags)),
        get_x=ColReader("image"),
        get_y=ColReader("tags", label_delim=" "),
        splitter=lambda frame: (
            frame.index[frame.split == "train"].tolist(),
            frame.index[frame.split == "validation"].tolist(),
        ),
        item_tfms=Resize(SIDE),
        batch_tfms=aug_transforms(),
    )
    loaders = block.dataloaders(rows, bs=BATCH, num_workers=0)
    began = time.monotonic()
    learner = vision_learner(loaders, resnet18, pretrained=False, metrics=[])
    learner.fit_one_cycle(options.epochs)
    seconds = time.monotonic() - began
    judged, _ = designs(options.folder, {options.judge})
    scores, _ = learner.get_preds(dl=loaders.test_dl(judged, num_workers=0))
    leave(options.folder, scores.numpy(), judged["id"], seconds=seconds)


def designs(folder, splits):
    """Read lists of id, labels and path; tags go by the number of their column."""
    found, width = [], 0
    for split in sorted(splits):
        for line in (folder / f"{split}.lst").read_text().splitlines():
            number, *labels, image = line.split("\t")
            width = len(labels)
            tags = " ".join(str(n) for n, label in enumerate(labels) if label == "1")
            found.append({"id": int(number), "image": f"/{image}", "tags": tags, "split": split})
    return DataFrame(found), [str(n) for n in range(width)]


if __name__ == "__main__":
    main()
