"""SageMaker's image classification as an MXNet 1.9.1 recipe: im2rec, ResNet-18, weighted loss.

    python benchmarks/quality/mxnet_recipe.py FOLDER --epochs 15 --seed 0

Runs in an environment with MXNet (`pip install mxnet==1.9.1 numpy==1.23.5
opencv-python-headless==4.8.1.78`), not hangtag's; `rows.py` calls it. FOLDER holds train.lst,
validation.lst and the list to judge by, with absolute image paths, and gets scores.npz: the scores
of the best validation epoch, float32 (n, T), and the ids of the designs that im2rec could read,
int64 (n,). im2rec keeps its defaults, so that alpha is dropped and the colours under it are seen.
"""

import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
from peer import leave, options_of

SIDE, BATCH = 96, 64
LEAST, PATIENCE = 15, 5  # epochs at least, and then without a better score until it is over
# SageMaker's `crop_color_transform` (its developer guide) in MXNet's own words.
AUGMENTATION = {
    "shuffle": True, "rand_crop": True, "rand_mirror": True, "random_h": 36, "random_s": 50,
    "random_l": 50, "max_rotate_angle": 10, "max_shear_ratio": 0.1, "max_aspect_ratio": 0.25,
}  # fmt: skip
IMAGENET = {
    "mean_r": 123.68, "mean_g": 116.78, "mean_b": 103.94, "std_r": 58.4, "std_g": 57.1,
    "std_b": 57.4,
}  # fmt: skip


def main():
    options = options_of(__doc__)
    mx.random.seed(options.seed)
    np.random.seed(options.seed)
    labels = {split: packed(options.folder, split) for split in {"train", "validation"}}
    labels[options.judge] = packed(options.folder, options.judge)
    began = time.monotonic()
    tags = labels["train"][1].shape[1]
    network = mx.gluon.model_zoo.vision.resnet18_v2(classes=tags)
    network.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
    network.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(network.collect_params(), "adam", {"learning_rate": 0.001})
    weights = balanced(labels["train"][1])
    batches = images(options.folder, "train", tags, options.seed, **AUGMENTATION)
    best, best_file = -1.0, str(options.folder / "best.params")
    history = []
    for epoch in range(options.epochs):
        loss = one_epoch(network, trainer, batches, weights)
        found = macro_map(
            scores(network, options.folder, "validation", tags), *labels["validation"]
        )
        history.append(found)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, validation macro mAP {found:.4f}", flush=True)
        if found > best:
            best = found
            network.save_parameters(best_file)
        if epoch + 1 >= max(LEAST, int(np.argmax(history)) + 1 + PATIENCE):
            break
    seconds = time.monotonic() - began
    network.load_parameters(best_file)
    ids = labels[options.judge][0]
    judged = scores(network, options.folder, options.judge, tags)[: len(ids)]
    leave(options.folder, judged, ids, seconds=seconds, history=history)


def packed(folder, split):
    """Pack a list with im2rec; return the ids and labels, (n, T), of what it could read."""
    record, index = folder / f"{split}.rec", folder / f"{split}.idx"
    if not record.exists():
        tool = Path(mx.__file__).parent / "tools" / "im2rec.py"
        command = [sys.executable, tool, "--pack-label", "--resize", SIDE, folder / split, "/"]
        words = [str(word) for word in command]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=3600)
    reader = mx.recordio.MXIndexedRecordIO(str(index), str(record), "r")
    headers = [mx.recordio.unpack(reader.read_idx(key))[0] for key in reader.keys]
    return np.array([header.id for header in headers]), np.stack([h.label for h in headers])


def images(folder, split, tags, seed, **augmentation):
    """Iterate over a split. With `seed_aug` every epoch would change a design in the same way."""
    return mx.io.ImageRecordIter(
        path_imgrec=str(folder / f"{split}.rec"), path_imgidx=str(folder / f"{split}.idx"),
        data_shape=(3, SIDE, SIDE), label_width=tags, batch_size=BATCH, preprocess_threads=1,
        seed=seed, **IMAGENET, **augmentation,
    )  # fmt: skip


def balanced(labels):
    """Give yes and no of a tag the same total weight: `use_weighted_loss` of SageMaker's guide."""
    yes = np.clip(labels.mean(axis=0), 1e-3, 1 - 1e-3)
    return mx.nd.array(0.5 / yes), mx.nd.array(0.5 / (1 - yes))


def one_epoch(network, trainer, batches, weights):
    sigmoid_loss = mx.gluon.loss.SigmoidBinaryCrossEntropyLoss()
    losses = []
    batches.reset()
    for batch in batches:
        data, wanted = ordinary(batch.data[0]), ordinary(batch.label[0])
        with mx.autograd.record():
            weight = wanted * weights[0] + (1 - wanted) * weights[1]
            loss = sigmoid_loss(network(data), wanted, weight)
        loss.backward()
        trainer.step(BATCH)
        losses.append(float(loss.mean().asscalar()))
    return np.mean(losses)


def scores(network, folder, split, tags):
    """Return probabilities, float32 (n or more, T): the last batch is filled up."""
    batches = images(folder, split, tags, 0)
    return np.concatenate(
        [network(ordinary(batch.data[0])).sigmoid().asnumpy() for batch in batches]
    )


def ordinary(array):
    """Move what ImageRecordIter left in pinned memory, which a hybrid network refuses."""
    return array.as_in_context(mx.cpu())


def macro_map(found, ids, labels):
    """Return the mean over tags of average precision, to choose the epoch by."""
    values = []
    for column in range(labels.shape[1]):
        yes = labels[np.argsort(-found[: len(ids), column], kind="stable"), column] == 1
        if yes.any():
            values.append((np.cumsum(yes) / np.arange(1, len(yes) + 1))[yes].mean())
    return float(np.mean(values))


if __name__ == "__main__":
    main()
