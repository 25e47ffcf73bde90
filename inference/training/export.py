#!/usr/bin/env python3
"""Writes a trained network as ONNX: float, or INT8 with QuantizeLinear/DequantizeLinear.

INT8 is post-training: activations per tensor, unsigned, with the range of least squared error on
calibration pictures; weights per output channel, symmetric; biases 32 bits. The simulation walks
the same topology and computes what the written file means, so accuracy is known before any engine
runs it.
"""

import argparse
import json

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from boxes import decode
from dataset import Pairs
from metrics import evaluate
from model import LAYERS, load, macs, topology
from quantise import Simulate, calibrate, quantise_weights

class OnnxWriter:
    """Walks the topology and writes nodes; with `scales`, every tensor passes through 8 bits."""

    def __init__(self, weights, scales=None):
        self.nodes, self.initialisers, self.scales = [], [], scales
        self.weights = weights
        if scales:
            self.quantised, self.inputs = quantise_weights(weights, scales)

    def constant(self, name, array):
        # A scalar stays one: other runtimes want the scale of a whole tensor without dimensions.
        self.initialisers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def through_8_bits(self, name, x, output=None):
        if not self.scales:
            return x
        scale, zero = self.scales[name]
        pair = [self.constant(name + "_scale", np.float32(scale)), self.constant(name + "_zero", np.uint8(zero))]
        q = self.node("QuantizeLinear", [x] + pair, name + "_q")
        return self.node("DequantizeLinear", [q] + pair, output or name + "_dq")

    def parameters(self, name):
        if not self.scales:
            weight, bias = self.weights[name]
            return [self.constant(name + "_weight", weight.numpy()), self.constant(name + "_bias", bias.numpy())]
        q, scale, bias = self.quantised[name]
        weight_scale = self.constant(name + "_weight_scale", scale.numpy())
        bias_scale = self.constant(name + "_bias_scale", scale.numpy() * np.float32(self.scales[self.inputs[name]][0]))
        zeros = np.zeros(len(scale))
        weight = self.node("DequantizeLinear", [self.constant(name + "_weight_q", q.numpy().astype(np.int8)), weight_scale,
                           self.constant(name + "_weight_zero", zeros.astype(np.int8))], name + "_weight", axis=0)
        bias = self.node("DequantizeLinear", [self.constant(name + "_bias_q", bias.numpy().astype(np.int32)), bias_scale,
                         self.constant(name + "_bias_zero", zeros.astype(np.int32))], name + "_bias", axis=0)
        return [weight, bias]

    def activated(self, name, x, relu, output=None):
        if relu:
            x = self.node("Relu", [x], name + "_relu")
        return self.through_8_bits(name, x, output)

    def conv(self, name, x):
        _, kernel, stride, dilation, relu = LAYERS[name]
        pad = kernel // 2 * dilation
        output = {"cls": "cls_logits", "reg": "box_ltrb"}.get(name)
        written = output if output and not self.scales else name
        x = self.node("Conv", [x] + self.parameters(name), written, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                      pads=[pad] * 4, dilations=[dilation] * 2)
        return self.activated(name, x, relu, output)

    def add(self, name, a, b, relu=False):
        return self.activated(name, self.node("Add", [a, b], name), relu)

    def upsample(self, name, x):
        sizes = self.constant("up_scales", np.array([1, 1, 2, 2], np.float32))
        y = self.node("Resize", [x, "", sizes], name, mode="nearest", nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric")
        if not self.scales:
            return y
        pair = ["lat_scale", "lat_zero"]  # copied values need no new scale
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [y] + pair, name + "_q")] + pair, name + "_dq")

    def model(self, size, metadata):
        topology(self, self.through_8_bits("image", "image"))
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        inputs, classes = self.weights["c1"][0].shape[1], self.weights["cls"][0].shape[0]
        graph = helper.make_graph(self.nodes, "sightline-pcb", [value("image", [1, inputs, size, size])],
                                  [value("cls_logits", [1, classes, size // 8, size // 8]),
                                   value("box_ltrb", [1, 4, size // 8, size // 8])], self.initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="sightline")
        model.ir_version = 7
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


@torch.no_grad()
def accuracy(network, pairs, thresholds=None):
    found = []
    for picture in pairs.pictures:
        found += decode(*network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255))
    return evaluate(found, pairs.boxes, len(pairs.classes), thresholds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--out", required=True)
    parser.add_argument("--int8", action="store_true", help="write 8-bit tensors")
    parser.add_argument("--calibration", action="append", default=[], metavar="DIR", help="pictures for the ranges")
    parser.add_argument("--thresholds", action="append", default=[], metavar="DIR",
                        help="folders whose held-out pictures choose the thresholds")
    parser.add_argument("--unpruned", help="the network before pruning: its widths go into the file")
    parser.add_argument("--size", type=int, default=640)
    a = parser.parse_args()
    net = load(a.network)
    weights, network, scales = net.folded(), net, None
    if a.int8:
        if not a.calibration and not net.scales:
            parser.error("--int8 needs --calibration, or a network trained with --qat")
        pictures = [p for folder in a.calibration for p in Pairs(folder).split(50)[0].pictures[::20][:48]]
        scales = net.scales or calibrate(weights, pictures)
        network = Simulate(*quantise_weights(weights, scales), scales)
    metadata = {}
    if a.unpruned:
        whole = load(a.unpruned)
        metadata["sightline.unpruned_macs"] = str(sum(macs(whole).values()))
        for name in LAYERS:
            shape = getattr(whole, name).weight.shape
            metadata["sightline.unpruned." + ({"cls": "cls_logits", "reg": "box_ltrb"}.get(name, name) if not a.int8 else name)] = f"{shape[0]},{shape[1]}"
    onnx.save(OnnxWriter(weights, scales).model(a.size, metadata), a.out)
    report = dict(macs=sum(macs(net).values()))
    if a.thresholds:
        parts = [Pairs(folder).split(50)[1] for folder in a.thresholds]
        together = parts[0]
        for part in parts[1:]:
            together.pictures = np.concatenate([together.pictures, part.pictures])
            together.boxes = together.boxes + part.boxes
            together.names = together.names + part.names
        report.update(accuracy(network, together))
    print(json.dumps(report, indent=2, default=float))


if __name__ == "__main__":
    main()
