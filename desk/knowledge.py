"""What people here know, written down, improved and reviewed by each other.

Checklists and articles are proposals that somebody else has accepted; every version stays. All of
it is a fold over what people said (append-only, `human_input`), so who wrote and who accepted what
is never lost. Knowledge belongs to the site: make the desk on the live ledger, also for drills.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from alerts.errors import Conflict, MissingDetail, NotFound, WrongRole
from alerts.ledger import Ledger, Reading, Transaction
from alerts.roles import Actor, Role
from desk.procedures import LANGUAGES, PARTS, Procedure, by_key, keys
from grid.clock import Clock
from grid.faults import FAULTS
from storage.desk_records import HumanInput
from storage.desk_text import plain

Kind = Literal["article", "procedure"]
State = Literal["proposed", "published", "refused", "withdrawn", "replaced"]
STATE_NAMES: Final[dict[State, tuple[str, str]]] = {
    "proposed": ("waits for review", "待审核"),
    "published": ("in use", "使用中"),
    "refused": ("refused", "未采纳"),
    "withdrawn": ("withdrawn", "已撤下"),
    "replaced": ("replaced by a newer version", "已被新版本取代"),
}
WRITERS: Final[tuple[Role, ...]] = (
    "clerk",
    "operator",
    "dispatcher",
    "engineer",
    "supervisor",
    "admin",
)
REVIEWERS: Final[tuple[Role, ...]] = ("clerk", "dispatcher", "engineer", "supervisor", "admin")
BODY_MAX: Final = 20_000
TITLE_MAX: Final = 200
LINES_MAX: Final = 40
ALL: Final = 100_000
_KINDS: Final = ("proposal", "review", "withdrawal")


class UnknownArticle(NotFound):
    """No article or checklist bears that key."""

    def __init__(self, key: object) -> None:
        super().__init__("article", "知识条目", key)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an article or checklist.

    content : of an article `title, title_zh, body, body_zh, faults`; of a checklist one mapping a
        language with `title, safety, clerk, crew, close`
    reason : why it was proposed; remark : what the reviewer said
    based_on : the version in use when it was written, None for the first
    """

    kind: Kind
    key: str
    number: int
    state: State
    content: Mapping[str, Any] = field(repr=False)
    author: str
    at_us: int
    reason: str = ""
    reviewer: str | None = None
    reviewed_us: int | None = None
    remark: str = ""
    based_on: int | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Fault kinds it speaks of."""
        if self.kind == "procedure":
            return tuple(f.kind for f in FAULTS.values() if f.procedure == self.key)
        return tuple(self.content["faults"])

    def title(self, language: str) -> str:
        """Its title in `zh-CN` or `en`."""
        spoken = _spoken(language)
        if self.kind == "procedure":
            return str(self.content[spoken]["title"])
        return str(self.content["title_zh" if spoken == "zh-CN" else "title"])

    def body(self, language: str) -> str:
        """The text of an article; of a checklist its lines."""
        spoken = _spoken(language)
        if self.kind == "procedure":
            part = self.content[spoken]
            return "\n".join(line for name in PARTS for line in part[name])
        return str(self.content["body_zh" if spoken == "zh-CN" else "body"])


def _spoken(language: str) -> str:
    return "zh-CN" if language.startswith("zh") else "en"


class KnowledgeDesk:
    """Articles and checklists of a site; `ledger` is the live one."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock

    # -- reading ---------------------------------------------------------------------------

    def articles(
        self,
        *,
        fault: str | None = None,
        text: str = "",
        states: Sequence[State] = ("published",),
        kind: Kind | None = None,
    ) -> list[Version]:
        """Versions in these states, the newest first; `text` must occur in title or body."""
        wanted = text.strip().lower()
        with self.ledger.reading() as reading:
            found = _fold(reading.human_inputs(kinds=_KINDS, limit=ALL))
        out = [
            v
            for versions in found.values()
            for v in versions
            if v.state in states
            and (kind is None or v.kind == kind)
            and (fault is None or fault in v.faults)
            and (not wanted or any(wanted in _words(v, spoken) for spoken in LANGUAGES))
        ]
        return sorted(out, key=lambda v: (-v.at_us, v.kind, v.key, -v.number))

    def waiting(self) -> list[Version]:
        """What waits for somebody's review, the oldest first."""
        return self.articles(states=("proposed",))[::-1]

    def versions(self, kind: Kind, key: str) -> list[Version]:
        """Every version of one, the newest first; UnknownArticle if there is none."""
        with self.ledger.reading() as reading:
            found = _versions(reading, kind, key)
        if not found:
            raise UnknownArticle(key)
        return found[::-1]

    def published(self, kind: Kind, key: str) -> Version | None:
        """The version in use."""
        with self.ledger.reading() as reading:
            return next((v for v in _versions(reading, kind, key) if v.state == "published"), None)

    def procedure(self, fault: str, language: str, version: int | None = None) -> Procedure:
        """The checklist of a fault kind as it is in use, or as it was at `version`."""
        key = FAULTS[fault].procedure
        with self.ledger.reading() as reading:
            found = _versions(reading, "procedure", key)
        chosen = next(
            (
                v
                for v in found
                if (v.state == "published" if version is None else v.number == version)
            ),
            None,
        )
        if chosen is None:
            return by_key(key, language)
        part = chosen.content[_spoken(language)]
        lists = {name: tuple(part[name]) for name in PARTS}
        return Procedure(key, chosen.number, part["title"], **lists)

    def used_version(self, fault: str) -> tuple[str, int]:
        """(key, version) of the checklist now in use: what a ticket's history keeps."""
        made = self.procedure(fault, "zh-CN")
        return made.key, made.version

    # -- writing ---------------------------------------------------------------------------

    def propose_article(
        self,
        actor: Actor,
        *,
        title: str,
        title_zh: str,
        body: str,
        body_zh: str,
        faults: Sequence[str] = (),
        key: str | None = None,
        reason: str = "",
    ) -> Version:
        """A new article (`key` None) or a better version of one; in use once it is accepted."""
        content = {
            "title": plain(title, TITLE_MAX),
            "title_zh": plain(title_zh, TITLE_MAX),
            "body": plain(body, BODY_MAX),
            "body_zh": plain(body_zh, BODY_MAX),
            "faults": [f for f in dict.fromkeys(faults) if f in FAULTS],
        }
        for name in ("title", "title_zh", "body", "body_zh"):
            if not content[name]:
                raise MissingDetail(
                    name,
                    "Write title and text in both languages.",
                    "请填写中英文标题和正文。",
                )
        return self._propose(actor, "article", key, content, reason)

    def propose_procedure(
        self, actor: Actor, key: str, content: Mapping[str, Any], reason: str
    ) -> Version:
        """A better checklist: for each language its `title` and the lists of `PARTS`."""
        if key not in keys():
            raise UnknownArticle(key)
        if not plain(reason):
            raise MissingDetail("reason", "Say what is better.", "请说明改进之处。")
        return self._propose(actor, "procedure", key, _checked_lists(content), reason)

    def review(
        self, actor: Actor, kind: Kind, key: str, number: int, *, accept: bool, remark: str = ""
    ) -> Version:
        """Another person's word on a proposal; accepted, it is in use at once."""
        _permit(actor, "review", "审核", REVIEWERS)
        remark = plain(remark)
        with self.ledger.transaction() as tx:
            version = self._open(tx, kind, key, number)
            if version.author == actor.name:
                raise Conflict(
                    "Somebody else has to review what you wrote.", "自己编写的内容须由他人审核。"
                )
            if not accept and not remark:
                raise MissingDetail("remark", "Say what is missing.", "请说明未采纳的原因。")
            if accept and _in_use(_versions(tx, kind, key)) != version.based_on:
                raise Conflict(
                    "Another version came into use since this was written; propose it again on "
                    "top of that one.",
                    "编写期间已有新版本启用，请在新版本基础上重新提交。",
                )
            given = {"version": number, "accepted": accept, "remark": remark}
            return self._say(tx, actor, "review", kind, key, given)

    def withdraw(self, actor: Actor, kind: Kind, key: str, number: int, reason: str) -> Version:
        """Take a version out of use: what is wrong must not be read on. Its author may take a
        proposal back."""
        reason = plain(reason)
        if not reason:
            raise MissingDetail("reason", "Say why.", "请填写原因。")
        with self.ledger.transaction() as tx:
            version = self._version(tx, kind, key, number)
            if version.author != actor.name:
                _permit(actor, "withdraw", "撤下", ("supervisor", "engineer", "admin"))
            if version.state not in ("proposed", "published"):
                raise _decided(version)
            given = {"version": number, "remark": reason}
            return self._say(tx, actor, "withdrawal", kind, key, given)

    def _propose(
        self, actor: Actor, kind: Kind, key: str | None, content: dict[str, Any], reason: str
    ) -> Version:
        _permit(actor, "write", "编写", WRITERS)
        with self.ledger.transaction() as tx:
            found: list[Version] = []
            if key is None:
                known = _fold(tx.human_inputs(kinds=_KINDS, limit=ALL))
                key = str(1 + max((int(k) for n, k in known if n == "article"), default=0))
            else:
                found = _versions(tx, kind, key)
                if kind == "article" and not found:
                    raise UnknownArticle(key)
            first = by_key(key, "en").version if kind == "procedure" else 0
            number = 1 + max([first, *(v.number for v in found)])
            given = {
                "version": number,
                "content": content,
                "reason": plain(reason),
                "based_on": _in_use(found),
            }
            return self._say(tx, actor, "proposal", kind, key, given)

    def _version(self, reading: Reading, kind: Kind, key: str, number: int) -> Version:
        found = next((v for v in _versions(reading, kind, key) if v.number == number), None)
        if found is None:
            raise UnknownArticle(f"{key} v{number}")
        return found

    def _open(self, reading: Reading, kind: Kind, key: str, number: int) -> Version:
        version = self._version(reading, kind, key, number)
        if version.state != "proposed":
            raise _decided(version)
        return version

    def _say(
        self,
        tx: Transaction,
        actor: Actor,
        what: str,
        kind: Kind,
        key: str,
        given: dict[str, Any],
    ) -> Version:
        subject, now_us = f"{kind}:{key}", self.clock.now_us()
        tx.add_human_input(HumanInput(what, subject, actor.name, now_us, given))
        return self._version(tx, kind, key, int(given["version"]))


