"""A generator as an ONNX graph, written operation by operation from its weights; no torch.

The graph computes what `training.networks.Generator` computes in eval mode, at any batch size and,
with film `pooled`, at any size of the pictures. Tests hold it to that within 1e-3 of a range of 2.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.weights_file import takes_any_size, unit_px

Arrays = Mapping[str, NDArray[Any]]

INPUT, IMAGE, HEATMAP = "x_signed", "image", "heatmap"
"""Names of the graph's input (N, 3, H, W) in [-1, 1] and of its outputs; see `build_graph`."""
OPSET = 17
_IR_VERSION = 8
_EPS = 1e-5
_LEAKY_SLOPE = 0.2
_TO_END = np.iinfo(np.int64).max


def build_graph(
    arrays: Arrays, architecture: Mapping[str, Any], *, is_half: bool = False
) -> onnx.ModelProto:
    """Return the graph of a generator.

    Its input is `x_signed` (N, 3, H, W) float32 in [-1, 1]; its outputs are `image`, of the same
    shape and range, and `heatmap` (N, 1, h, w), the attention, of no fixed range.

    Args:
        arrays: The generator's state dict as arrays.
        architecture: `Generator.arguments`.
        is_half: Keep the weights in half precision; they are widened as the graph is loaded, and
            computed with in single precision.

    Raises:
        KeyError: A weight, or an entry of the architecture, is missing.
    """
    graph = _GeneratorGraph(arrays, architecture, is_half=is_half)
    graph.translate()
    side = None if takes_any_size(architecture) else architecture["image_size_px"]
    height, width = side or "height", side or "width"
    map_height, map_width = (
        side // unit_px(architecture) if side else name for name in ("map_height", "map_width")
    )
    shapes = {
        INPUT: ["count", 3, height, width],
        IMAGE: ["count", 3, height, width],
        HEATMAP: ["count", 1, map_height, map_width],
    }
    described = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "generator",
            [described[INPUT]],
            [described[IMAGE], described[HEATMAP]],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="anymus",
    )


