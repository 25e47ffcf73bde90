#!/usr/bin/env python3
"""Trains a detector: from scratch, or a pruned one with its unpruned teacher beside it."""

import argparse
import copy
import math
import time

import numpy as np
import torch
import torch.nn.functional as F

from boxes import boxes_of, decode
from dataset import Augment, Crops, Pairs
from metrics import evaluate
from model import CLASSES, Net, load, save


def overlaps(a, b):
    """IoU and generalised IoU of matching rows (Rezatofighi et al., CVPR 2019)."""
    area = lambda t: (t[:, 2] - t[:, 0]).clamp(0) * (t[:, 3] - t[:, 1]).clamp(0)
    inner = (torch.min(a[:, 2:], b[:, 2:]) - torch.max(a[:, :2], b[:, :2])).clamp(0).prod(1)
    outer = (torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])).clamp(0).prod(1) + 1e-6
    union = area(a) + area(b) - inner + 1e-6
    return inner / union, inner / union - (outer - union) / outer


def detection_loss(logits, distances, labels, boxes, weights):
    """Quality focal loss on the classes (Li et al., NeurIPS 2020) and GIoU on the boxes."""
    positive = labels >= 0
    count = positive.sum().clamp(min=1).float()
    logits = logits.permute(0, 2, 3, 1)
    target, box_loss = torch.zeros_like(logits), logits.sum() * 0
    if positive.any():
        iou, giou = overlaps(boxes_of(distances)[positive], boxes[positive])
        box_loss = (1 - giou).sum() / count
        target[positive, labels[positive]] = iou.detach().clamp(0, 1)
    return quality(logits, target, weights) / count + 1.5 * box_loss


def quality(logits, target, weights):
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * (logits.sigmoid().detach() - target).abs().pow(1.5) * weights[..., None]).sum()


def teaching_loss(logits, distances, teacher, weights):
    """The pupil answers as the teacher does: its scores everywhere, its boxes where it is sure."""
    their_logits, their_distances = teacher
    score = their_logits.sigmoid().permute(0, 2, 3, 1)
    sure = score.amax(-1)
    count = (sure > 0.3).sum().clamp(min=1).float()
    loss = quality(logits.permute(0, 2, 3, 1), score, weights) / count
    at = sure > 0.3
    if at.any():
        _, giou = overlaps(boxes_of(distances)[at], boxes_of(their_distances)[at])
        loss = loss + 1.5 * ((1 - giou) * sure[at]).sum() / count
    return loss


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


def train(net, folders, weights, held_out, steps, out, peak=4e-3, seed=0, teacher=None, large_from=0.65,
          report_every=1000):
    """Small crops first, larger ones later; returns the averaged network and saves it to `out`."""
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
            save(average, out)
            for name, pairs in held_out.items():
                r = evaluate(predict(average, pairs), pairs.boxes, len(CLASSES))
                print(f"  held out, {name}: mAP {r['map']:.4f}  F {r['f1']:.4f}", flush=True)
    return average


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", required=True, metavar="DIR[:WEIGHT]",
                        help="folder in DeepPCB's layout and its share of the crops; may be repeated")
    parser.add_argument("--held-out", type=int, default=50, help="pictures of each folder kept out")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--peak", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--start", help="network to start from (a pruned one)")
    parser.add_argument("--teacher", help="network whose answers are learnt too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    folders, weights, held_out = [], [], {}
    for item in a.data:
        folder, _, weight = item.partition(":")
        part, rest = Pairs(folder).split(a.held_out)
        folders.append(part)
        weights.append(float(weight or 1))
        held_out[folder] = rest
    net = load(a.start) if a.start else Net()
    teacher = load(a.teacher).to(memory_format=torch.channels_last) if a.teacher else None
    train(net, folders, weights, held_out, a.steps, a.out, a.peak, a.seed, teacher)


if __name__ == "__main__":
    main()