def _decided(version: Version) -> Conflict:
    name, name_zh = STATE_NAMES[version.state]
    return Conflict(
        f"Version {version.number} is decided already ({name}); look at it again.",
        f"版本{version.number}已处理（{name_zh}），请刷新。",
    )


def _in_use(versions: Sequence[Version]) -> int | None:
    return next((v.number for v in versions if v.state == "published"), None)


def _permit(actor: Actor, name: str, name_zh: str, roles: tuple[Role, ...]) -> None:
    if actor.role not in roles:
        raise WrongRole(name, name, name_zh, actor.role, roles)


def _words(version: Version, language: str) -> str:
    return f"{version.title(language)}\n{version.body(language)}".lower()


def _checked_lists(content: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for spoken in LANGUAGES:
        part = content.get(spoken)
        if not isinstance(part, Mapping) or not plain(str(part.get("title") or "")):
            raise MissingDetail(
                spoken, f"Write the checklist in {spoken} as well.", f"请补充{spoken}版本。"
            )
        made[spoken] = {"title": plain(str(part["title"]), TITLE_MAX)}
        for name in PARTS:
            lines = part.get(name)
            if isinstance(lines, str):
                lines = lines.splitlines()
            kept = [line for x in lines or () if (line := plain(str(x), 500))][:LINES_MAX]
            if not kept:
                raise MissingDetail(
                    name, f"The part '{name}' is empty.", f"“{name}”部分不能为空。", PARTS
                )
            made[spoken][name] = kept
    return made


def _versions(reading: Reading, kind: Kind, key: str) -> list[Version]:
    said = reading.human_inputs(subject=f"{kind}:{key}", kinds=_KINDS, limit=ALL)
    return _fold(said).get((kind, key), [])


def _fold(said: Sequence[HumanInput]) -> dict[tuple[Kind, str], list[Version]]:
    """What has become of every proposal, in order."""
    out: dict[tuple[Kind, str], list[Version]] = {}
    for row in said:
        name, _, key = row.subject.partition(":")
        if name not in ("article", "procedure"):
            continue
        kind: Kind = "article" if name == "article" else "procedure"
        versions = out.setdefault((kind, key), [])
        number = int(row.data["version"])
        if row.kind == "proposal":
            made = Version(
                kind,
                key,
                number,
                "proposed",
                row.data["content"],
                row.actor,
                row.at_us,
                row.data.get("reason", ""),
                based_on=row.data.get("based_on"),
            )
            versions.append(made)
            continue
        at = next(i for i, v in enumerate(versions) if v.number == number)
        state: State = "withdrawn"
        if row.kind == "review":
            state = "published" if row.data["accepted"] else "refused"
        if state == "published":
            versions[:] = [
                replace(v, state="replaced") if v.state == "published" else v for v in versions
            ]
        versions[at] = replace(
            versions[at],
            state=state,
            reviewer=row.actor,
            reviewed_us=row.at_us,
            remark=row.data.get("remark", ""),
        )
    return out
