"""All worlds of the gallery."""

from __future__ import annotations

from collections.abc import Mapping

from accord.control.gallery import boats, camera, factories, safety, tampering, taste
from accord.control.gallery.world import GalleryWorld

WORLDS: Mapping[str, GalleryWorld] = {
    world.name: world
    for world in (
        boats.BOAT_TIE,
        boats.BOAT_RESPAWN,
        factories.CLEANING,
        factories.NAILS_COUNT,
        factories.NAILS_WEIGHT,
        camera.GRASP_FRONT,
        camera.GRASP_TWO_VIEWS,
        tampering.WIREHEADING,
        tampering.BUCKET,
        safety.OFF_SWITCH,
        safety.SUPERVISOR,
        safety.SIDE_EFFECTS,
        safety.WHISKY,
        taste.TASTE_BEFORE,
        taste.TASTE_AFTER,
    )
}
