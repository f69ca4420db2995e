"""The part of the configuration that the desk reads: promises, notices, ways out, the head-end."""

# `setting` only makes a dataclass field with its documentation.
# ruff: noqa: RUF009

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from alerts.notices import NoticeSettings
from alerts.service import PRESETS, ServiceLevel
from alerts.settings import DeskSettings
from forewatt.toml_reader import Source, setting

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class DeskConfig:
    service_level: Literal["promise", "regulation"] = setting(
        "promise", doc="preset of promised times; the keys below change single ones"
    )
    dispatch_min: int | None = setting(
        None, doc="minutes from the first evidence to dispatch", low=1, high=10_000
    )
    arrive_urban_min: int | None = setting(
        None, doc="minutes to arrival in urban areas", low=1, high=10_000
    )
    arrive_rural_min: int | None = setting(
        None, doc="minutes to arrival in rural areas", low=1, high=10_000
    )
    arrive_remote_min: int | None = setting(
        None, doc="minutes to arrival in remote areas", low=1, high=10_000
    )
    restore_urban_min: int | None = setting(
        None, doc="minutes from arrival to restoration in urban areas", low=1, high=10_000
    )
    restore_rural_min: int | None = setting(
        None, doc="minutes from arrival to restoration in rural areas", low=1, high=10_000
    )
    restore_remote_min: int | None = setting(
        None, doc="minutes from arrival to restoration in remote areas", low=1, high=10_000
    )
    call_back_min: int | None = setting(
        None, doc="minutes until a waiting customer is called back", low=1, high=100_000
    )
    night_from_h: int = setting(
        22, doc="local hour from which ordinary notices to customers wait", low=0, high=23
    )
    night_to_h: int = setting(7, doc="local hour until which they wait", low=0, high=23)
    estimate_change_min: int = setting(
        30, doc="smaller changes of an estimate are not told", low=1, high=1440
    )
    storm_incidents: int = setting(
        20, doc="so many supplies lost within an hour are a storm", low=2, high=100_000
    )
    frequent_60_days: int = setting(
        3, doc="more interruptions in 60 days are frequent", low=1, high=1000
    )
    frequent_year: int = setting(
        5, doc="more interruptions in a year are frequent", low=1, high=1000
    )
    frequent_planned: int = setting(
        3, doc="more planned interruptions in a year are frequent", low=1, high=1000
    )
    sustained_s: float = setting(
        300.0, doc="longer interruptions are sustained (IEEE 1366)", low=1, high=3600
    )

    @property
    def level(self) -> ServiceLevel:
        """The preset with what this site has changed."""
        made = PRESETS[self.service_level]
        arrive, restore = dict(made.arrive), dict(made.restore)
        for area in ("urban", "rural", "remote"):
            for times, name in ((arrive, "arrive"), (restore, "restore")):
                given = getattr(self, f"{name}_{area}_min")
                if given is not None:
                    times[area] = given
        return replace(
            made,
            dispatch=self.dispatch_min or made.dispatch,
            arrive=arrive,
            restore=restore,
            call_back=self.call_back_min or made.call_back,
        )

    def settings(self, time_zone: str) -> DeskSettings:
        """What tickets are made by."""
        return DeskSettings(
            time_zone=time_zone,
            service_level=self.level,
            storm_incidents=self.storm_incidents,
            frequent=(self.frequent_60_days, self.frequent_year, self.frequent_planned),
            sustained_s=self.sustained_s,
        )

    def notices(self, time_zone: str, language: str, channel: str) -> NoticeSettings:
        """How customers are told."""
        return NoticeSettings(
            time_zone=time_zone,
            language=language,
            channel=channel,
            night=(self.night_from_h, self.night_to_h),
            change_min_us=self.estimate_change_min * MINUTE_US,
        )


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    name: str = setting(doc="what this receiver is called; each name once")
    url: str = setting(
        doc="https://host/path (webhook), smtp+tls://host:port (mail; smtp:// without TLS), "
        "or mqtts://host:port/topic (mqtt:// without TLS)"
    )
    what: Literal["alerts", "customers"] = setting(
        "alerts", doc="alerts to a system of yours, or approved notices to customers' phones"
    )
    severity: Literal["P1", "P2", "P3", "P4"] = setting(
        "P3", doc="the least grave alert that is told"
    )
    tickets_only: bool = setting(True, doc="only the alert that bears the ticket of its cause")
    faults: tuple[str, ...] = setting((), doc="only these fault kinds; empty: all but inspection")
    secret_file: Path | None = setting(
        None, doc="file with the webhook's signing secret, or the password", secret_file=True
    )
    user: str | None = setting(None, doc="user at the mail server or broker")
    sender: str | None = setting(None, doc="sender address of mails")
    to: str | None = setting(None, doc="recipient address of mails")


@dataclass(frozen=True, slots=True)
class HeadEndConfig:
    url: str = setting(doc="address that reads meters now (POST), https://host/path")
    secret_file: Path | None = setting(
        None, doc="file with the signing secret, mode 600", secret_file=True
    )
    token_file: Path | None = setting(
        None, doc="file with a bearer token, mode 600", secret_file=True
    )


SCHEMES = ("http", "https", "smtp", "smtp+tls", "mqtt", "mqtts")


def check_notify(receivers: tuple[NotifyConfig, ...], source: Source) -> None:
    """What one field alone cannot tell; BadInput names the receiver."""
    seen: set[str] = set()
    customers = 0
    for n, receiver in enumerate(receivers, 1):
        path = f"notify[{n}]"
        parts = urlsplit(receiver.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise source.error(
                f"{path}.url", f"is {receiver.url!r}", f"use one of {', '.join(SCHEMES)}://host..."
            )
        if parts.password:
            raise source.error(f"{path}.url", "holds a password", "put it into secret_file")
        if receiver.name in seen:
            raise source.error(f"{path}.name", "is used twice", "give each receiver its own name")
        seen.add(receiver.name)
        if parts.scheme.startswith("smtp") and not (receiver.sender and receiver.to):
            raise source.error(f"{path}.url", "is a mail server", "add sender and to")
        if parts.scheme.startswith("mqtt") and not parts.path.strip("/"):
            raise source.error(f"{path}.url", "names no topic", "write mqtt://host:port/topic")
        customers += receiver.what == "customers"
        if customers > 1:
            raise source.error(f"{path}.what", "is customers twice", "keep one way to customers")


def check_head_end(head_end: HeadEndConfig | None, source: Source) -> None:
    """An address that can be asked."""
    if head_end is None:
        return
    parts = urlsplit(head_end.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise source.error("head_end.url", f"is {head_end.url!r}", "write https://host/path")
