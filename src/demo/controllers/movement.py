"""Movement: everything that happens by itself, one tick after the other.

A tick is a pure function of the store, the seed and the clock, so that the same number of ticks from the
same start gives the same cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from demo.api_status import ApiError
from demo.controllers.cluster_view import ClusterView
from demo.controllers.deployments import DeploymentController, ReplicaSetController
from demo.controllers.garbage import GarbageCollector
from demo.controllers.jobs import CronJobController, JobController
from demo.controllers.kubelet import Kubelets
from demo.controllers.pod_sets import DaemonSetController, StatefulSetController
from demo.controllers.provisioning import Heartbeats, NamespaceFurnisher, Provisioner
from demo.controllers.services import DerivedController
from demo.object_api import ObjectApi
from demo.pod_states import is_active, is_ready
from demo.scenario.behaviours import REPLACED_NOW_AND_THEN, REPLACEMENT_TICKS, app_of

logger = logging.getLogger(__name__)

EXPIRE_EVENTS_TICKS = 60
METRIC_FAILURE_TICKS = 15


class Movement:
    """The controllers of a cluster, in the order in which they act within a tick."""

    def __init__(self, api: ObjectApi) -> None:
        self._view = ClusterView(api)
        self._kubelets = Kubelets(self._view)
        self._heartbeats = Heartbeats(self._view)
        self._controllers = (
            NamespaceFurnisher(self._view),
            CronJobController(self._view),
            JobController(self._view),
            DeploymentController(self._view),
            ReplicaSetController(self._view),
            StatefulSetController(self._view),
            DaemonSetController(self._view),
            Provisioner(self._view),
        )
        self._derived = DerivedController(self._view)
        self._garbage = GarbageCollector(self._view)
        self.ticks = 0
        self.failed_steps = 0

    def tick(self) -> None:
        """One step of the whole cluster."""
        self.ticks += 1
        steps: list[Callable[[], None]] = [partial(self._kubelets.tick, self.ticks)]
        steps += [controller.tick for controller in self._controllers]
        steps += [self._derived.tick, self._garbage.tick, partial(self._heartbeats.tick, self.ticks), self._plot]
        for step in steps:
            try:
                step()
            except (ApiError, LookupError) as failure:  # an object that one controller chokes on costs only its step
                self.failed_steps += 1
                logger.warning("tick %d of the simulated cluster: %s: %s", self.ticks, step, failure)

    def _plot(self) -> None:
        """What has no cause within the cluster."""
        if self.ticks % EXPIRE_EVENTS_TICKS == 0:
            self._view.recorder.expire(self._view.now())
        if self.ticks % REPLACEMENT_TICKS == 0:
            self._replace_one()
        if self.ticks % METRIC_FAILURE_TICKS == 0:
            self._fail_to_see_metrics()

    def _replace_one(self) -> None:
        """The oldest healthy pod of one Deployment is drained; its controller makes a new one."""
        namespace = REPLACED_NOW_AND_THEN[0]
        pods = [
            pod
            for pod in self._view.pods_in(namespace)
            if app_of(pod) == REPLACED_NOW_AND_THEN and is_active(pod) and is_ready(pod)
        ]
        if pods:
            self._view.delete("pods", min(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])))

    def _fail_to_see_metrics(self) -> None:
        for stored in self._view.all("horizontalpodautoscalers.autoscaling"):
            for condition in stored.obj.get("status", {}).get("conditions", ()):
                if condition["reason"] == "FailedGetResourceMetric":
                    text = condition["message"].partition("replica count: ")[2]
                    self._view.event(stored.obj, "Warning", "FailedGetResourceMetric", text, "horizontal-pod-autoscaler")
