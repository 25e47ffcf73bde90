"""Pictures with their templates and defects, and the random crops that training sees.
"""

import cv2
import numpy as np

import layouts
from boxes import STRIDE

cv2.setNumThreads(1)


class Pairs:
    """A folder in memory, in any of the layouts of layouts.py: pictures (n, h, w, c) uint8, boxes[i]
    (k, 5) x1 y1 x2 y2 class from 0. Pictures of several sizes are scaled to `side` x `side`."""

    def __init__(self, folder, limit=None, side=640):
        self.names, pictures, boxes, self.classes = layouts.read(folder, limit)
        if not self.names:
            raise SystemExit(f"{folder}: no pictures in it")
        if len({p.shape for p in pictures}) > 1:
            for i, p in enumerate(pictures):
                boxes[i][:, [0, 2]] *= side / p.shape[1]
                boxes[i][:, [1, 3]] *= side / p.shape[0]
                pictures[i] = cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA)
        self.pictures, self.boxes = np.stack(pictures), [b.astype(np.float32) for b in boxes]
        self.has_template = self.pictures.shape[3] == 2

    def subset(self, index):
        part = object.__new__(Pairs)
        part.classes, part.has_template = self.classes, self.has_template
        part.names = [self.names[i] for i in index]
        part.pictures = self.pictures[index]
        part.boxes = [self.boxes[i] for i in index]
        return part

    def split(self, held_out, seed=0):
        """(training part, held-out part), at random but always the same."""
        order = np.random.RandomState(seed).permutation(len(self.names))
        return self.subset(np.sort(order[held_out:])), self.subset(np.sort(order[:held_out]))


class Augment:
    """What happens to a crop: the camera's view moves, the registration leaves a residue, light and
    focus vary. Probabilities and ranges; all zero is no augmentation."""

    def __init__(self, moved=0.25, rotation_deg=2.5, residue=0.4, residue_px=0.6, residue_deg=0.06,
                 coarse_residue=0.1, blur=0.15, noise=0.15, light=0.2, heal=0.1):
        self.__dict__.update(locals())


