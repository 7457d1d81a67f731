"""Hands every new image, with what changed, to the parts of the node that asked for it.

Until `open` nothing is handed out: while a node reads its log after a start, deltas tell of things long past, and a
listener that acted on the deletion of a topic would remove the data of its successor of the same name. What was
missed comes as one delta, from what was last handed out to what is.

Listeners are called in the order in which they subscribed, on the loop, before the change is acknowledged to
whoever asked for it. A listener that joins late first gets the whole image as one delta. A listener must not fail:
it would leave the node in two minds, so its exception stops the caller.
"""

from __future__ import annotations

from collections.abc import Callable

from odradek.node.controller.delta import MetadataDelta, delta_between
from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage

ImageListener = Callable[[MetadataDelta, MetadataImage], None]
"""`on_image(delta, image)`: `image` is the image after `delta`."""


class Publisher:
    def __init__(self) -> None:
        self._listeners: list[ImageListener] = []
        self._current = EMPTY_IMAGE
        self._handed_out = EMPTY_IMAGE
        self._is_open = False

    def subscribe(self, listener: ImageListener) -> None:
        self._listeners.append(listener)
        if self._handed_out is not EMPTY_IMAGE:
            listener(delta_between(EMPTY_IMAGE, self._handed_out), self._handed_out)

    def open(self) -> None:
        """The log has been read: from now on every change is handed out as it comes."""
        if self._is_open:
            return
        self._is_open = True
        if self._current is not EMPTY_IMAGE:
            self._hand_out(delta_between(self._handed_out, self._current), self._current)

    def publish(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self._current = image
        if self._is_open:
            self._hand_out(delta, image)

    def _hand_out(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self._handed_out = image
        for listener in self._listeners:
            listener(delta, image)
