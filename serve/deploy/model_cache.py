"""Models side by side in one process while an update goes on: the present one, the next one, and what a request still wants."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Held = TypeVar("Held")


class Shelf(Generic[Key, Held]):
    """What ``load`` makes of a key, kept for the keys that are wanted; others are loaded again when somebody asks."""

    def __init__(self, load: Callable[[Key], Held]):
        self._load = load
        self._held: dict[Key, Held] = {}
        self._loading = asyncio.Lock()

    async def get(self, key: Key) -> Held:
        """The thing, loaded in a thread if it is not here."""
        if key in self._held:
            return self._held[key]
        async with self._loading:
            if key not in self._held:
                self._held[key] = await asyncio.to_thread(self._load, key)
            return self._held[key]

    async def keep(self, keys: Sequence[Key]) -> None:
        """Load these, and then let go of all others; raises only where none can be loaded."""
        loaded = await asyncio.gather(*(self.get(key) for key in keys), return_exceptions=True)
        failed = [each for each in loaded if isinstance(each, BaseException)]
        if failed and len(failed) == len(keys):
            raise failed[0]
        self._held = {key: held for key, held in self._held.items() if key in keys}
