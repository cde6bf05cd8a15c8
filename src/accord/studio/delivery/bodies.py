"""What is sent about deliveries: for pages and programs alike."""

from __future__ import annotations

from pydantic import Field

from accord.studio.bodies import FormBody
from accord.studio.delivery.webhooks import Kind


class HookIn(FormBody):
    """An address that is to hear of events."""

    url: str = Field(
        max_length=2000, description="https, to the outside.", examples=["https://example.org/hook"]
    )
    kinds: list[Kind] = Field(
        min_length=1, max_length=100, description="Of events.", examples=[["answer.submitted"]]
    )
