#!/usr/bin/env python3
"""Takes channels out of a trained network: those whose removal changes the loss least.

Importance of a channel is the first-order Taylor estimate of the change in loss when its batch
norm's scale and shift go to zero (Molchanov et al., CVPR 2019), summed over batches. Layers whose
outputs are added keep the same channels. The result needs fine-tuning: train.py --start --teacher.
"""

import argparse

import torch

from dataset import Augment, Crops, Pairs
from model import DENSE, LAYERS, TIED, Net, load, macs, save
from losses import detection_loss


def importance(net, folders, batches=40):
    crops = Crops(folders, [1] * len(folders), 192, 24, Augment(), seed=99)
    total = {name: torch.zeros(width) for name, width in net.widths.items()}
    for _ in range(batches):
        pictures, labels, boxes, weights = map(torch.from_numpy, crops.next_batch())
        net.zero_grad()
        detection_loss(*net(pictures.float() / 255), labels, boxes, weights).backward()
        for name in total:
            norm = getattr(net, name + "_bn", None)
            if norm is not None:
                total[name] += (norm.weight.grad * norm.weight + norm.bias.grad * norm.bias).detach() ** 2
    for names in TIED:
        shared = sum(total[name] for name in names)
        for name in names:
            total[name] = shared
    return total


def shrink(net, widths, scores):
    """A network of the given widths with the most important channels of `net`."""
    for names in TIED:
        assert len({widths[name] for name in names}) == 1, f"{names} are added: give them one width"
    keep = {name: torch.topk(scores[name], widths[name]).indices.sort().values for name in net.widths}
    small = Net(widths, net.cls.out_channels, net.c1.in_channels, net.classes)
    everything = slice(None)
    for name, (source, *_) in LAYERS.items():
        rows = keep.get(name, everything)
        columns = keep[source] if source else everything
        big, little = getattr(net, name), getattr(small, name)
        little.weight.data = big.weight.data[rows][:, columns].clone()
        if big.bias is not None:
            little.bias.data = big.bias.data[rows].clone()
        if hasattr(net, name + "_bn"):
            for part in ("weight", "bias", "running_mean", "running_var"):
                getattr(getattr(small, name + "_bn"), part).data = getattr(getattr(net, name + "_bn"), part).data[rows].clone()
    return small


def widths_for(net, share, granule=8):
    """The greatest even scaling of all widths, in granules, with at most this share of the MACs."""
    before = sum(macs(net).values())
    for percent in range(100, 0, -1):
        widths = {name: max(granule, int(w * percent / 100 / granule + 0.5) * granule)
                  for name, w in net.widths.items()}
        widths = {name: min(w, net.widths[name]) for name, w in widths.items()}
        small = Net(widths, net.cls.out_channels, net.c1.in_channels, net.classes)
        if sum(macs(small).values()) <= share * before:
            return widths
    raise SystemExit(f"--prune: {share:.0%} of the multiply-accumulates cannot be reached with granules of {granule}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, metavar="DIR")
    parser.add_argument("--widths", required=True, help="for example c1=16,c2=16,c3=32; others stay")
    parser.add_argument("network")
    parser.add_argument("--out", required=True)
    a = parser.parse_args()
    net = load(a.network)
    widths = dict(net.widths, **{k: int(v) for k, v in (item.split("=") for item in a.widths.split(","))})
    unknown = set(widths) - set(DENSE)
    if unknown:
        raise SystemExit(f"--widths: no layer {sorted(unknown)}; layers are {list(DENSE)}")
    folders = [Pairs(folder).split(50)[0] for folder in a.data]
    small = shrink(net, widths, importance(net, folders))
    before, after = sum(macs(net).values()), sum(macs(small).values())
    save(small, a.out, unpruned=dict(widths=net.widths, macs=before))
    print(f"{before / 1e6:.1f} -> {after / 1e6:.1f} million MACs ({1 - after / before:.1%} gone)")


if __name__ == "__main__":
    main()
