"""Write a town as the network folder of a dataset: the CSV files of the contract."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulators.town import Town


def write_network(
    town: Town,
    folder: Path,
    planned: Iterable[tuple[str, str, str, str, str]] = (),
    delivery_s: int | None = None,
) -> None:
    """Write `folder`/*.csv as contracts.md section 2 says; `planned` rows are announced work.

    `delivery_s` is how far apart deliveries are, None where readings come by themselves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = town.spec

    def table(name: str, header: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header.split(","))
            writer.writerows(rows)

    table(
        "feeders",
        "feeder,name,substation",
        (
            (f, f"10kV {spec.name_zh}{i + 1}线 / {spec.name} {i + 1}", f"{spec.name_zh}变电站")
            for i, f in enumerate(town.feeders)
        ),
    )
    table(
        "sections",
        "section,feeder,parent,switch,name",
        ((s, f, p, sw, f"{f} {s.rsplit('-', 1)[1]}") for s, f, p, sw in town.sections),
    )
    teams = {f: f"team-{i % 3 + 1}" for i, f in enumerate(town.feeders)}
    table(
        "transformers",
        "transformer,feeder,section,name,rated_kva,nominal_v,area_class,latitude,longitude,team,manager",
        (
            (
                a.id,
                a.feeder,
                a.section,
                a.name,
                f"{a.area.rated_kva:g}",
                "220",
                a.area_class,
                a.latitude,
                a.longitude,
                teams[a.feeder],
                f"{'陈林吴郑'[i % 4]}师傅",
            )
            for i, a in enumerate(town.areas)
        ),
    )
    table(
        "usage_points",
        "usage_point,transformer,branch,node,phase,account",
        (
            (u.id, a.id, u.branch, u.node, u.phase_name, u.person.account)
            for a in town.areas
            for u in a.usage_points
        ),
    )
    table(
        "devices",
        "device,kind,usage_point,transformer,section,interval_s,delivery_s,wiring,sampling,"
        "ct_ratio,pt_ratio,address,unit,profile",
        _devices(town, delivery_s),
    )
    table(
        "customers",
        "account,name,phone,address,category,flags,supply_status",
        (
            (
                p.account,
                p.name,
                p.phone,
                p.address,
                p.category,
                p.flags,
                p.supply_status,
            )
            for a in town.areas
            for p in (u.person for u in a.usage_points)
        ),
    )
    table("planned", "asset_kind,asset,from,to,reason", planned)
    table(
        "teams",
        "team,name,phone,area",
        (
            (
                t,
                f"{'东西南'[int(t[-1]) - 1]}区抢修班 / Crew {t[-1]}",
                f"+86 100 9000 000{t[-1]}",
                ";".join(f for f in town.feeders if teams[f] == t),
            )
            for t in sorted(set(teams.values()))
        ),
    )


def _devices(town: Town, delivery_s: int | None) -> Iterable[tuple[Any, ...]]:
    spec = town.spec
    for a in town.areas:
        for u in a.usage_points:
            wiring = "3p4w" if len(u.phases) == 3 else "1p"
            yield (
                u.meter,
                "meter",
                u.id,
                "",
                "",
                spec.meter_interval_s,
                delivery_s or "",
                wiring,
                "instant",
                "",
                "",
                "",
                "",
                "",
            )
    for i, a in enumerate(town.areas):
        if a.monitor:
            unit = i + 1 if spec.monitor == "sdm630" else ""
            yield (
                a.monitor,
                "transformer_monitor",
                "",
                a.id,
                "",
                spec.monitor_interval_s,
                delivery_s or "",
                "3p4w",
                "instant",
                "",
                "",
                "127.0.0.1" if unit else "",
                unit,
                "sdm630" if unit else "",
            )
    for section, _, _, switch in town.sections:
        yield (switch, "switch", "", "", section, "", "", "", "", "", "", "", "", "")
