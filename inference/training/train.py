#!/usr/bin/env python3
"""Trains a detector: from scratch, or a pruned one with its unpruned teacher beside it."""

import argparse
import copy
import math
import time

import numpy as np
import torch

from boxes import decode
from dataset import Augment, Crops, Pairs
from losses import detection_loss, teaching_loss
from metrics import evaluate
from model import Net, load, macs, save
from prune import importance, shrink, widths_for
from qat import Rounded
from quantise import calibrate


@torch.no_grad()
def predict(net, pairs, batch=4):
    net.eval()
    found = []
    for i in range(0, len(pairs.names), batch):
        x = torch.from_numpy(pairs.pictures[i:i + batch]).permute(0, 3, 1, 2).float() / 255
        found += decode(*net(x))
    return found


def follow(average, net, step, decay=0.999):
    """Exponential moving average of the weights, faster at the beginning."""
    keep = min(decay, (1 + step) / (20 + step))
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), net.state_dict().values()):
            if mean.dtype.is_floating_point:
                mean.mul_(keep).add_(value, alpha=1 - keep)
            else:
                mean.copy_(value)


def rate(progress, warm_up=0.04):
    if progress < warm_up:
        return progress / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def optimiser(net, peak):
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return torch.optim.AdamW([dict(params=matrices, weight_decay=0.02), dict(params=others, weight_decay=0)],
                             lr=peak, betas=(0.9, 0.99))


def train(net, folders, weights, held_out, steps, peak=4e-3, seed=0, teacher=None, large_from=0.65,
          report_every=1000, keep=None):
    """Small crops first, larger ones later; returns the averaged network. `keep` is called with it at
    every report."""
    torch.manual_seed(seed)
    net = net.to(memory_format=torch.channels_last)
    average, optimise = copy.deepcopy(net), optimiser(net, peak)
    crops = Crops(folders, weights, 192, 24, Augment(), seed)
    start, total = time.time(), 0.0
    for step in range(steps):
        if step == int(large_from * steps):
            crops = Crops(folders, weights, 320, 12, Augment(), seed + 1)
        for group in optimise.param_groups:
            group["lr"] = peak * rate(step / steps)
        pictures, labels, boxes, cell_weights = map(torch.from_numpy, crops.next_batch())
        x = (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
        net.train()
        logits, distances = net(x)
        loss = detection_loss(logits, distances, labels, boxes, cell_weights)
        if teacher is not None:
            with torch.no_grad():
                answer = teacher(x)
            loss = loss + teaching_loss(logits, distances, answer, cell_weights)
        optimise.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimise.step()
        follow(average, net, step)
        total += float(loss.detach())
        if (step + 1) % 200 == 0:
            print(f"step {step + 1}/{steps}  {time.time() - start:.0f} s  loss {total / 200:.4f}", flush=True)
            total = 0.0
        if (step + 1) % report_every == 0 or step + 1 == steps:
            if keep:
                keep(average)
            for name, pairs in held_out.items():
                r = evaluate(predict(average, pairs), pairs.boxes, len(pairs.classes))
                print(f"  held out, {name}: mAP {r['map']:.4f}  F {r['f1']:.4f}", flush=True)
    return average


def share_of(text):
    """0.5 from `50%` or `0.5`: what shall remain."""
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share of the multiply-accumulates such as 50%, found {text!r}")
    return value


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", "--data", action="append", required=True, metavar="DIR[:WEIGHT]",
                        help="folder in DeepPCB's, COCO's or YOLO's layout (see layouts.py) and its share of the crops; "
                             "may be repeated")
    parser.add_argument("--side", type=int, default=640, help="pictures of several sizes are scaled to SIDE x SIDE")
    parser.add_argument("--held-out", type=int, default=50, help="pictures of each folder kept out (default 50)")
    parser.add_argument("--steps", type=int, default=7000, help="of each part of the training (default 7000)")
    parser.add_argument("--peak", type=float, default=4e-3, help="highest learning rate (default 0.004)")
    parser.add_argument("--start", help="network to start from (a trained or pruned one)")
    parser.add_argument("--teacher", help="network whose answers are learnt too")
    parser.add_argument("--prune", type=share_of, metavar="SHARE",
                        help="after training, keep this share of the multiply-accumulates (50%%) and train again; the "
                             "network before pruning is the teacher unless --teacher names another")
    parser.add_argument("--qat", action="store_true",
                        help="at last train with rounding to 8 bits, a third of the steps; export.py --int8 then uses "
                             "the ranges that were trained with")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def open_folders(items, side, held_out):
    folders, weights, rest = [], [], {}
    for item in items:
        folder, colon, weight = item.rpartition(":")
        if not colon or not weight.replace(".", "", 1).isdigit():
            folder, weight = item, "1"
        pairs = Pairs(folder, side=side)
        if len(pairs.names) <= held_out:
            raise SystemExit(f"{folder}: {len(pairs.names)} pictures, of which --held-out {held_out} would leave none")
        part, rest[folder] = pairs.split(held_out)
        if folders and (part.classes, part.has_template) != (folders[0].classes, folders[0].has_template):
            raise SystemExit(f"{folder}: its classes or channels differ from those of the first folder")
        folders.append(part)
        weights.append(float(weight))
    return folders, weights, rest


def fits(net, folders):
    channels, classes = folders[0].pictures.shape[3], folders[0].classes
    if net.c1.in_channels != channels or net.cls.out_channels != len(classes):
        raise SystemExit(f"the network has {net.c1.in_channels} channels and {net.cls.out_channels} classes, the "
                         f"pictures {channels} and {len(classes)}")
    return net


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    folders, weights, held_out = open_folders(a.dataset, a.side, a.held_out)
    classes = folders[0].classes
    net = fits(load(a.start), folders) if a.start else Net(None, len(classes), folders[0].pictures.shape[3], classes)
    teacher = fits(load(a.teacher), folders).to(memory_format=torch.channels_last) if a.teacher else None
    more = {}

    def part(net, steps, peak, teacher, seed, plain=lambda n: n):
        return train(net, folders, weights, held_out, steps, peak, seed, teacher,
                     keep=lambda average: save(plain(average), a.out, **more))

    net = part(net, a.steps, a.peak, teacher, a.seed)
    if a.prune:
        whole, before = net, sum(macs(net).values())
        net = shrink(whole, widths_for(whole, a.prune), importance(whole.eval(), folders, min(40, a.steps)))
        more["unpruned"] = dict(widths=whole.widths, macs=before)
        print(f"pruned: {before / 1e6:.1f} -> {sum(macs(net).values()) / 1e6:.1f} million MACs", flush=True)
        teacher = teacher or whole.eval()
        net = part(net, a.steps, a.peak * 0.6, teacher, a.seed + 1)
    if a.qat:
        pictures = [p for f in folders for p in f.pictures[:: max(1, len(f.names) // 24)]]
        net.eval()
        more["scales"] = calibrate(net.folded(), pictures)
        part(Rounded(net, more["scales"]), max(1, a.steps // 3), a.peak * 0.05, teacher or net, a.seed + 2,
             lambda average: average.plain())


if __name__ == "__main__":
    main()
