"""hangtag-base as ONNX: what torch computes, named as in torch, and with other weights in it."""

import numpy as np
import onnx
import onnxruntime
import pytest

from hangtag.index.backbone import (
    FEATURES,
    INPUT,
    OWN_FILE,
    OnnxBackbone,
    constants_of,
    has_parts_of,
    is_own,
    own_in_8_bits,
    own_state,
    weights_of,
)
from hangtag.index.model_graph import in_8_bits

INPUTS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 4), dtype=np.uint8)


def test_features_come_in_parts() -> None:
    backbone = OnnxBackbone()
    found = backbone.features(INPUTS)
    assert found.shape == (3, sum(backbone.widths)) == (3, 2068)
    assert len(backbone.widths) == 12


@pytest.mark.parametrize("side", [32, 96, 160])
def test_it_takes_any_input_of_whole_cells(side: int) -> None:
    inputs = np.zeros((2, side, side, 4), np.uint8)
    assert np.isfinite(OnnxBackbone().features(inputs)).all()


def test_it_is_small_and_in_half_precision() -> None:
    assert OWN_FILE.stat().st_size < 12e6
    kinds = {one.data_type for one in onnx.load(OWN_FILE).graph.initializer if "conv" in one.name}
    assert kinds == {onnx.TensorProto.FLOAT16}


def test_it_is_there_in_8_bits() -> None:
    """Made of the weights as they are now: see benchmarks/quality/int8_backbone.py."""
    network = own_in_8_bits()
    assert network is not None, "run benchmarks/quality/int8_backbone.py: the weights have changed"
    session = onnxruntime.InferenceSession(network.SerializeToString())
    rounded, exact = session.run([FEATURES], {INPUT: INPUTS})[0], OnnxBackbone().features(INPUTS)
    lengths = np.linalg.norm(rounded, axis=1) * np.linalg.norm(exact, axis=1)
    assert ((rounded * exact).sum(axis=1) / lengths).min() > 0.95
    assert (rounded != exact).any()


def test_only_a_model_with_its_own_weights_has_them_in_8_bits() -> None:
    graph = OnnxBackbone().graph()
    assert is_own(graph)
    weight = next(one for one in weights_of(graph) if one.name.endswith("conv_stem.weight"))
    values = onnx.numpy_helper.to_array(weight) * np.float16(0.5)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert not is_own(graph)
    assert in_8_bits(graph) is None


def test_a_model_of_before_has_other_features_of_the_same_weights() -> None:
    now, before = OnnxBackbone().graph(), OnnxBackbone().graph()
    bias = next(one for one in constants_of(before) if one.name.endswith("bias"))
    values = onnx.numpy_helper.to_array(bias) + np.float16(1)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    assert has_parts_of(now, now)
    assert not has_parts_of(before, now)
    assert not is_own(before)
    fewer = OnnxBackbone().graph()
    onnx.helper.set_model_props(fewer, {"widths": "[1280]"})
    assert not has_parts_of(fewer, now)


def test_what_torch_has_exported_is_not_put_together_with_the_network_in_8_bits() -> None:
    """Its nodes have the names of the other's."""
    graph = OnnxBackbone().graph()
    onnx.helper.set_model_props(graph, {})
    assert has_parts_of(graph, OnnxBackbone().graph())
    assert not is_own(graph)
    assert in_8_bits(graph) is None


def test_other_weights_of_the_same_network_replace_its_own() -> None:
    own, state = OnnxBackbone(), own_state()
    same = OnnxBackbone(state)
    assert same.digest == own.digest
    state["backbone.conv_stem.weight"] = state["backbone.conv_stem.weight"] * 0.5
    other = OnnxBackbone(state)
    assert other.digest != own.digest
    assert not np.allclose(other.features(INPUTS), own.features(INPUTS), atol=0.01)
    np.testing.assert_allclose(
        other.state["backbone.conv_stem.weight"], state["backbone.conv_stem.weight"], atol=1e-6
    )


def test_a_weight_that_is_missing_is_an_error() -> None:
    state = own_state()
    del state["backbone.conv_stem.weight"]
    with pytest.raises(KeyError, match="conv_stem"):
        OnnxBackbone(state)


@pytest.mark.slow
def test_torch_computes_the_same() -> None:
    import torch

    from hangtag.training.network import TagNetwork, load_backbone

    network = TagNetwork("hangtag-base", 1, pooling="all").eval()
    load_backbone(network, "hangtag-base", None)
    with torch.inference_mode():
        expected = network.features(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(OnnxBackbone().features(INPUTS), expected, atol=1e-3)
