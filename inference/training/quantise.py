"""Post-training INT8: ranges from calibration pictures, rounded weights, and what they compute."""

import numpy as np
import torch
import torch.nn.functional as F

from model import LAYERS, topology

INPUT_SCALE = (1 / 255, 0)  # the tensor is the picture's byte divided by 255


class Walk:
    """A walk over the topology with batch norms folded. Subclasses see every named tensor."""

    def __init__(self, weights):
        self.weights = weights

    def tensor(self, name, x):
        return x

    def conv(self, name, x):
        weight, bias = self.weights[name]
        _, kernel, stride, dilation, relu = LAYERS[name]
        x = F.conv2d(x, weight, bias, stride, kernel // 2 * dilation, dilation)
        return self.tensor(name, F.relu(x) if relu else x)

    def add(self, name, a, b, relu=False):
        return self.tensor(name, F.relu(a + b) if relu else a + b)

    def upsample(self, name, x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def __call__(self, image):
        return topology(self, self.tensor("image", image))


class Record(Walk):
    """Keeps a sample of every tensor, its extremes included."""

    def __init__(self, weights, per_picture=20000):
        super().__init__(weights)
        self.samples, self.per_picture = {}, per_picture

    def tensor(self, name, x):
        flat = x.flatten()
        pick = flat[torch.randint(0, flat.numel(), (self.per_picture,))]
        self.samples.setdefault(name, []).append(torch.cat([pick, flat.min()[None], flat.max()[None]]))
        return x


def best_range(values, steps=41):
    """(scale, zero point) of unsigned 8 bits with the least squared error on these values."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    best = None
    for share in np.linspace(1.0, 0.4, steps):
        scale = max((high - low) * share / 255, 1e-12)
        zero = int(np.clip(np.round(-low * share / scale), 0, 255))
        error = float(((((values / scale).round() + zero).clamp(0, 255) - zero) * scale - values).square().mean())
        if best is None or error < best[0]:
            best = (error, (float(np.float32(scale)), zero))
    return best[1]


@torch.no_grad()
def calibrate(weights, pictures):
    torch.manual_seed(0)
    record = Record(weights)
    for picture in pictures:
        record(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    scales = {name: best_range(torch.cat(values)) for name, values in record.samples.items()}
    scales["image"] = INPUT_SCALE
    return scales


def quantise_weights(weights, scales):
    """{layer: (int8 weight, scale per output channel, int32 bias)}"""
    inputs = {name: source or "image" for name, (source, *_) in LAYERS.items()}
    inputs.update(c5="c4", lat="residual", h1="sum")
    result = {}
    for name, (weight, bias) in weights.items():
        scale = (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-9).float()
        q = (weight / scale[:, None, None, None]).round().clamp(-127, 127)
        bias_scale = scale.double() * np.float64(scales[inputs[name]][0])
        result[name] = (q, scale, (bias.double() / bias_scale).round())
    return result, inputs


class Simulate(Walk):
    """What the INT8 file computes: integers in, exact sums, one rounding per tensor."""

    def __init__(self, quantised, inputs, scales):
        super().__init__(None)
        self.quantised, self.inputs, self.scales = quantised, inputs, scales

    def tensor(self, name, x):
        scale, zero = self.scales[name]
        return ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale

    def conv(self, name, x):
        q, scale, bias = self.quantised[name]
        _, kernel, stride, dilation, relu = LAYERS[name]
        s = self.scales[self.inputs[name]][0]
        total = F.conv2d((x / s).round(), q, bias.float(), stride, kernel // 2 * dilation, dilation)
        x = total * (scale * s)[:, None, None]
        return self.tensor(name, F.relu(x) if relu else x)
