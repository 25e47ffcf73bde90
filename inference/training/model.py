"""The detector's network, described once; what a convolution *is* differs by who walks it.

`topology` calls an object with conv(), add() and upsample(). Training walks it with torch layers
(Net), the writers in export.py with ONNX nodes, the quantiser with simulated 8-bit tensors.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

# name: (input channels from, kernel, stride, dilation, relu); widths are given per network
LAYERS = {
    "c1": (None, 3, 2, 1, True),
    "c2": ("c1", 3, 2, 1, True),
    "c3": ("c2", 3, 2, 1, True),
    "c4": ("c3", 3, 2, 1, True),
    "c5": ("c4", 3, 1, 2, True),  # dilated: large opens need a wide view
    "c6": ("c5", 3, 1, 1, True),
    "lat": ("c6", 1, 1, 1, False),
    "h1": ("lat", 3, 1, 1, True),
    "cls": ("h1", 1, 1, 1, False),
    "reg": ("h1", 1, 1, 1, False),
}
# Layers whose outputs are added must keep the same channels.
TIED = (("c4", "c6"), ("c3", "lat"))
DENSE = dict(c1=16, c2=32, c3=64, c4=64, c5=64, c6=64, lat=64, h1=32)
CLASSES = ["open", "short", "mousebite", "spur", "copper", "pin-hole"]


def topology(op, image):
    """image (n, 2, h, w) in 0 … 1 -> class logits and box distances on a grid of 8 px cells."""
    x = op.conv("c2", op.conv("c1", image))
    x = op.conv("c3", x)
    y = op.conv("c4", x)
    y = op.add("residual", y, op.conv("c6", op.conv("c5", y)))
    z = op.upsample("up", op.conv("lat", y))
    h = op.conv("h1", op.add("sum", x, z, relu=True))
    return op.conv("cls", h), op.conv("reg", h)


class Net(nn.Module):
    def __init__(self, widths=None, n_classes=len(CLASSES), inputs=2, classes=None):
        super().__init__()
        self.widths = dict(widths or DENSE)
        self.classes = list(classes or CLASSES[:n_classes])
        out = dict(self.widths, cls=n_classes, reg=4)
        for name, (source, kernel, stride, dilation, _) in LAYERS.items():
            plain = name in ("c1", "cls", "reg")  # no batch norm on the widest map and the outputs
            self.add_module(name, nn.Conv2d(out[source] if source else inputs, out[name], kernel, stride,
                                            kernel // 2 * dilation, dilation, bias=plain))
            if not plain:
                self.add_module(name + "_bn", nn.BatchNorm2d(out[name], eps=1e-3, momentum=0.03))
        nn.init.normal_(self.cls.weight, std=0.01)
        nn.init.normal_(self.reg.weight, std=0.01)
        nn.init.constant_(self.cls.bias, -4.6)  # a rare event: probability 0.01
        nn.init.constant_(self.reg.bias, 2.0)   # boxes of 32 px

    def conv(self, name, x):
        x = getattr(self, name)(x)
        if hasattr(self, name + "_bn"):
            x = getattr(self, name + "_bn")(x)
        return F.relu(x) if LAYERS[name][4] else x

    def add(self, name, a, b, relu=False):
        return F.relu(a + b) if relu else a + b

    def upsample(self, name, x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def forward(self, image):
        return topology(self, image)

    def folded(self):
        """{layer: (weight, bias)} with the batch norms folded in."""
        result = {}
        for name in LAYERS:
            layer, norm = getattr(self, name), getattr(self, name + "_bn", None)
            if norm is None:
                result[name] = (layer.weight.detach(), layer.bias.detach())
                continue
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            result[name] = ((layer.weight * gain[:, None, None, None]).detach(),
                            (norm.bias - norm.running_mean * gain).detach())
        return result


def macs(net, height=640, width=640):
    """{layer: multiply-accumulates} for one picture."""
    counted, handles = {}, []
    for name in LAYERS:
        def count(module, inputs, output, name=name):
            counted[name] = module.weight.numel() * output.shape[2] * output.shape[3]
        handles.append(getattr(net, name).register_forward_hook(count))
    training = net.training
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, net.c1.in_channels, height, width))
    net.train(training)
    for handle in handles:
        handle.remove()
    return counted


def save(net, path, **more):
    torch.save(dict(state=net.state_dict(), widths=net.widths, classes=net.classes, **more), path)


def load(path):
    stored = torch.load(path, map_location="cpu")
    net = Net(stored["widths"], stored["state"]["cls.bias"].numel(), stored["state"]["c1.weight"].shape[1],
              stored.get("classes"))
    net.load_state_dict(stored["state"])
    net.scales = stored.get("scales")  # ranges that it was trained with (--qat)
    return net.eval()
