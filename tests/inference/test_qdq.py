#!/usr/bin/env python3
"""Small random QDQ networks, one operator each, here and in ONNX Runtime: outputs must be equal byte for byte.

usage: test_qdq.py SIGHTLINE [--cases N] [--seed S] [--only OPERATOR] [--keep DIR]

Where ONNX Runtime computes in real numbers, whose sums round on the way, a value may be one step off where ours is
exact: with signed activations on x86-64, for which it has no integer kernels, and before a Clip that the quantisation
does not imply. The average of a pool it takes of real numbers, too.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SKIPPED = 77


class Net:
    """A network that is being written: real numbers between quantise and dequantise pairs."""

    def __init__(self, rng):
        self.rng, self.nodes, self.inits, self.inputs, self.count = rng, [], [], [], 0
        self.opset = 13
        self.dtype = np.uint8 if rng.random() < 0.8 else np.int8

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def constant(self, array, kind="k"):
        name = self.name(kind)
        self.inits.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, kind, inputs, **attributes):
        out = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    def pair(self, low=-4.0, high=4.0, positive=False):
        """Names of a scale and a zero point, as constants, for values between low and high."""
        info = np.iinfo(self.dtype)
        scale = np.float32((high - low) / 255 * self.rng.uniform(0.5, 1.5))
        zero = info.min if positive else self.rng.integers(info.min, info.max + 1)
        return self.constant(scale, "scale"), self.constant(self.dtype(zero), "zero")

    def requantise(self, real, pair=None):
        pair = pair or self.pair()
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [real, *pair]), *pair])

    def input(self, dims, pair=None):
        name = self.name("input")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        return self.requantise(name, pair)

    def weights(self, dims, axis=0):
        rng = self.rng
        scale = rng.uniform(0.002, 0.02, dims[axis]).astype(np.float32)
        if rng.random() < 0.3:
            scale = np.float32(scale[0])
        zero = np.zeros(scale.shape, np.int8)
        q = rng.integers(-127, 128, dims).astype(np.int8)
        names = [self.constant(q, "w"), self.constant(scale, "ws"), self.constant(zero, "wz")]
        kwargs = {} if scale.ndim == 0 else {"axis": axis}
        return self.node("DequantizeLinear", names, **kwargs), scale

    def bias(self, scale, x_pair, count):
        s_x = next(numpy_helper.to_array(i) for i in self.inits if i.name == x_pair[0])
        s = (scale * s_x).astype(np.float32)
        q = self.rng.integers(-2000, 2000, count).astype(np.int32)
        names = [self.constant(q, "b"), self.constant(s, "bs"), self.constant(np.zeros(s.shape, np.int32), "bz")]
        return self.node("DequantizeLinear", names, **({} if s.ndim == 0 else {"axis": 0}))

    def activation(self, x):
        kind = self.rng.choice(["", "Relu", "Clip"])
        if kind == "Relu":
            return self.node("Relu", [x]), True
        if kind == "Clip":
            return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))]), True
        return x, False

    def model(self, output):
        graph = helper.make_graph(
            self.nodes, "case", self.inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.inits
        )
        sets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=7 if self.opset < 14 else 10)
        if self.opset > onnx.defs.onnx_opset_version():  # newer than the checker
            return model
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


def size(rng, most=20):
    return int(rng.integers(1, most + 1))


def conv(net):
    rng = net.rng
    pair = net.pair()
    depthwise, k, stride, dilation = rng.random() < 0.3, int(rng.choice([1, 1, 3, 3, 5, 6])), size(rng, 2), size(rng, 2)
    channels = size(rng, 40)
    group = channels if depthwise else int(rng.choice([1, 1, 1, 2]))
    channels += channels % group
    outputs = channels if depthwise else group * size(rng, 24)
    reach = (k - 1) * dilation + 1
    x = net.input([1, channels, reach + size(rng), reach + size(rng)], pair)
    w, scale = net.weights([outputs, channels // group, k, k])
    inputs = [x, w] + ([net.bias(scale, pair, outputs)] if rng.random() < 0.8 else [])
    pads = [int(p) for p in rng.integers(0, k // 2 + 1, 4)]
    y = net.node("Conv", inputs, group=group, strides=[stride, stride], dilations=[dilation, dilation], pads=pads)
    y, positive = net.activation(y)
    span = 0.02 * 40 * (channels // group * k * k) ** 0.5
    return net.requantise(y, net.pair(0 if positive else -span, span, positive))


def binary(kind):
    def make(net):
        rng = net.rng
        dims = [1, size(rng), size(rng), size(rng)]
        other = [1, dims[1], 1, 1] if rng.random() < 0.2 else dims
        y = net.node(kind, [net.input(dims), net.input(other)])
        positive = False
        if kind == "Add" and rng.random() < 0.5:
            y, positive = net.node("Relu", [y]), True
        span = 16.0 if kind == "Mul" else 8.0
        return net.requantise(y, net.pair(0 if positive else -span, span, positive))

    return make


def halves(net):
    """A product whose quotients are often halves, which its zero point rounds to even or odd."""
    rng = net.rng
    dims = [1, size(rng), size(rng, 20), size(rng, 20)]
    gate = dims if rng.random() < 0.5 else [1, dims[1], 1, 1]
    net.dtype = np.uint8
    pairs = [(4 / 255, 0), (1 / 255, 0), (8 / 255, int(rng.integers(0, 200)))]
    x, y, out = [(net.constant(np.float32(s), "scale"), net.constant(net.dtype(z), "zero")) for s, z in pairs]
    return net.requantise(net.node("Mul", [net.input(dims, x), net.input(gate, y)]), out)


def mul(net):
    return halves(net) if net.rng.random() < 0.5 else binary("Mul")(net)


def concat(net):
    rng = net.rng
    h, w, same = size(rng), size(rng), net.pair()
    parts = [net.input([1, size(rng), h, w], same if rng.random() < 0.5 else None) for _ in range(size(rng, 3) + 1)]
    return net.requantise(net.node("Concat", parts, axis=1), same if rng.random() < 0.7 else None)


def max_pool(net):
    rng, pair = net.rng, net.pair()
    k = int(rng.choice([2, 3, 5]))
    x = net.input([1, size(rng), k + size(rng), k + size(rng)], pair)
    p = k // 2 if rng.random() < 0.6 else 0
    y = net.node("MaxPool", [x], kernel_shape=[k, k], strides=[size(rng, 2)] * 2, pads=[p] * 4)
    return net.requantise(y, pair)


def average_pool(net):
    rng, k = net.rng, int(net.rng.choice([2, 3]))
    x = net.input([1, size(rng), k + size(rng), k + size(rng)])
    p = k // 2 if rng.random() < 0.5 else 0
    y = net.node("AveragePool", [x], kernel_shape=[k, k], strides=[size(rng, 2)] * 2, pads=[p] * 4,
                 count_include_pad=int(rng.integers(0, 2)))
    return net.requantise(y)


def global_average_pool(net):
    rng = net.rng
    return net.requantise(net.node("GlobalAveragePool", [net.input([1, size(rng), size(rng), size(rng)])]))


def unary(kind, low=-8.0, high=8.0, **attributes):
    def make(net):
        rng = net.rng
        x = net.input([1, size(rng), size(rng), size(rng)], net.pair(-8, 8))
        return net.requantise(net.node(kind, [x], **attributes), net.pair(low, high))

    return make


def silu(net):
    x = net.input([1, size(net.rng), size(net.rng), size(net.rng)], net.pair(-8, 8))
    gate = net.requantise(net.node("Sigmoid", [x]), net.pair(0, 1, True))
    return net.requantise(net.node("Mul", [x, gate]), net.pair(-1, 8))


def resize(net):
    rng, pair = net.rng, net.pair()
    x = net.input([1, size(rng), size(rng), size(rng)], pair)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    y = net.node("Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric",
                 nearest_mode="floor")
    return net.requantise(y, pair)


def gemm(net):
    rng, pair = net.rng, net.pair()
    depth, outputs = size(rng, 60), size(rng, 40)
    x = net.input([size(rng, 4), depth], pair)
    w, scale = net.weights([outputs, depth])
    inputs = [x, w] + ([net.bias(scale, pair, outputs)] if rng.random() < 0.7 else [])
    span = 0.8 * depth**0.5
    return net.requantise(net.node("Gemm", inputs, transB=1), net.pair(-span, span))


def matmul(net):
    rng = net.rng
    depth, outputs = size(rng, 60), size(rng, 40)
    w, _ = net.weights([depth, outputs], 1)
    span = 0.8 * depth**0.5
    return net.requantise(net.node("MatMul", [net.input([1, size(rng, 8), depth]), w]), net.pair(-span, span))


def conv_transpose(net):
    rng, pair = net.rng, net.pair()
    channels, outputs, k = size(rng), size(rng), int(rng.choice([2, 3, 4]))
    w, _ = net.weights([channels, outputs, k, k], 1)
    x = net.input([1, channels, size(rng, 12), size(rng, 12)], pair)
    y = net.node("ConvTranspose", [x, w], strides=[2, 2], pads=[(k - 1) // 2] * 4)
    span = 0.4 * (channels * k * k) ** 0.5
    return net.requantise(y, net.pair(-span, span))


def split(net):
    rng, pair = net.rng, net.pair()
    each, h, w = size(rng), size(rng), size(rng)
    x = net.input([1, 2 * each, h, w], pair)
    left, right = net.name("left"), net.name("right")
    net.nodes.append(helper.make_node("Split", [x], [left, right], axis=1))
    left, right = net.requantise(left, pair), net.requantise(right, pair)
    return net.requantise(net.node("Concat", [right, left], axis=1), pair)


def pad(net):
    rng, pair = net.rng, net.pair()
    x = net.input([1, size(rng), size(rng), size(rng)], pair)
    amounts = net.constant(np.array([0, 0, *rng.integers(0, 3, 2), 0, 0, *rng.integers(0, 3, 2)], np.int64))
    return net.requantise(net.node("Pad", [x, amounts]), pair)


def reduce_mean(net):
    x = net.input([1, size(net.rng), size(net.rng), size(net.rng)])
    return net.requantise(net.node("ReduceMean", [x], axes=[2, 3], keepdims=1), net.pair(-2, 2))


def resize_linear(net):
    rng, pair = net.rng, net.pair()
    x = net.input([1, size(rng), size(rng) + 1, size(rng) + 1], pair)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    y = net.node("Resize", [x, "", scales], mode="linear", coordinate_transformation_mode="half_pixel")
    return net.requantise(y, pair)


def softmax(net):
    x = net.input([1, size(net.rng), 1 + size(net.rng)])  # of one value ONNX Runtime makes 0
    return net.requantise(net.node("Softmax", [x], axis=-1), net.pair(0, 1, True))


def prelu(net):
    channels = size(net.rng)
    x = net.input([1, channels, size(net.rng), size(net.rng)])
    slope = net.constant(net.rng.uniform(-0.5, 0.5, [channels, 1, 1]).astype(np.float32))
    return net.requantise(net.node("PRelu", [x, slope]))


def moves(net):
    """Shuffles of channels, as networks for phones have them."""
    rng, pair = net.rng, net.pair()
    groups, each, h, w = 2, size(rng), size(rng), size(rng)
    x = net.input([1, groups * each, h, w], pair)
    x = net.node("Reshape", [x, net.constant(np.array([1, groups, each, h, w], np.int64))])
    x = net.requantise(net.node("Transpose", [net.requantise(x, pair)], perm=[0, 2, 1, 3, 4]), pair)
    return net.requantise(net.node("Reshape", [x, net.constant(np.array([1, -1, h, w], np.int64))]), pair)


def newer(net):
    """What operator sets 18 to 21 changed: parts that differ, padded axes, reduced axes as input, a type by attribute."""
    rng, net.opset, net.dtype = net.rng, 21, np.uint8
    pair, channels, h, w = net.pair(), 2 * size(rng) + 1, size(rng), size(rng)
    x = net.input([1, channels, h, w], pair)
    scale = net.constant(np.float32(rng.uniform(0.01, 0.05)))
    x = net.node("DequantizeLinear", [net.node("QuantizeLinear", [x, scale], output_dtype=TensorProto.UINT8), scale])
    amounts, axes = net.constant(np.array([1, 0, 2, 1], np.int64)), net.constant(np.array([2, -1], np.int64))
    x = net.requantise(net.node("Pad", [x, amounts, "", axes]), pair)
    first, last = net.name("first"), net.name("last")
    net.nodes.append(helper.make_node("Split", [x], [first, last], axis=1, num_outputs=2))
    x = net.requantise(net.node("Concat", [net.requantise(last, pair), net.requantise(first, pair)], axis=1), pair)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    x = net.requantise(net.node("Resize", [x, "", scales], mode="nearest", antialias=0), pair)
    return net.requantise(net.node("ReduceMax", [x, net.constant(np.array([3], np.int64))], keepdims=1), pair)


OPERATORS = {
    "conv": conv,
    "add": binary("Add"),
    "mul": mul,
    "concat": concat,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_average_pool": global_average_pool,
    "sigmoid": unary("Sigmoid", 0, 1),
    "leaky_relu": unary("LeakyRelu", -1, 8, alpha=0.1),
    "silu": silu,
    "resize": resize,
    "gemm": gemm,
    "matmul": matmul,
    "moves": moves,
    "conv_transpose": conv_transpose,
    "sub": binary("Sub"),
    "split": split,
    "pad": pad,
    "reduce_mean": reduce_mean,
    "resize_linear": resize_linear,
    "softmax": softmax,
    "prelu": prelu,
    "tanh": unary("Tanh", -1, 1),
    "newer": newer,
    "hard_sigmoid": unary("HardSigmoid", 0, 1, alpha=0.1666667, beta=0.5),
}
# The most that a value may be off, in steps, and the share of values that may be. Interpolation of bytes meets many
# ties; Softmax is a table of integers there.
STEPS, SHARE = 1, 0.002
LOOSE = {"resize_linear": 0.1, "softmax": 0.5}


REFUSED = {  # attributes of newer operator sets that are not supported, and a word of the message
    "wrap": ("Pad", ["x", "amounts"], {"mode": "wrap"}),
    "antialias": ("Resize", ["x", "", "scales"], {"mode": "linear", "antialias": 1}),
    "axes": ("Resize", ["x", "", "scales"], {"axes": [2, 3]}),
    "aspect ratio": ("Resize", ["x", "", "scales"], {"keep_aspect_ratio_policy": "not_larger"}),
    "block_size": ("QuantizeLinear", ["x", "scale"], {"block_size": 2}),
    "ONNX type 5": ("QuantizeLinear", ["x", "scale"], {"output_dtype": TensorProto.INT16}),
}


def count_accepted(sightline, folder):
    """How many of them do not end with an error that names the node and the attribute."""
    accepted = 0
    for word, (kind, inputs, attributes) in REFUSED.items():
        net = Net(np.random.default_rng(0))
        net.opset = 21
        net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4]))
        for name, value in ("amounts", np.zeros(8, np.int64)), ("scales", np.ones(4, np.float32)), ("scale", np.float32(1)):
            net.inits.append(numpy_helper.from_array(np.asarray(value), name))
        path = f"{folder}/refused.onnx"
        onnx.save(net.model(net.node(kind, inputs, **attributes)), path)
        done = subprocess.run([sightline, "bench", "--model", path, "--runs", "1"], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode == 0 or word not in done.stderr or net.nodes[0].name not in done.stderr:
            print(f"{kind} with {attributes}: not refused: {done.stderr}")
            accepted += 1
    return accepted


def library_is_there():
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    places = os.environ.get("SIGHTLINE_ONNXRUNTIME"), f"{data}/sightline/libonnxruntime.so.1"
    return any(path and os.path.exists(path) for path in places)


def write_cases(folder, options):
    for index in range(options.cases):
        names = [options.only] if options.only else list(OPERATORS)
        name = names[index % len(names)]
        net = Net(np.random.default_rng([options.seed, index]))
        onnx.save(net.model(OPERATORS[name](net)), f"{folder}/{index:04d}_{name}.onnx")


def run(sightline, folder):
    command = [sightline, "bench", "--model", folder, "--against", "onnxruntime", "--runs", "1", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def is_fine(row, name):
    """Whether outputs are equal, or as close as ONNX Runtime's real numbers let them be."""
    if row["values"] == 0 or row["differing_values"] == 0:
        return row["values"] > 0
    graph = onnx.load(row["model"]).graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    last = next(n for n in graph.node if graph.output[0].name in n.output)
    scale, zero = constants[last.input[1]], constants[last.input[2]]
    real = zero.dtype == np.int8 or name in LOOSE or any(n.op_type in ("Clip", "AveragePool") for n in graph.node)
    few = row["differing_values"] <= max(1, LOOSE.get(name, SHARE) * row["values"])
    return real and few and row["max_difference"] < (STEPS + 0.5) * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sightline")
    parser.add_argument("--cases", type=int, default=144)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=OPERATORS)
    parser.add_argument("--keep", help="folder in which the networks stay")
    options = parser.parse_args()
    if not library_is_there():
        print("skipped: no ONNX Runtime; deploy/fetch-onnxruntime.sh fetches it")
        return SKIPPED
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or temporary
        pathlib.Path(folder).mkdir(exist_ok=True)
        write_cases(folder, options)
        rows, problems = run(options.sightline, folder)
        failed, seen = problems.count("\n") + count_accepted(options.sightline, temporary), {}
        print(problems, end="")
        for row in rows:
            name = pathlib.Path(row["model"]).stem.split("_", 1)[1]
            bad = not is_fine(row, name)
            failed += bad
            total = seen.setdefault(name, [0, 0, 0, 0])
            total[0] += 1
            total[1] += row["differing_values"] > 0
            total[2] += row["values"]
            total[3] += row["differing_values"]
            if bad:
                print(f"{row['model']}: {row['differing_values']} of {row['values']}, by {row['max_difference']} at most")
        for name, (cases, different, values, differing) in seen.items():
            print(f"{name}: {cases} cases, {different} differ; {differing} of {values} values")
    if len(rows) + problems.count("\n") < options.cases:
        print(f"only {len(rows)} of {options.cases} cases ran")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
