"""The process that plays the demo's town: a healthy week at full speed, then the story in time.

It speaks to Forewatt as meters and customers do: MQTT, Modbus and `POST /api/v1/contacts`; texts to
customers come to it. It drives the simulated clock that all processes share.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from forewatt.child import begin
from forewatt.health import HealthFile, read_reports
from forewatt.phones import Telephones
from forewatt.plan import Plan
from forewatt.shared_clock import SharedClock
from forewatt.stepping import play_all
from grid.dataset import read_dataset
from simulators.replay import ReplayProgress, replay

CONNECTED_S = 60.0
JUDGED_S = 120.0
POLL_S = 0.05
POST_S = 10.0
LAG_MAX_S = 60.0  # of site time; a machine too slow for the speed asked for goes slower
POST_TRIES = 5

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """`python -m forewatt.player --plan FILE --parent PID`."""
    parser = argparse.ArgumentParser(prog="forewatt.player")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--parent", type=int)
    args = parser.parse_args(argv)
    stop = begin("play", args.parent)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s play %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    plan = Plan.load(args.plan)
    health = HealthFile(Path(plan.health), "play")
    health.say(ready=False)
    with Telephones(plan.phones_port, Path(plan.texts)):
        Player(plan, health, stop).play()
    health.remove()
    return 0


class StoryClock:
    """The shared clock at the story's speed; when it was held to catch up, it goes on by itself
    as soon as everything due has been sent."""

    def __init__(self, shared: SharedClock, speed: float) -> None:
        self._shared, self._speed = shared, speed

    def now_us(self) -> int:
        """The time of the site."""
        return self._shared.now_us()

    def real_seconds_until(self, site_us: int) -> float:
        """Asked only by those who have nothing left to send."""
        if self._shared.state.speed == 0:
            self._shared.run(self._speed)
        return self._shared.real_seconds_until(site_us)


class Player:
    """Plays one plan; after a restart it goes on where the clock stands."""

    def __init__(self, plan: Plan, health: HealthFile, stop: threading.Event) -> None:
        self._plan, self._health, self._stop = plan, health, stop
        self._clock = SharedClock(Path(plan.clock))

    def play(self) -> None:
        """Until told to stop; after the story's end the clock is held."""
        if self._clock.state.speed == 0 and self._clock.now_us() < self._plan.story_us:
            self._healthy_week()
        if self._stop.is_set():
            return
        self._health.say(ready=True, detail={"phase": "story"})
        callers = threading.Thread(target=self._callers, daemon=True)
        callers.start()
        self._story()
        callers.join(POST_S)
        if not self._stop.is_set():
            self._clock.hold()
            self._health.say(detail={"phase": "held"})
            while not self._stop.wait(1.0):
                self._health.say(detail={"phase": "held"})

    def _healthy_week(self) -> None:
        plan = self._plan
        self._until("the collector to be connected", self._connected, CONNECTED_S)
        began = time.monotonic()
        sent = play_all(
            Path(plan.town), plan.mqtt, self._clock, end_us=plan.story_us, stop=self._stop
        )
        log.info("healthy week sent in %.1f s: %s", time.monotonic() - began, sent)
        self._until("the healthy week to be stored and judged", self._judged, JUDGED_S)
        self._clock.run(0.0, plan.story_us)
        log.info("healthy week stored and judged after %.1f s", time.monotonic() - began)

    def _connected(self) -> bool:
        """The broker keeps for the collector only what comes after it has subscribed."""
        collect = read_reports(Path(self._plan.health)).get("collect")
        return collect is not None and collect.ready

    def _judged(self) -> bool:
        """History holds what the journal holds, and the detectors have come to the week's end."""
        reports = read_reports(Path(self._plan.health))
        historian, watch = reports.get("historian"), reports.get("watch")
        if historian is None or watch is None or historian.lag != 0 or watch.lag != 0:
            return False
        reached: Any = watch.detail.get("watermark_us", 0)
        return bool(reached >= self._plan.week_end_us)

    def _until(self, what: str, condition: Callable[[], bool], limit_s: float) -> None:
        """Wait for a condition; go on with a warning when it does not come."""
        deadline = time.monotonic() + limit_s
        while not condition() and not self._stop.wait(POLL_S):
            self._health.say(waiting_for=what)
            if time.monotonic() > deadline:
                log.warning("waited %.0f s for %s; going on", limit_s, what)
                break
        self._health.say(waiting_for="")

    def _story(self) -> None:
        plan = self._plan
        start_us = max(self._clock.now_us(), plan.story_us)
        self._clock.run(plan.speed, start_us)
        told = replay(
            Path(plan.town),
            plan.mqtt,
            modbus_port=plan.modbus_port,
            clock=StoryClock(self._clock, plan.speed),
            start_us=start_us,
            stop=self._stop,
            on_progress=self._progress,
        )
        log.info("story told: %s", told)

    def _progress(self, told: ReplayProgress) -> None:
        """Keep the clock with what has been sent: meters that are late would seem silent."""
        if told.lag_s > LAG_MAX_S:
            self._clock.hold()
        self._health.say(detail={"phase": "story", "site_us": self._clock.now_us()})

    # -- customers ---------------------------------------------------------------------------

    def _callers(self) -> None:
        """Customers phone in when their time comes, by the door that a call centre uses."""
        plan = self._plan
        calls = read_dataset(Path(plan.town)).contacts()
        now = self._clock.now_us()
        headers = {"Authorization": f"Bearer {plan.token}"}
        with httpx.Client(base_url=plan.api, headers=headers, timeout=POST_S) as client:
            for call in calls[calls["time_us"] >= now].to_dict("records"):
                if not self._sleep_until(int(call["time_us"])):
                    return
                self._post(
                    client, {str(k): v for k, v in call.items() if k != "time_us" and v != ""}
                )

    def _sleep_until(self, site_us: int) -> bool:
        """False when told to stop, or when the clock is held before that time comes."""
        while (left := self._clock.real_seconds_until(site_us)) > 0:
            if self._stop.wait(min(left, 0.2)):
                return False
        return True

    def _post(self, client: httpx.Client, call: dict[str, Any]) -> None:
        for attempt in range(POST_TRIES):
            try:
                answer = client.post("/api/v1/contacts", json=call)
                if answer.status_code < 500:
                    if answer.is_error:
                        log.warning("call refused (%s): %s", answer.status_code, answer.text[:300])
                    return
            except httpx.TransportError as error:
                log.warning("call not taken: %s", error)
            if self._stop.wait(0.2 * 2**attempt):
                return


if __name__ == "__main__":
    sys.exit(main())
