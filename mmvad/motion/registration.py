"""How a camera's view lies in an earlier one of the same place, by structure and not by brightness.

Shape letters: H x W a view, in pixels of its reduced size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Pixels that structure is compared over, and grey levels below which there is none but noise.
_LOCAL, _NOISE = 8.0, 3.0
# Of ORB: features of a view, how much better the best match is, and how exactly matches agree.
_FEATURES, _RATIO, _EXACT = 500, 0.8, 2.0
# Matches that have to agree, and the zooms that are believed.
_AGREE, _ZOOM = 12, (0.5, 2.0)
# Agreement without a move above which none is looked for.
_STILL = 0.9
# Below which agreement without a move it is looked at more finely, and how.
_FINE, _STEPS = 0.7, (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
# Zooms about 1 by less are none to it: with more freedom, what differs leads it astray.
_RIGID = 0.01
# Share of the earlier view that has to be seen still, for the rest to be compared.
_SEEN = 0.25


@dataclass(frozen=True)
class Registration:
    """Where the things of an earlier view are now.

    Args:
        matrix: (2, 3) float64, earlier pixels to those of now: a shift, a turn and a zoom.
        agreement: Correlation of the structure at these places, at most 1.
        unmoved: The same at the places of before.
    """

    matrix: np.ndarray
    agreement: float
    unmoved: float

    def shift(self, size: tuple[int, int]) -> np.ndarray:
        """(2,) pixels right and down, of the middle of a view of ``size`` (width, height)."""
        middle = np.array([size[0] / 2, size[1] / 2])
        return self.matrix[:, :2] @ middle + self.matrix[:, 2] - middle

    def furthest(self, size: tuple[int, int]) -> float:
        """Pixels that the corner of a view of ``size`` moved that moved most."""
        width, height = size
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
        moved = corners @ self.matrix.T - corners[:, :2]
        return float(np.linalg.norm(moved, axis=1).max())

    @property
    def degrees(self) -> float:
        """How far it turned, clockwise."""
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))

    @property
    def zoom(self) -> float:
        """How much larger things are."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))


@dataclass(frozen=True)
class ViewStructure:
    """What of a view does not depend on light.

    Args:
        local: (H, W) float32, grey levels about their local mean, over their local deviation.
        points: (n, 2) float32 of its features.
        marks: (n, 32) uint8, what they look like.
        strength: Share of the view that shows any structure.
    """

    local: np.ndarray
    points: np.ndarray
    marks: np.ndarray
    strength: float

    @classmethod
    def of(cls, view: np.ndarray) -> ViewStructure:
        """Of a view, (H, W) uint8 grey."""
        soft = cv2.GaussianBlur(view.astype(np.float32), (0, 0), 1.0)
        apart = soft - cv2.GaussianBlur(soft, (0, 0), _LOCAL)
        deviation = np.sqrt(cv2.GaussianBlur(apart * apart, (0, 0), _LOCAL))
        local = apart / (deviation + _NOISE)
        even = np.clip(local * 64 + 128, 0, 255).astype(np.uint8)
        orb = cv2.ORB_create(_FEATURES, edgeThreshold=15, patchSize=31, fastThreshold=10)
        found, marks = orb.detectAndCompute(even, None)
        points = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
        if marks is None:
            marks = np.zeros((0, 32), np.uint8)
        return cls(local, points, marks, float((deviation > _NOISE).mean()))

    def register(self, now: ViewStructure) -> Registration:
        """Where the things of this view are in one of the same size that was seen later.

        Features are matched (ORB, RANSAC), and where they are too few the whole is (phase
        correlation); what makes the structure agree best is taken, and made finer (ECC).
        """
        still = np.eye(2, 3)
        unmoved = self._agreement(now, still)
        best = Registration(still, unmoved, unmoved)
        if unmoved >= _STILL:
            return best
        for matrix in (self._by_features(now), self._by_phase(now)):
            if matrix is not None:
                agreement = self._agreement(now, matrix)
                if agreement > best.agreement:
                    best = Registration(matrix, agreement, unmoved)
        if unmoved < _FINE:
            fine = self._finer(now, best.matrix)
            if (agreement := self._agreement(now, fine)) > best.agreement:
                best = Registration(fine, agreement, unmoved)
        return best

    def _finer(self, now: ViewStructure, matrix: np.ndarray) -> np.ndarray:
        if abs(np.hypot(matrix[0, 0], matrix[1, 0]) - 1) > _RIGID:
            return matrix
        try:
            _, fine = cv2.findTransformECC(
                self.local, now.local, matrix.astype(np.float32), cv2.MOTION_EUCLIDEAN, _STEPS
            )
        except cv2.error:
            # It does not come to an end where there is nothing in common.
            return matrix
        return fine.astype(np.float64)

    def _by_features(self, now: ViewStructure) -> np.ndarray | None:
        if min(len(self.marks), len(now.marks)) < _AGREE:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(self.marks, now.marks, k=2)
        good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < _RATIO * p[1].distance]
        if len(good) < _AGREE:
            return None
        before = self.points[[match.queryIdx for match in good]]
        after = now.points[[match.trainIdx for match in good]]
        matrix, agree = cv2.estimateAffinePartial2D(
            before, after, method=cv2.RANSAC, ransacReprojThreshold=_EXACT
        )
        if matrix is None or agree.sum() < _AGREE:
            return None
        zoom = np.hypot(matrix[0, 0], matrix[1, 0])
        return matrix if _ZOOM[0] <= zoom <= _ZOOM[1] else None

    def _by_phase(self, now: ViewStructure) -> np.ndarray:
        window = cv2.createHanningWindow(self.local.shape[::-1], cv2.CV_32F)
        # OpenCV windows in place what it need not pad.
        shift, _ = cv2.phaseCorrelate(self.local.copy(), now.local.copy(), window)
        return np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)

    def _agreement(self, now: ViewStructure, matrix: np.ndarray) -> float:
        height, width = self.local.shape
        there = cv2.warpAffine(self.local, matrix, (width, height))
        seen = cv2.warpAffine(np.ones_like(self.local), matrix, (width, height)) > 0.999
        if seen.mean() < _SEEN:
            return -1.0
        one, other = there[seen], now.local[seen]
        over = float(np.sqrt((one @ one) * (other @ other)))
        return float(one @ other) / over if over else 0.0
