"""Average precision and F-score by DeepPCB's definition: same class, overlap above 0.33."""

import numpy as np

from boxes import overlap

HIT = 0.33


def matches(found, truth, limit):
    """For found boxes of one class, sorted by falling score: which are hits; each truth once."""
    hit = np.zeros(len(found), bool)
    if not len(found) or not len(truth):
        return hit
    iou = overlap(found, truth)
    free = np.ones(len(truth), bool)
    for i in range(len(found)):
        j = np.where(free, iou[i], -1).argmax()
        if free[j] and iou[i, j] > limit:
            free[j] = False
            hit[i] = True
    return hit


def class_curve(detections, truths, label, limit):
    """Scores and hits of one class over all pictures by falling score, and how many there are."""
    scores, hits, count = [], [], 0
    for found, truth in zip(detections, truths):
        found = found[found[:, 5] == label]
        found = found[np.argsort(-found[:, 4], kind="stable")]
        truth = truth[truth[:, 4] == label]
        count += len(truth)
        scores.append(found[:, 4])
        hits.append(matches(found, truth, limit))
    scores, hits = np.concatenate(scores), np.concatenate(hits)
    order = np.argsort(-scores, kind="stable")
    return scores[order], hits[order], count


def average_precision(hits, count):
    """Area under the uninterpolated precision-recall curve."""
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(count, 1))


def f_score(true, found, count):
    precision, recall = true / max(found, 1), true / max(count, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


def evaluate(detections, truths, n_classes, thresholds=None, limit=HIT):
    """dict(map, f1, precision, recall, ap, thresholds): thresholds default to each class's best."""
    ap, chosen, true, found, count = [], [], 0, 0, 0
    for label in range(n_classes):
        scores, hits, n = class_curve(detections, truths, label, limit)
        ap.append(average_precision(hits, n))
        threshold = best_threshold(scores, hits, n) if thresholds is None else thresholds[label]
        keep = scores >= threshold
        chosen.append(threshold)
        true, found, count = true + hits[keep].sum(), found + keep.sum(), count + n
    f1, precision, recall = f_score(true, found, count)
    return dict(map=float(np.mean(ap)), f1=f1, precision=precision, recall=recall, ap=ap,
                thresholds=chosen)


def best_threshold(scores, hits, count):
    """The middle of the range of thresholds whose F-score is within 0.2 points of the best, so that
    a small held-out set does not pick a corner."""
    grid = np.arange(0.2, 0.801, 0.01)
    f = np.array([f_score(hits[scores >= t].sum(), (scores >= t).sum(), count)[0] for t in grid])
    good = grid[f >= f.max() - 0.002]
    return float(np.round(np.median(good), 2))
