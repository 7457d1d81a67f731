"""Hands every new image, with what changed, to the parts of the node that asked for it.

Listeners are called in the order in which they subscribed, on the loop, before the change is acknowledged
to whoever asked for it. A listener that joins late first gets the whole image as one delta. A listener must
not fail: it would leave the node in two minds, so its exception stops the caller.
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
        self._image = EMPTY_IMAGE

    def subscribe(self, listener: ImageListener) -> None:
        self._listeners.append(listener)
        if self._image is not EMPTY_IMAGE:
            listener(delta_between(EMPTY_IMAGE, self._image), self._image)

    def publish(self, delta: MetadataDelta, image: MetadataImage) -> None:
        self._image = image
        for listener in self._listeners:
            listener(delta, image)
