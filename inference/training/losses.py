"""What training minimises."""

import torch
import torch.nn.functional as F

from boxes import boxes_of


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


