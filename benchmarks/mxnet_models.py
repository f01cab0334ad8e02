"""Models as SageMaker's built-in image classification leaves them, made with the real MXNet.

    python benchmarks/mxnet_models.py OUT --layers 18 --size 224 --tags 10

Runs in an environment with MXNet 1.9.1 (`pip install mxnet==1.9.1 numpy==1.23.5`), not hangtag's.
The network is the pre-activation ResNet (arXiv:1603.05027) of MXNet's example/image-classification,
which the built-in algorithm is based on, with a sigmoid for many labels. OUT gets model.tar.gz and
expected.npz: designs as uint8 (n, s, s, 3), the network's probabilities (n, T), and its seconds.
"""

import argparse
import json
import tarfile
import time
from pathlib import Path

import mxnet as mx
import numpy as np

UNITS = {
    10: ([1, 1, 1, 1], False), 18: ([2, 2, 2, 2], False), 34: ([3, 4, 6, 3], False),
    50: ([3, 4, 6, 3], True), 101: ([3, 4, 23, 3], True), 152: ([3, 8, 36, 3], True),
}  # fmt: skip


def unit(data, filters, stride, same, name, deep):
    """One residual unit: normalise, activate, convolve, two or three times; add."""

    def step(data, number, filters, kernel, stride):
        norm = mx.sym.BatchNorm(data, fix_gamma=False, eps=2e-5, name=f"{name}_bn{number}")
        act = mx.sym.Activation(norm, act_type="relu", name=f"{name}_relu{number}")
        pad = (kernel // 2, kernel // 2)
        conv = mx.sym.Convolution(
            act, num_filter=filters, kernel=(kernel, kernel), stride=stride, pad=pad,
            no_bias=True, name=f"{name}_conv{number}",
        )  # fmt: skip
        return conv, act

    if deep:
        first, act = step(data, 1, filters // 4, 1, (1, 1))
        second, _ = step(first, 2, filters // 4, 3, stride)
        last, _ = step(second, 3, filters, 1, (1, 1))
    else:
        first, act = step(data, 1, filters, 3, stride)
        last, _ = step(first, 2, filters, 3, (1, 1))
    if not same:
        data = mx.sym.Convolution(
            act, num_filter=filters, kernel=(1, 1), stride=stride, no_bias=True, name=f"{name}_sc"
        )
    return last + data


def resnet(layers, tags, width):
    """The whole network, ending in one sigmoid per tag."""
    units, deep = UNITS[layers]
    filters = [width] + [width * 2**n * (4 if deep else 1) for n in range(4)]
    data = mx.sym.Variable("data")
    body = mx.sym.BatchNorm(data, fix_gamma=True, eps=2e-5, name="bn_data")
    body = mx.sym.Convolution(
        body, num_filter=filters[0], kernel=(7, 7), stride=(2, 2), pad=(3, 3), no_bias=True,
        name="conv0",
    )  # fmt: skip
    body = mx.sym.BatchNorm(body, fix_gamma=False, eps=2e-5, name="bn0")
    body = mx.sym.Activation(body, act_type="relu", name="relu0")
    body = mx.sym.Pooling(
        body, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="pooling0"
    )
    for stage, count in enumerate(units):
        for number in range(count):
            stride = (2, 2) if stage and not number else (1, 1)
            name = f"stage{stage + 1}_unit{number + 1}"
            body = unit(body, filters[stage + 1], stride, number > 0, name, deep)
    body = mx.sym.BatchNorm(body, fix_gamma=False, eps=2e-5, name="bn1")
    body = mx.sym.Activation(body, act_type="relu", name="relu1")
    body = mx.sym.Pooling(body, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    body = mx.sym.FullyConnected(mx.sym.Flatten(body), num_hidden=tags, name="fc1")
    return mx.sym.LogisticRegressionOutput(body, name="softmax")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=18, choices=UNITS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--tags", type=int, default=10)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--designs", type=int, default=8)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    mx.random.seed(0)
    random = np.random.RandomState(0)
    # Blobs, so that the network sees drawings rather than noise.
    small = random.randint(0, 256, (options.designs, 6, 6, 3)).astype(np.uint8)
    cells = -(-options.size // 6)
    designs = small.repeat(cells, 1).repeat(cells, 2)[:, : options.size, : options.size]
    data = mx.nd.array(designs.transpose(0, 3, 1, 2).astype(np.float32))
    symbol = resnet(options.layers, options.tags, options.width)
    module = mx.mod.Module(symbol, label_names=["softmax_label"], context=mx.cpu())
    labels = [("softmax_label", (options.designs, options.tags))]
    module.bind([("data", data.shape)], labels)
    module.init_params(mx.initializer.Xavier(rnd_type="gaussian", magnitude=2))
    arguments, states = module.get_params()
    for name, array in arguments.items():  # no layer may be left as it begins
        if name.endswith(("gamma", "beta", "bias")):
            array[:] = array + mx.nd.array(random.normal(0, 0.1, array.shape))
    arguments["fc1_weight"][:] *= 0.2  # so that the sigmoids are not all at their ends
    module.set_params(arguments, states)
    batch = mx.io.DataBatch([data], [mx.nd.zeros((options.designs, options.tags))])
    module.init_optimizer(optimizer="sgd", optimizer_params={"learning_rate": 0.0})
    for _ in range(50):  # steps of no length: only the moving means come to fit the designs
        module.forward_backward(batch)
        module.update()
        module.get_outputs()[0].wait_to_read()
    prefix = options.out / "image-classification"
    module.save_checkpoint(str(prefix), 3)
    (options.out / "model-shapes.json").write_text(
        json.dumps([{"shape": [1, 3, options.size, options.size], "name": "data"}])
    )
    # The saved network answers, not the module: the module's moving means are a step ahead of it.
    symbol, arguments, states = mx.model.load_checkpoint(str(prefix), 3)
    module = mx.mod.Module(symbol, label_names=["softmax_label"], context=mx.cpu())
    module.bind([("data", data.shape)], labels, for_training=False)
    module.set_params(arguments, states)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        module.forward(batch, is_train=False)
        probabilities = module.get_outputs()[0].asnumpy()
        seconds.append(time.perf_counter() - begin)
    np.savez_compressed(
        options.out / "expected.npz",
        designs=small, size=options.size, probabilities=probabilities, seconds=min(seconds),
    )  # fmt: skip
    with tarfile.open(options.out / "model.tar.gz", "w:gz") as tar:
        for path in sorted(options.out.glob("image-classification-*")):
            tar.add(path, path.name)
        tar.add(options.out / "model-shapes.json", "model-shapes.json")
    print(f"probabilities {probabilities.min():.3f} to {probabilities.max():.3f}")


if __name__ == "__main__":
    main()
