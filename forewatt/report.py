"""`forewatt report ALERT`: the evidence of one alert as PNG or PDF, from the site or a replay."""

import argparse
from pathlib import Path
from zoneinfo import ZoneInfo

from alerts.places import Places
from desk.board import AlertPage, Board, FeedRow
from desk.procedures import procedure
from forewatt.config import Config, load_config
from forewatt.site import site_network
from forewatt.trial_files import TrialFolder
from grid.errors import BadInput
from storage.database import Database
from storage.feed_lines import Beside
from storage.ledger import PostgresLedger
from web.i18n import Language, words
from web.readings import StoredReadings
from web.render import Reader
from web.report import Source, report
from web.report_picture import FORMS, Form, chinese_can_be_drawn
from web.trial_chart import alert_of


def report_command(args: argparse.Namespace) -> int:
    """`forewatt report ALERT [--out FILE.png|FILE.pdf] [--trial DIR]`."""
    out: Path = args.out or Path(f"{args.alert}.png")
    form = form_of(out)
    language: Language = args.language or "en"
    if args.trial is not None:
        made = of_trial(args.trial, args.side, args.alert, language, form)
    else:
        config = load_config(args.config)
        language = args.language or config.site.language
        made = of_site(config, args.alert, language, form)
    if language == "zh-CN" and not chinese_can_be_drawn():
        raise BadInput(
            "this machine has no font with Chinese letters",
            fix="install fonts-noto-cjk, or add --language en",
        )
    out.write_bytes(made)
    print(f"{out}: {len(made) / 1024:.0f} KB")
    return 0


def form_of(out: Path) -> Form:
    """The form that a file's name asks for."""
    for form in FORMS:
        if out.suffix == f".{form}":
            return form
    raise BadInput(f"{out.name} is neither .png nor .pdf", fix="name it with one of them")


def of_trial(folder: Path, side: str, alert_id: str, language: Language, form: Form) -> bytes:
    """An alert of a replay, drawn from the replay's own readings."""
    trial = TrialFolder(folder)
    line = next((x for x in trial.alerts(side) if x["id"] == alert_id), None)
    if line is None:
        raise BadInput(
            f"{folder} has no alert {alert_id!r} on side {side}",
            fix=f"take an id out of {side}.alerts.jsonl",
        )
    alert, network = alert_of(line), trial.network
    here = (alert.asset_kind, alert.asset)
    places = Places(network)
    page = AlertPage(
        FeedRow(alert, None, None, ()),
        [],
        Beside(),
        network.transformer_of(*here),
        len(places.customers(here)),
        places.call_first(here),
        procedure(alert.fault, language),
    )
    reader = Reader(words(language), ZoneInfo("Asia/Shanghai"), trial.span_us[1])
    return report(page, Source(trial, network, "CN", folder.name), reader, form)


def of_site(config: Config, name: str, language: Language, form: Form) -> bytes:
    """An alert of the running site; `name` may be the number of its ticket."""
    clock, realm = config.clock(), config.site.realm
    with Database(config.database_url(), application="forewatt report") as database:
        network = site_network(config, database)
        ledger = PostgresLedger(database, realm)
        board = Board(ledger, network)
        page = board.alert(name, "admin", language)
        if page is None:
            ticket = board.ticket_numbered(name, "admin", language)
            main = next((a for a in ticket.alerts if a.ticket), None) if ticket else None
            page = board.alert(main.id, "admin", language) if main else None
        if page is None:
            raise BadInput(
                f"there is no alert and no ticket {name!r}",
                fix="take the id out of the alert's address, or the ticket's number",
            )
        readings = StoredReadings(database, network, clock, realm)
        reader = Reader(words(language), ZoneInfo(config.site.time_zone), clock.now_us())
        source = Source(readings, network, config.site.country, config.site.name)
        return report(page, source, reader, form)