class _GeneratorGraph:
    """The nodes and constants of one generator; methods take and return names of tensors."""

    def __init__(self, arrays: Arrays, architecture: Mapping[str, Any], *, is_half: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._arrays = {
            name: array.astype(np.float32, copy=False) for name, array in arrays.items()
        }
        self._is_half = is_half
        self._architecture = architecture
        self._is_leaky = architecture["activation"] == "leaky_relu"
        self._is_reflecting = architecture["padding"] == "reflect"

    def translate(self) -> None:
        """Add all that leads from the input to both outputs, in the order of `Generator`."""
        halvings = range(len(self._architecture["channel_multipliers"]))
        blocks = range(self._architecture["residual_blocks"])
        full, *halved = self._count_pixels()
        small = [full, *halved][-1]
        x = self._activated(self._instance_norm(self._conv(INPUT, "stem"), full))
        for i in halvings:
            conv = self._conv(x, f"down_convs.{i}", stride=2)
            x = self._activated(self._instance_norm(conv, halved[i]))
        for i in blocks:
            x = self._residual_block(x, f"encoder_blocks.{i}", small)
        x = self._attended(x)
        self._op("ReduceSum", [x, self._constant([1])], name=HEATMAP, keepdims=1)
        affine = self._film(x)
        for i in blocks:
            x = self._adalin_block(x, f"decoder_blocks.{i}", affine, small)
        for i, pixels in zip(halvings, [*halved[-2::-1], full], strict=True):
            norm = f"up_norms.{i}"
            own = self._weight(f"{norm}.gamma"), self._weight(f"{norm}.beta")
            x = self._up_conv(x, f"up_convs.{i}")
            x = self._activated(self._adalin(x, norm, own, pixels))
        self._op("Tanh", [self._conv(x, "head")], name=IMAGE)

    def _residual_block(self, x: str, name: str, pixels: str) -> str:
        y = self._activated(self._instance_norm(self._conv(x, f"{name}.conv1"), pixels))
        y = self._instance_norm(self._conv(y, f"{name}.conv2"), pixels)
        return self._op("Add", [x, y])

    def _adalin_block(self, x: str, name: str, affine: tuple[str, str], pixels: str) -> str:
        y = self._adalin(self._conv(x, f"{name}.conv1"), f"{name}.norm1", affine, pixels)
        y = self._conv(self._activated(y), f"{name}.conv2")
        return self._op("Add", [x, self._adalin(y, f"{name}.norm2", affine, pixels)])

    def _conv(self, x: str, name: str, *, stride: int = 1) -> str:
        """Add a convolution that keeps the size (or halves it), padded like `PaddedConv`."""
        weight = self._arrays[f"{name}.weight"]
        total = weight.shape[2] - 1
        pads = [total // 2, total - total // 2]
        attributes: dict[str, Any] = {"strides": [stride, stride]} if stride > 1 else {}
        inputs = [self._weight(f"{name}.weight")]
        if self._is_reflecting:
            return self._op("Conv", [self._padded(x, pads, "reflect"), *inputs], **attributes)
        return self._op(
            "Conv", [x, *inputs], pads=[pads[0], pads[0], pads[1], pads[1]], **attributes
        )

    def _up_conv(self, x: str, name: str) -> str:
        """Add a convolution of the doubled map.

        A 3x3 one is computed on the map itself, see `training.fused.folded_upsampling_conv`.
        """
        weight = self._arrays[f"{name}.weight"]
        if weight.shape[2:] != (3, 3):
            scales = self._constant([1, 1, 2, 2], np.float32)
            doubled = self._op(
                "Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            )  # fmt: skip
            return self._conv(doubled, name)
        rows = _two_tap(weight, axis=2)
        phases = [kernel for row in rows for kernel in _two_tap(row, axis=3)]
        folded = np.concatenate(phases)  # (4 C_out, C_in, 2, 2)
        padded = self._padded(x, [1, 1], "edge" if self._is_reflecting else "constant")
        y = self._op("Conv", [padded, self._weight_of(folded, f"{name}.folded")])
        channels = weight.shape[0]
        places = [self._phase(y, index, channels) for index in range(4)]
        return self._op("DepthToSpace", [self._op("Concat", places, axis=1)], blocksize=2)

    def _phase(self, y: str, index: int, channels: int) -> str:
        """Add the cut of a phase's channels, and of the rows and columns that belong to it."""
        row, column = divmod(index, 2)
        starts = [index * channels, row, column]
        ends = [(index + 1) * channels, _TO_END if row else -1, _TO_END if column else -1]
        return self._op("Slice", [y, *map(self._constant, (starts, ends, [1, 2, 3]))])

    def _instance_norm(self, x: str, pixels: str) -> str:
        mean = self._op("GlobalAveragePool", [x])
        centred = self._op("Sub", [x, mean])
        squares = self._op("ReduceSumSquare", [centred], axes=[2, 3], keepdims=1)
        variance = self._op("Div", [squares, pixels])
        return self._op("Div", [centred, self._deviation(variance)])

    def _adalin(self, x: str, name: str, affine: tuple[str, str], pixels: str) -> str:
        """Add `training.layers.instance_layer_norm`: one affine map of the centred channels."""
        channels = self._constant([len(self._arrays[f"{name}.rho"].reshape(-1))], np.float32)
        rho = self._arrays[f"{name}.rho"]
        in_share = self._weight_of(rho, f"{name}.rho")
        ln_share = self._weight_of(1 - rho, f"{name}.rest")
        one, (gamma, beta) = self._constant([1], np.float32), affine
        mean = self._op("GlobalAveragePool", [x])
        centred = self._op("Sub", [x, mean])
        squares = self._op("ReduceSumSquare", [centred], axes=[2, 3], keepdims=1)
        in_var = self._op("Div", [squares, self._op("Sub", [pixels, one])])
        # The layer's statistics follow from those of the channels.
        ln_mean = self._op("ReduceMean", [mean], axes=[1], keepdims=1)
        offset = self._op("Sub", [mean, ln_mean])
        between = self._op("Mul", [pixels, self._op("Mul", [offset, offset])])
        parts = self._op("Add", [squares, between])
        total = self._op("ReduceSum", [parts, self._constant([1])], keepdims=1)
        freedom = self._op("Sub", [self._op("Mul", [pixels, channels]), one])
        ln_var = self._op("Div", [total, freedom])
        in_part = self._op("Div", [in_share, self._deviation(in_var)])
        ln_part = self._op("Div", [ln_share, self._deviation(ln_var)])
        scale = self._op("Mul", [gamma, self._op("Add", [in_part, ln_part])])
        ln_shift = self._op("Mul", [gamma, self._op("Mul", [ln_part, offset])])
        shift = self._op("Add", [beta, ln_shift])
        return self._op("Add", [self._op("Mul", [centred, scale]), shift])

    def _attended(self, x: str) -> str:
        """Add the attention: its weights are folded into the mixing convolution's."""
        mix = self._arrays["cam.mix.weight"]  # (C, 2 C, 1, 1)
        of_average, of_maximum = np.split(mix[:, :, 0, 0], 2, axis=1)
        folded = of_average * self._arrays["cam.average.weight"]
        folded = folded + of_maximum * self._arrays["cam.maximum.weight"]
        folded = folded[:, :, None, None]
        inputs = [x, self._weight_of(folded, "cam.folded"), self._weight("cam.mix.bias")]
        return self._activated(self._op("Conv", inputs))

    def _film(self, x: str) -> tuple[str, str]:
        """Add the layers that make gamma and beta, (N, C, 1, 1) each."""
        is_pooled = self._architecture["film"] == "pooled"
        y = self._op("GlobalAveragePool", [x]) if is_pooled else x
        for name in ("film.hidden1", "film.hidden2"):
            y = self._op("Relu", [self._linear(y, name)])
        return self._linear(y, "film.gamma"), self._linear(y, "film.beta")

    def _linear(self, x: str, name: str) -> str:
        """Add a linear layer of whole maps, as a convolution with a kernel of their size."""
        weight = self._arrays[f"{name}.weight"]
        side = math.isqrt(weight.shape[1] // weight.shape[0])
        kernel = weight.reshape(weight.shape[0], -1, side, side)
        return self._op("Conv", [x, self._weight_of(kernel, f"{name}.weight")])

    def _activated(self, x: str) -> str:
        if self._is_leaky:
            return self._op("LeakyRelu", [x], alpha=_LEAKY_SLOPE)
        return self._op("Relu", [x])

    def _padded(self, x: str, pads: Sequence[int], mode: str) -> str:
        before, after = pads
        amounts = self._constant([0, 0, before, before, 0, 0, after, after])
        return self._op("Pad", [x, amounts], mode=mode)

    def _deviation(self, variance: str) -> str:
        return self._op("Sqrt", [self._op("Add", [variance, self._constant([_EPS], np.float32)])])

    def _count_pixels(self) -> list[str]:
        """Add the pixels of a picture's map after each number of halvings, as (N, 1, 1, 1) floats.

        Counted by adding ones: OpenCV's importer has no shape of a picture whose size is free.
        """
        first = self._op("Slice", [INPUT, *map(self._constant, ([0], [1], [1]))])
        noughts = self._op("Mul", [first, self._constant([0], np.float32)])
        ones = self._op("Add", [noughts, self._constant([1], np.float32)])
        counts = [self._op("ReduceSum", [ones, self._constant([2, 3])], keepdims=1)]
        for _ in self._architecture["channel_multipliers"]:
            counts.append(self._op("Mul", [counts[-1], self._constant([0.25], np.float32)]))
        return counts

    def _weight(self, name: str) -> str:
        return self._weight_of(self._arrays[name], name)

    def _weight_of(self, array: NDArray[np.float32], name: str) -> str:
        """Add a weight, in half precision and with a node that widens it if so asked."""
        if not self._is_half:
            return self._kept(array, name)
        half = self._kept(array.astype(np.float16), name)
        return self._op("Cast", [half], to=TensorProto.FLOAT)

    def _constant(self, values: Sequence[float], kind: type = np.int64) -> str:
        name = f"constant.{kind.__name__}." + ".".join(map(str, values))
        return self._kept(np.array(values, kind), name)

    def _kept(self, array: NDArray[Any], name: str) -> str:
        if all(kept.name != name for kept in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _op(
        self, kind: str, inputs: Sequence[str], name: str | None = None, **attributes: Any
    ) -> str:
        """Add a node and return its output's name."""
        output = name or f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output


def _two_tap(weight: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the two-tap kernels of even and of odd output pixels along one axis of three."""
    first, middle, last = np.split(weight, 3, axis)
    return np.concatenate([first, middle + last], axis), np.concatenate(
        [first + middle, last], axis
    )
