"""Boxes (x1, y1, x2, y2) in pixels: overlap, the head's decoding, greedy suppression."""

import numpy as np
import torch
import torch.nn.functional as F

STRIDE = 8  # the head's cells are 8 x 8 pixels


def overlap(a, b):
    """Intersection over union of every box of a (n, 4) with every box of b (m, 4)."""
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    right_bottom = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    intersection = np.prod(np.clip(right_bottom - left_top, 0, None), axis=2)
    area = lambda t: (t[:, 2] - t[:, 0]) * (t[:, 3] - t[:, 1])
    return intersection / np.maximum(area(a)[:, None] + area(b)[None] - intersection, 1e-9)


def boxes_of(distances):
    """Distances left, top, right, bottom in cells (n, 4, h, w) -> boxes in pixels (n, h, w, 4)."""
    _, _, height, width = distances.shape
    x = (torch.arange(width, device=distances.device) + 0.5) * STRIDE
    y = (torch.arange(height, device=distances.device) + 0.5) * STRIDE
    d = distances.permute(0, 2, 3, 1) * STRIDE
    return torch.stack([x[None, None] - d[..., 0], y[None, :, None] - d[..., 1],
                        x[None, None] + d[..., 2], y[None, :, None] + d[..., 3]], -1)


def suppress(found, limit):
    """Greedy, class-blind suppression of rows x1 y1 x2 y2 score class, sorted by falling score."""
    dead = np.zeros(len(found), bool)
    kept = []
    iou = overlap(found, found)
    for i in range(len(found)):
        if not dead[i]:
            kept.append(i)
            dead |= iou[i] > limit
    return found[kept]


@torch.no_grad()
def decode(logits, distances, min_score=0.02, nms_iou=0.4, most=60):
    """One array of rows x1 y1 x2 y2 score class per picture: cells that are the highest of their
    3 x 3 neighbourhood, most of them kept, then suppression."""
    best, classes = torch.sigmoid(logits.float()).max(1)
    peaks = (F.max_pool2d(best[:, None], 3, 1, 1)[:, 0] == best) & (best > min_score)
    boxes = boxes_of(distances.float())
    size = torch.tensor([logits.shape[3], logits.shape[2]] * 2) * STRIDE
    result = []
    for n in range(len(best)):
        score, order = best[n][peaks[n]].sort(descending=True)
        order = order[:most]
        box = torch.minimum(boxes[n][peaks[n]][order].clamp(min=0), size)
        rows = torch.cat([box, score[:most, None], classes[n][peaks[n]][order, None].float()], 1)
        result.append(suppress(rows.numpy().astype(np.float64), nms_iou))
    return result
