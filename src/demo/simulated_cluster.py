"""SimulatedCluster: the story, the API over it and the movement, wired together."""

from __future__ import annotations

from datetime import datetime

from demo.controllers.movement import Movement
from demo.deletion import Deleter
from demo.http_api import HttpApi
from demo.identifiers import Identifiers
from demo.list_query import Lister
from demo.object_api import ObjectApi
from demo.resources import ResourceTable
from demo.scenario import bulk, story
from demo.scenario.logs import LogBook
from demo.scenario.world import World
from demo.store import Store
from demo.timestamps import Clock
from demo.watch_stream import WatchHub


class SimulatedCluster:
    """Everything but the socket. `moving` False: nothing happens by itself, and a deleted pod is gone at once."""

    def __init__(
        self,
        seed: int = 7,
        *,
        clock: Clock,
        token: str,
        extra_pods: int = 0,
        moving: bool = True,
        history: int = 2000,
    ) -> None:
        self.clock = clock
        self.table = ResourceTable()
        self.store = Store(first_revision=48_000 + seed, history=history)
        self.identifiers = Identifiers(seed)
        self.api = ObjectApi(self.store, self.table, clock, self.identifiers)
        self.lister = Lister(self.store, clock)
        self.hub = WatchHub(self.store)
        self.deleter = Deleter(self.api, graceful=moving)
        self.logs = LogBook(seed)
        self.story_start: datetime = clock()
        world = World(self.store, self.table, self.identifiers, self.story_start)
        story.tell(world)
        bulk.add_plain_pods(world, extra_pods)
        self.store.compact()
        self.movement = Movement(self.api)
        self.http = HttpApi(self.api, self.lister, self.deleter, self.hub, self.logs.lines, token)
