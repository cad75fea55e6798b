"""Processes that are forked while OpenCV has threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def without_opencv_threads() -> Iterator[None]:
    """End OpenCV's threads while processes are forked, which inherit that they use none.

    A process that is forked beside such threads has none of them and waits for them for ever: in
    its first large picture, or in `cv2.setNumThreads`.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
