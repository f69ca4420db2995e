"""Publish a message now and then: connect, hand it over, wait for the broker's acknowledgement.

For notices on their way out, a few a minute; the fast paths are those of collectors and simulators.
"""

import ssl
from pathlib import Path
from threading import Event
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from grid.errors import ForewattError
from ingest.mqtt_session import Endpoint, read_password

TIMEOUT_S: Final = 10.0


class NotPublished(ForewattError):
    """The broker did not take a message in time."""


class Publisher:
    """One broker; a connection for each message, because minutes lie between them."""

    def __init__(
        self,
        url: str,
        *,
        password_file: Path | None = None,
        ca: Path | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Raises BadInput for what is no broker address."""
        self._endpoint = Endpoint.of(url)
        self._password, self._ca, self._timeout_s = read_password(password_file), ca, timeout_s

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """QoS 1, until the broker has acknowledged it; raises NotPublished after the timeout."""
        place = self._endpoint
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        if place.username:
            client.username_pw_set(place.username, self._password)
        if place.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self._ca))
        answered = Event()
        refused: list[str] = []

        def connected(_: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
            if code.is_failure:
                refused.append(str(code))
            answered.set()

        client.on_connect = connected
        client.connect_timeout = self._timeout_s
        try:
            client.connect(place.host, place.port)
        except (OSError, ValueError) as e:
            raise NotPublished(f"the broker {place.name} cannot be reached ({e})") from e
        client.loop_start()
        try:
            if not answered.wait(self._timeout_s) or refused:
                why = refused[0] if refused else "no answer"
                raise NotPublished(f"the broker {place.name} refuses us ({why})")
            told = client.publish(topic, payload, qos=1, retain=retain)
            told.wait_for_publish(self._timeout_s)
            if not told.is_published():
                raise NotPublished(f"the broker {place.name} did not acknowledge in time")
        except (RuntimeError, ValueError) as e:
            raise NotPublished(f"the broker {place.name} took no message ({e})") from e
        finally:
            client.disconnect()
            client.loop_stop()