class Crops:
    """Endless random batches from several folders, drawn with the given weights."""

    def __init__(self, folders, weights, size, batch, augment, seed, near_defect=0.75):
        self.folders, self.weights = folders, np.array(weights, float) / sum(weights)
        self.size, self.batch, self.augment = size, batch, augment
        self.near_defect = near_defect
        self.random = np.random.RandomState(seed)
        self.queues = [[] for _ in folders]

    def _next(self):
        f = self.random.choice(len(self.folders), p=self.weights)
        if not self.queues[f]:
            self.queues[f] = list(self.random.permutation(len(self.folders[f].names)))
        i = self.queues[f].pop()
        return self.folders[f].pictures[i], self.folders[f].boxes[i], self.folders[f].has_template

    def _corner(self, picture, boxes):
        height, width = picture.shape[:2]
        most = np.array([width, height]) - self.size
        if len(boxes) and self.random.rand() < self.near_defect:
            x1, y1, x2, y2, _ = boxes[self.random.randint(len(boxes))]
            centre = np.array([x1 + x2, y1 + y2]) / 2 + self.random.uniform(-0.45, 0.45, 2) * self.size
            return np.clip(centre - self.size / 2, 0, most)
        return self.random.uniform(0, 1, 2) * most

    def _motions(self):
        """2 x 3 matrices crop -> picture (without the corner) for the picture and its template."""
        a, r = self.augment, self.random
        angle, shift = 0.0, np.zeros(2)
        if r.rand() < a.moved:
            angle, shift = np.deg2rad(r.uniform(-1, 1) * a.rotation_deg), r.uniform(-0.5, 0.5, 2)
        wrong_angle, wrong_shift = 0.0, np.zeros(2)
        if r.rand() < a.residue:
            spread = a.residue_px * (3 if r.rand() < a.coarse_residue else 1)
            wrong_shift = r.normal(0, spread / 2, 2)
            wrong_angle = np.deg2rad(r.normal(0, a.residue_deg))
        return self._motion(angle, shift), self._motion(angle + wrong_angle, shift + wrong_shift)

    def _motion(self, angle, shift):
        c, s, middle = np.cos(angle), np.sin(angle), (self.size - 1) / 2
        turn = np.array([[c, -s], [s, c]])
        return np.column_stack([turn, middle - turn @ [middle, middle] + shift])

    def _crop(self, plane, motion, corner):
        if np.allclose(motion, np.eye(2, 3)):
            x, y = corner
            return plane[y:y + self.size, x:x + self.size]
        matrix = motion.copy()
        matrix[:, 2] += corner
        return cv2.warpAffine(plane, matrix, (self.size, self.size),
                              flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REPLICATE)

    def _move_boxes(self, boxes, motion, corner):
        boxes = boxes.copy()
        centre = (boxes[:, :2] + boxes[:, 2:4]) / 2 - corner - motion[:, 2]
        half = (boxes[:, 2:4] - boxes[:, :2]) / 2
        centre = centre @ motion[:, :2]  # the inverse of a rotation is its transpose
        boxes[:, :2], boxes[:, 2:4] = centre - half, centre + half
        return boxes

    def _visible(self, boxes):
        """(kept boxes, boxes too little of which is in the crop to ask for)."""
        inside = boxes.copy()
        inside[:, :4] = np.clip(inside[:, :4], 0, self.size)
        area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        share = area(inside) / np.maximum(area(boxes), 1e-6)
        return inside[share >= 0.5], inside[(share > 0) & (share < 0.5)]

    def _heal(self, crop, boxes, others):
        """Pastes the template over some defects and forgets them: shows that the difference counts."""
        keep = np.ones(len(boxes), bool)
        for i in np.flatnonzero(self.random.rand(len(boxes)) < self.augment.heal):
            x1, y1, x2, y2 = boxes[i, :4] + [-4, -4, 4, 4]
            rest = np.concatenate([np.delete(boxes, i, 0), others])
            if ((rest[:, 0] < x2) & (rest[:, 2] > x1) & (rest[:, 1] < y2) & (rest[:, 3] > y1)).any():
                continue
            x1, y1, x2, y2 = np.clip([x1, y1, x2, y2], 0, self.size).astype(int)
            crop[y1:y2, x1:x2, 0] = crop[y1:y2, x1:x2, 1]
            keep[i] = False
        return boxes[keep]

    def _photograph(self, crop, template):
        a, r = self.augment, self.random
        seen = [0] if template else list(range(crop.shape[2]))
        if r.rand() < a.blur:
            sigma = r.uniform(0.3, 1.1)
            planes = [0, 1] if template and r.rand() >= 0.5 else seen
            for p in planes:
                crop[..., p] = cv2.GaussianBlur(crop[..., p], (0, 0), sigma)
        light, noise = r.rand() < a.light, r.rand() < a.noise
        if light or noise:
            x = crop[..., seen].astype(np.float32)
            if light:
                ramp = np.linspace(-1, 1, self.size, dtype=np.float32) * r.uniform(-0.06, 0.06)
                x = x * (r.uniform(0.75, 1.1) + ramp[None, :, None]) + r.uniform(0, 30)
            if noise:
                x += r.normal(0, r.uniform(1, 10), x.shape).astype(np.float32)
            crop[..., seen] = np.clip(x, 0, 255)
        return crop

    def _flip(self, crop, kept, ignored):
        for boxes, axis, columns in (((kept, ignored), 1, [2, 0]), ((kept, ignored), 0, [3, 1])):
            if self.random.rand() < 0.5:
                crop = np.flip(crop, axis)
                for b in boxes:
                    b[:, [columns[1], columns[0]]] = self.size - b[:, columns]
        if self.random.rand() < 0.5:
            crop = crop.transpose(1, 0, 2)
            kept, ignored = kept[:, [1, 0, 3, 2, 4]], ignored[:, [1, 0, 3, 2, 4]]
        return crop, kept, ignored

    def one(self):
        picture, boxes, template = self._next()
        corner = self._corner(picture, boxes).astype(int)
        motions = self._motions()
        crop = np.stack([self._crop(picture[..., p], motions[int(template and p == 1)], corner)
                         for p in range(picture.shape[2])], -1)
        kept, ignored = self._visible(self._move_boxes(boxes, motions[0], corner))
        if template:
            kept = self._heal(crop, kept, ignored)
        return self._flip(self._photograph(crop, template), kept, ignored)

    def targets(self, kept, ignored):
        """Per cell: class or -1, box, weight. A cell within 12 px of a box's centre and inside the
        box answers for it; small boxes win; cells of half-visible defects count for nothing."""
        n = self.size // STRIDE
        at = (np.arange(n) + 0.5) * STRIDE
        label, box = np.full((n, n), -1, np.int64), np.zeros((n, n, 4), np.float32)
        weight = np.ones((n, n), np.float32)
        inside = lambda b, m: (((at > b[1] - m) & (at < b[3] + m))[:, None] &
                               ((at > b[0] - m) & (at < b[2] + m))[None])
        for b in ignored:
            weight[inside(b, STRIDE)] = 0
        area = (kept[:, 2] - kept[:, 0]) * (kept[:, 3] - kept[:, 1])
        for b in kept[np.argsort(-area)]:
            x, y, near = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2, 1.5 * STRIDE
            cells = inside(b, 0) & (np.abs(at - y) < near)[:, None] & (np.abs(at - x) < near)[None]
            if not cells.any():
                cells[min(int(y / STRIDE), n - 1), min(int(x / STRIDE), n - 1)] = True
            label[cells], box[cells], weight[cells] = int(b[4]), b[:4], 1
        return label, box, weight

    def next_batch(self):
        """pictures (b, c, size, size) uint8, labels, boxes, weights."""
        n = self.size // STRIDE
        channels = self.folders[0].pictures.shape[3]
        pictures = np.empty((self.batch, channels, self.size, self.size), np.uint8)
        labels, weights = np.empty((self.batch, n, n), np.int64), np.empty((self.batch, n, n), np.float32)
        boxes = np.empty((self.batch, n, n, 4), np.float32)
        for i in range(self.batch):
            crop, kept, ignored = self.one()
            pictures[i] = crop.transpose(2, 0, 1)
            labels[i], boxes[i], weights[i] = self.targets(kept, ignored)
        return pictures, labels, boxes, weights
