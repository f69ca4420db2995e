"""The replay page: chosen, started, watched, compared, labelled and taken home, all by address."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from forewatt.trials import SCENARIOS, TrialRoom
from tests.trial_room import a_room
from tests.unit.web.visitor import HOST, Visitor
from tests.unit.web.world import World
from tests.waiting import wait_for
from web.app import create_app
from web.i18n import words
from web.trial_chart import score_panel
from web.trial_doors import TrialAsk

LABEL = {
    "fault": "insulation_leakage",
    "place": "transformer T1",
    "onset": "2026-03-04 12:00",
    "cleared": "2026-03-05 20:00",
}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRoom]:
    """A room with one dataset, replayed with two settings."""
    from simulators.scenario import simulate

    folder = tmp_path_factory.mktemp("room")
    simulate(SCENARIOS / "neutral_loose.toml", folder / "datasets" / "clamp")
    (folder / "datasets" / "bad.csv").write_text("time,v_a\n2026-03-02T00:00:00Z,230\n")
    made = a_room(folder)
    id_ = made.start(TrialAsk("dataset:clamp", b=('disabled = ["neutral"]',)))
    wait_for(lambda: made.known()[0][1].status.get("state") == "done", 90, f"{id_} is done")
    yield made
    made.close()


@pytest.fixture
def engineer(room: TrialRoom) -> Visitor:
    """An engineer who is signed in."""
    world = World(trials=room)
    visitor = Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})
    visitor.get("/signin/link-engineer")
    visitor.csrf = visitor.get("/password").text.partition('data-csrf="')[2].partition('"')[0]
    return visitor


@pytest.fixture
def trial(room: TrialRoom) -> str:
    """The address of the trial that is done."""
    done = [id_ for id_, view in room.known() if view.status.get("state") == "done"]
    return f"/engineer/replay/{done[-1]}"


def test_the_form_lists_datasets_files_scenarios_and_the_live_past(engineer: Visitor) -> None:
    page = engineer.get("/engineer/replay").text

    for value in ("live", "dataset:clamp", "file:bad.csv", "scenario:storm_night"):
        assert f'value="{value}"' in page
    assert "lateness_s" in page


def test_a_link_fills_the_form(engineer: Visitor) -> None:
    page = engineer.get(
        "/engineer/replay?source=dataset:clamp&speed=60&compare=1&b=disabled+%3D+[]"
    ).text

    assert '<option value="dataset:clamp" selected>' in page
    assert 'name="speed" value="60"' in page
    assert 'name="compare" value="1" checked' in page


def test_the_page_shows_both_sides_what_differs_and_the_command(
    engineer: Visitor, trial: str
) -> None:
    page = engineer.get(trial).text

    assert "forewatt trial " in page and "--against" in page
    assert "Alerts of settings A" in page and "Alerts of settings B" in page
    assert "only A" in page and "100 %" in page


def test_the_chart_has_phases_scores_marks_and_truth(engineer: Visitor, trial: str) -> None:
    chart = engineer.get(f"{trial}/chart?asset_kind=branch&asset=T1-B2").json()

    assert [b["kind"] for b in chart["bands"]] == ["truth"]
    assert {m["side"] for m in chart["marks"]} == {"a"}  # B runs without the neutral's detector
    panel = next(p for p in chart["panels"] if p["limits"] == [{"value": 1.0, "label": "limit"}])
    raised = {f"A {m['label']}".removesuffix(" (watch list)") for m in chart["marks"]}
    values = [v for x in panel["lines"] if x["label"] in raised for v in x["mean"] if v is not None]
    assert min(values) < 1.0 < max(values)  # on its way to the limit as well
    assert panel["whole"]  # the limit is in the picture, however far away the score stays
    assert chart["panels"][0]["unit"] == "V"


def test_a_place_that_came_near_its_limit_and_was_never_raised_has_a_curve(
    room: TrialRoom, engineer: Visitor, trial: str
) -> None:
    view = room.open(trial.rpartition("/")[2])
    assert view is not None
    raised = {x["asset"] for x in view.alerts("a")}
    everything = {view.network.asset_of(n)[1] for n in range(len(view.network.tree.ids))}
    table = view.scores("a", everything).to_pylist()
    quiet = {x["asset"] for x in table if x["score"] < 1.0} - raised
    asset = min(quiet)
    kind = next(k for k, a in map(view.network.asset_of, range(len(view.network.tree.ids)))
                if a == asset)  # fmt: skip

    chart = engineer.get(f"{trial}/chart?asset_kind={kind}&asset={asset}").json()

    labels = [x["label"] for p in chart["panels"] for x in p["lines"] if x["quantity"] == "score"]
    assert any(asset in label for label in labels)


def test_a_ticket_limit_of_the_settings_is_drawn_beside_the_limit() -> None:
    class View:
        status: ClassVar = {"limits": {"a": [["joint", "joint_resistance", 1.6]], "b": []}}

        def scores(self, side: str, assets: set[str]) -> pa.Table:
            rows = [{"tick_us": 9, "detector": "joint", "fault": "joint_resistance",
                     "asset": "U1", "score": 0.5}]  # fmt: skip
            return pa.Table.from_pylist(rows)

    panel = score_panel(View(), {"U1"}, 0, 10, ZoneInfo("UTC"), words("en"))  # type: ignore[arg-type]

    assert panel is not None
    assert [(x["value"], x["label"].partition(":")[2]) for x in panel["limits"]] == [
        (1.0, ""),
        (1.6, " least for a ticket"),
    ]


def test_a_zoom_is_in_the_address_and_gives_finer_readings(engineer: Visitor, trial: str) -> None:
    whole = engineer.get(f"{trial}/chart?device=T1-TM").json()
    low = whole["from_us"] + 3_600_000_000
    part = engineer.get(f"{trial}/chart?device=T1-TM&from={low}&to={low + 3_600_000_000}").json()

    steps = [p["panels"][0]["time"][1] - p["panels"][0]["time"][0] for p in (whole, part)]
    assert (part["from_us"], part["to_us"]) == (low, low + 3_600_000_000)
    assert steps[1] <= steps[0]


def test_a_chart_of_one_meter_shows_all_that_it_reports(engineer: Visitor, trial: str) -> None:
    chart = engineer.get(f"{trial}/chart?device=T1-TM").json()

    assert {p["unit"] for p in chart["panels"]} >= {"V", "A", "W", "°C"}


def test_a_wrong_setting_is_explained_in_chinese_to_who_reads_chinese(engineer: Visitor) -> None:
    engineer.headers["accept-language"] = "zh-CN"

    page = engineer.change(
        "/engineer/replay", source="dataset:clamp", speed="max", a="latenes_s = 1"
    ).text

    assert "detectors.latenes_s：没有这个设置项" in page
    assert "是否想写 &#39;lateness_s&#39;？" in page


def test_a_label_is_kept_scored_changed_and_removed(
    engineer: Visitor, trial: str, room: TrialRoom
) -> None:
    id_ = trial.rpartition("/")[2]
    before = room.scored(id_)["truth"]

    answer = engineer.change(f"{trial}/label", **LABEL, back="?asset=T1&asset_kind=transformer")

    assert answer.url.query == b"asset=T1&asset_kind=transformer"
    assert room.scored(id_)["truth"] == before + 1
    kept = room.labels(id_)[0]
    assert kept["onset"] == "2026-03-04T04:00:00Z"
    engineer.change(f"{trial}/label", **LABEL | {"id": kept["id"], "fault": "new_ev"})
    assert [(x["fault"], x["benign"]) for x in room.labels(id_)] == [("new_ev", True)]
    engineer.change(f"{trial}/label", id=kept["id"], remove="1")
    assert room.labels(id_) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"onset": "at noon"}, "Say when it began"),
        ({"place": "branch nowhere"}, "Choose a place of the list"),
        ({"fault": "ghosts"}, "not in the catalogue"),
    ],
)
def test_a_wrong_label_is_refused_and_what_was_typed_stays(
    engineer: Visitor, trial: str, room: TrialRoom, wrong: dict[str, str], said: str
) -> None:
    answer = engineer.change(f"{trial}/label", **LABEL | wrong)

    assert answer.status_code == 422
    assert said in answer.text
    assert 'value="2026-03-05 20:00"' in answer.text
    assert room.labels(trial.rpartition("/")[2]) == []


def test_readings_alerts_and_scores_come_as_csv_and_parquet(engineer: Visitor, trial: str) -> None:
    for name in ("readings", "alerts-a", "alerts-b", "scores-a"):
        csv = engineer.get(f"{trial}/download/{name}.csv?device=T1-TM")
        parquet = engineer.get(f"{trial}/download/{name}.parquet?device=T1-TM")
        assert csv.headers["content-disposition"].endswith(f'{name}.csv"')
        read = pacsv.read_csv(io.BytesIO(csv.content))
        assert len(read) == len(pq.read_table(io.BytesIO(parquet.content)))
        assert (len(read) > 0) == (name != "alerts-b")
    assert engineer.get(f"{trial}/download/truth.jsonl").text.count("\n") == 1
    assert engineer.get(f"{trial}/download/secrets.csv").status_code == 404
    assert engineer.get(f"{trial}/download/readings.exe").status_code == 404


def test_a_bad_file_is_shown_with_column_and_fix(engineer: Visitor, room: TrialRoom) -> None:
    answer = engineer.change("/engineer/replay", source="file:bad.csv", speed="max")
    id_ = answer.url.path.rpartition("/")[2]
    view = room.open(id_)
    assert view is not None
    wait_for(lambda: view.status.get("state") == "failed", 60, "the replay was refused")

    page = engineer.get(f"/engineer/replay/{id_}").text
    assert "This cannot be replayed" in page and "What to do" in page
    assert "column &#39;device&#39; is missing" in page and "bad.csv" in page
    assert "Nothing of it was judged or kept" in page


def test_a_wrong_setting_is_refused_on_the_form_and_stays(engineer: Visitor) -> None:
    answer = engineer.change(
        "/engineer/replay", source="dataset:clamp", speed="max", a="latenes_s = 3"
    )

    assert answer.status_code == 422
    assert "lateness_s" in answer.text and "latenes_s = 3" in answer.text


def test_nobody_but_engineers_and_administrators_replays(room: TrialRoom, trial: str) -> None:
    world = World(trials=room)
    app = create_app(world.settings)
    got = {}
    for role in ("operator", "clerk", "dispatcher", "read_only", "admin", "engineer"):
        visitor = Visitor(app, base_url=HOST)
        visitor.get(f"/signin/link-{role}")
        got[role] = visitor.get(trial).status_code

    assert {r for r, status in got.items() if status == 200} == {"engineer", "admin"}


def test_without_a_room_there_is_no_replay() -> None:
    visitor = Visitor(create_app(World().settings), base_url=HOST)
    visitor.get("/signin/link-engineer")

    assert visitor.get("/engineer/replay").status_code == 404
    assert "/engineer/replay" not in visitor.get("/engineer").text


def test_an_unknown_replay_is_not_found(engineer: Visitor) -> None:
    answers = [engineer.get(f"/engineer/replay/{x}").status_code for x in ("x", "%2e%2e", "labels")]

    assert set(answers) <= {404}


def test_a_removed_trial_is_gone(engineer: Visitor, room: TrialRoom) -> None:
    folder = room.folder / "replay-20200101-000000-beef"
    folder.mkdir()
    (folder / "status.json").write_text('{"state": "stopped"}', encoding="utf-8")

    answer = engineer.change(f"/engineer/replay/{folder.name}/remove")

    assert (answer.status_code, Path(folder).exists()) == (200, False)


# What a run says of itself, in the order it says it, and the files that lie there by then.
FURNISHED = ("network.json", "series", "truth.jsonl", "a.alerts.jsonl", "b.alerts.jsonl")
STAGES = (
    ({"state": "waiting"}, 0),
    ({"state": "loading", "rows_all": 80_000}, 0),
    ({"state": "loading", "rows_all": 80_000}, 1),
    ({"state": "loading", "rows_all": 80_000}, 2),
    ({"state": "loading", "rows_all": 80_000}, 3),
    ({"state": "running", "rows": 0, "rows_all": 80_000, "speed": 60, "paused": True}, 5),
    ({"state": "scoring", "rows": 80_000, "rows_all": 80_000}, 5),
    ({"state": "stopped"}, 5),
    ({"state": "failed", "error": {"text": "the disk is full"}}, 2),
)


@pytest.mark.parametrize(("status", "files"), STAGES)
def test_the_page_stands_at_every_stage_of_a_run(
    engineer: Visitor, trial: str, room: TrialRoom, status: dict[str, object], files: int
) -> None:
    whole = room.folder / trial.rpartition("/")[2]
    folder = room.folder / "replay-20200102-000000-beef"
    shutil.copytree(whole, folder)
    for name in FURNISHED[files:]:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink()
    (folder / "status.json").write_text(json.dumps(status), encoding="utf-8")

    answer = engineer.get(f"/engineer/replay/{folder.name}")
    listed = engineer.get("/engineer/replay")
    shutil.rmtree(folder)

    assert (answer.status_code, listed.status_code) == (200, 200)
    assert f'data-state="{status["state"]}"' in answer.text
    assert ("80,000" in answer.text) == ("rows" in status)


def test_a_replay_with_one_setting_has_its_page_too(
    engineer: Visitor, trial: str, room: TrialRoom
) -> None:
    folder = room.folder / "replay-20200103-000000-beef"
    shutil.copytree(room.folder / trial.rpartition("/")[2], folder)
    for path in folder.glob("b.*"):
        path.unlink()
    request = folder / "request.json"
    asked = json.loads(request.read_text(encoding="utf-8"))
    request.write_text(json.dumps({**asked, "b": None}), encoding="utf-8")

    answer = engineer.get(f"/engineer/replay/{folder.name}")
    (folder / "truth.jsonl").unlink()  # as of the live past
    room._scores.clear()
    without_truth = engineer.get(f"/engineer/replay/{folder.name}")
    shutil.rmtree(folder)

    assert (answer.status_code, without_truth.status_code) == (200, 200)
    assert "Alerts of settings A" in answer.text and "Alerts of settings B" not in answer.text
