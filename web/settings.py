"""What the program must hand to the pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes

from alerts.ledger import Ledger
from alerts.notices import NoticeSettings
from alerts.settings import DeskSettings
from desk.read_now import HeadEnd
from grid.clock import Clock
from grid.network import Network
from storage.loads import Load
from web.doors import Delivery, LiveLedger, People, Photos, Readings, SupplyEvidence
from web.i18n import Language
from web.oidc import OidcSettings
from web.once import Kept
from web.trial_doors import Trials

Check = tuple[str, Callable[[], bool]]


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One key of the configuration as it was loaded; never a secret."""

    section: str
    key: str
    value: str
    default: bool
    meaning: str
    meaning_zh: str = ""


def _no_lines() -> Sequence[ConfigLine]:
    return ()


def _no_metrics() -> bytes:
    return b""


def _no_realms(prefix: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Everything `create_app` needs; docs/pages.md shows it filled in.

    Attributes
    ----------
    ledger : `storage.ledger.PostgresLedger(database, realm)`
    people : `storage.people.People(database)`
    readings : `web.readings.StoredReadings(database, network, clock, realm)`
    supply : `storage.desk_supply.Supply(database, realm)`
    clock : site time, real or simulated; sessions always live in real time
    site_name, time_zone, language, country : as in `[site]`; the zone is an IANA name
    public_url : scheme and host that people type; https makes cookies Secure. Empty means
        whatever host the request names
    metrics : gives the Prometheus text of the whole program for `/metrics`
    checks : name and question "is it well?" for `/readyz`, on top of database and stream
    session_hours : life of a sign-in, in real time
    body_bytes_max : larger requests are refused with 413
    streams_max : open live streams of one process; one more is answered with 503
    heartbeat_s : how often an idle stream says that it lives
    speed : speed of a simulated site clock, shown in the header; None for a real clock
    desk : promised times, limits of frequent outages; None for the defaults
    knowledge : the ledger that keeps articles and checklists; None for `ledger` itself
    notices : how customers are told; None for the defaults
    texts : whether a receiver for customers is configured, so that a code can reach a telephone
    kept : where answers to requests with a key are kept; None for this process
    head_end : who reads meters now (召测); None where nobody can
    ledger_of : the ledger of another realm, for drills; None where there are none
    realms : names of the realms that begin with some letters
    oidc : the OpenID Connect provider at which staff may sign in; None for local sign-in only
    configuration : the configuration as loaded, without secrets, for the administrator
    secret : signs the links of crews; all web processes of a site share it. Left out, links end
        with the process
    photos : `storage.photos.Photos(database)`; None where nobody may send any
    delivery : `storage.desk_notices.NoticeQueue(database, realm)`, notices on their way out
    loads : heavily loaded transformers of a span, `storage.loads.heavy_loads`; None leaves them out
    drill : the realm of the drill that these pages show; "" for the site itself
    trials : `forewatt.trials.TrialRoom(folder, config)`; None leaves the replay page out
    """

    ledger: LiveLedger
    network: Network
    clock: Clock
    people: People
    readings: Readings
    supply: SupplyEvidence
    site_name: str = "Forewatt"
    time_zone: str = "Asia/Shanghai"
    language: Language = "zh-CN"
    country: str = "CN"
    public_url: str = ""
    metrics: Callable[[], bytes] = _no_metrics
    checks: tuple[Check, ...] = ()
    session_hours: float = 12.0
    body_bytes_max: int = 65_536
    streams_max: int = 1_000
    heartbeat_s: float = 5.0
    speed: Callable[[], float] | None = None
    desk: DeskSettings | None = None
    knowledge: Ledger | None = None
    head_end: HeadEnd | None = None
    notices: NoticeSettings | None = None
    texts: bool = False
    kept: Kept | None = None
    ledger_of: Callable[[str], LiveLedger] | None = None
    realms: Callable[[str], Sequence[str]] = _no_realms
    oidc: OidcSettings | None = None
    configuration: Callable[[], Sequence[ConfigLine]] = _no_lines
    secret: bytes = field(default_factory=lambda: token_bytes(32), repr=False)
    photos: Photos | None = None
    trials: Trials | None = None
    delivery: Delivery | None = None
    loads: Callable[[int, int], Sequence[Load]] | None = None
    drill: str = ""

    @property
    def cookie(self) -> str:
        """The name of the session's; `__Host-` binds it to this host, browsers demand https."""
        secure = self.public_url.startswith("https://")
        return "__Host-forewatt" if secure else "forewatt-session"
