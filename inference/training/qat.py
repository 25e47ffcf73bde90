"""Quantisation-aware training: the network with its rounding to 8 bits in the forward pass.

Batch norms are folded first. Ranges of activations come from calibration pictures and stay; weights
have one scale per output channel, taken anew in every step. Gradients pass a rounding as if it were
not there, except where it clips (Bengio et al., 2013; Jacob et al., CVPR 2018).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from model import LAYERS, Net, topology


def rounded(x, scale, zero):
    q = ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale
    inside = x.clamp(-zero * scale, (255 - zero) * scale)
    return inside + (q - inside).detach()


def rounded_weights(w):
    scale = (w.detach().abs().amax((1, 2, 3), keepdim=True) / 127).clamp(min=1e-9)
    return w + ((w / scale).round().clamp(-127, 127) * scale - w).detach()


class Rounded(nn.Module):
    """Walks the topology with rounded tensors; `scales` is {tensor: (scale, zero point)}."""

    def __init__(self, net, scales):
        super().__init__()
        self.widths, self.scales, self.classes = dict(net.widths), scales, net.classes
        for name, (weight, bias) in net.folded().items():
            self.register_parameter(name + "_w", nn.Parameter(weight.clone()))
            self.register_parameter(name + "_b", nn.Parameter(bias.clone()))

    def tensor(self, name, x):
        return rounded(x, *self.scales[name])

    def conv(self, name, x):
        _, kernel, stride, dilation, relu = LAYERS[name]
        x = F.conv2d(x, rounded_weights(getattr(self, name + "_w")), getattr(self, name + "_b"), stride,
                     kernel // 2 * dilation, dilation)
        return self.tensor(name, F.relu(x) if relu else x)

    def add(self, name, a, b, relu=False):
        return self.tensor(name, F.relu(a + b) if relu else a + b)

    def upsample(self, name, x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def forward(self, image):
        return topology(self, self.tensor("image", image))

    @torch.no_grad()
    def plain(self):
        """A network for saving and export: its batch norms do nothing but add the bias."""
        net = Net(self.widths, self.cls_w.shape[0], self.c1_w.shape[1], self.classes)
        for name in LAYERS:
            layer, norm = getattr(net, name), getattr(net, name + "_bn", None)
            layer.weight.copy_(getattr(self, name + "_w"))
            if norm is None:
                layer.bias.copy_(getattr(self, name + "_b"))
                continue
            norm.weight.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.bias.copy_(getattr(self, name + "_b"))
        return net.eval()
