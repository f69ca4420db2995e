"""Who may do what: one table for pages, API and stream. What is not listed is refused.

`create_app` refuses to start when a route has no entry, or an entry has no route. Roles are those
of the threat model: an operator sees no customer data, an engineer none either.
"""

from typing import Final

Right = frozenset[str]

ROLES: Final = (
    "operator",
    "clerk",
    "dispatcher",
    "engineer",
    "admin",
    "read_only",
    "supervisor",
    "crew",
    "customer",
)

ANYBODY: Final[Right] = frozenset({"*"})  # no sign-in; the page itself may ask for a token
STAFF: Final[Right] = frozenset(ROLES) - {"customer", "crew"}
HANDLE: Final[Right] = frozenset({"operator", "dispatcher", "supervisor"})
# Who may act at all; which action in which state is decided by alerts.states.
TICKETS: Final[Right] = frozenset(
    {"operator", "clerk", "dispatcher", "engineer", "admin", "supervisor"}
)
# Decisions for many: places of faults, silences, notices to customers, storms.
CONTROL: Final[Right] = frozenset({"operator", "dispatcher", "engineer", "admin", "supervisor"})
REPORTS: Final[Right] = CONTROL
# What is really wrong in a drill, before it has ended: for who sets it, not for who plays it.
DRILL_TRUTH: Final[Right] = frozenset({"engineer", "supervisor", "admin"})
COUNTER: Final[Right] = frozenset({"clerk", "dispatcher"})
# Lists of many customers as a file: a clerk looks up one at a time and takes none home.
CUSTOMERS_EXPORT: Final[Right] = frozenset({"dispatcher"})
MEASURE: Final[Right] = frozenset({"engineer", "operator", "dispatcher"})
ENGINEER: Final[Right] = frozenset({"engineer", "operator"})
REPLAY: Final[Right] = frozenset({"engineer", "admin"})
# Aggregates without customers; taking them home is for those who answer for the work.
QUALITY: Final[Right] = frozenset(
    {"supervisor", "dispatcher", "operator", "engineer", "admin", "read_only"}
)
EXPORT: Final[Right] = frozenset({"supervisor", "dispatcher", "engineer", "admin"})
ADMIN: Final[Right] = frozenset({"admin"})
TUNE: Final[Right] = frozenset({"engineer", "admin"})
SILENCE: Final[Right] = frozenset({"operator", "dispatcher", "engineer", "supervisor", "admin"})
CREW: Final[Right] = frozenset({"crew"})
WRITE: Final[Right] = STAFF - {"read_only"}

# Names, phones and addresses of customers; also the call cards of the live stream.
PERSONAL_DATA: Final[Right] = COUNTER

POLICY: Final[dict[tuple[str, str], Right]] = {
    # sign-in and the page's own machinery
    ("GET", "/signin"): ANYBODY,
    ("POST", "/signin"): ANYBODY,
    ("GET", "/signin/oidc"): ANYBODY,
    ("GET", "/signin/oidc/back"): ANYBODY,
    ("GET", "/signin/{token}"): ANYBODY,
    ("GET", "/password"): STAFF,
    ("POST", "/password"): STAFF,
    ("POST", "/signout"): ANYBODY,
    ("GET", "/language/{language}"): ANYBODY,
    ("GET", "/static/{path:path}"): ANYBODY,
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): ANYBODY,
    # customer: the token is the right
    ("GET", "/my/{token}"): ANYBODY,
    ("GET", "/my"): ANYBODY,
    ("POST", "/my/code"): ANYBODY,
    ("POST", "/my/enter"): ANYBODY,
    ("POST", "/my/{token}/still-out"): ANYBODY,
    ("POST", "/my/{token}/report"): ANYBODY,
    ("POST", "/my/{token}/rate"): ANYBODY,
    # crew: its own team's work; then the signed link of a ticket is the right
    ("GET", "/crew"): CREW,
    ("GET", "/crew/{token}"): ANYBODY,
    ("POST", "/crew/{token}/photo"): ANYBODY,
    ("GET", "/crew/{token}/photos/{digest}"): ANYBODY,
    ("POST", "/crew/{token}/{action}"): ANYBODY,
    ("GET", "/crew-worker.js"): ANYBODY,
    # operator
    ("GET", "/"): STAFF,
    ("GET", "/alerts/{alert_id}"): STAFF,
    ("POST", "/alerts/{alert_id}/ack"): HANDLE,
    ("POST", "/alerts/{alert_id}/shelve"): HANDLE,
    ("POST", "/alerts/{alert_id}/ticket"): HANDLE,
    ("POST", "/alerts/{alert_id}/place"): HANDLE,
    ("GET", "/alerts/{alert_id}/report.{form}"): STAFF,
    ("GET", "/handover"): STAFF,
    ("POST", "/handover"): HANDLE,
    ("GET", "/feed"): STAFF,
    ("GET", "/stream"): STAFF,
    # tickets
    ("GET", "/tickets"): STAFF,
    ("GET", "/tickets/{ticket_id}"): STAFF,
    ("POST", "/tickets/{ticket_id}/here"): TICKETS,
    ("POST", "/tickets/{ticket_id}/tick"): TICKETS,
    ("POST", "/tickets/{ticket_id}/called"): COUNTER,
    ("POST", "/tickets/{ticket_id}/split"): COUNTER,
    ("POST", "/tickets/{ticket_id}/texts"): TICKETS,
    ("POST", "/tickets/{ticket_id}/read-now"): TICKETS,
    ("POST", "/tickets/{ticket_id}/crew-link"): TICKETS,
    ("GET", "/tickets/{ticket_id}/photos/{digest}"): TICKETS,
    ("POST", "/tickets/{ticket_id}/{action}"): TICKETS,
    # counter
    ("GET", "/desk"): COUNTER,
    ("POST", "/desk/contacts"): COUNTER,
    ("POST", "/desk/calls/{contact_id}/take"): COUNTER,
    # engineer
    ("GET", "/engineer"): ENGINEER,
    ("GET", "/devices/{device}"): MEASURE,
    ("GET", "/engineer/watch"): ENGINEER,
    ("GET", "/engineer/replay"): REPLAY,
    ("POST", "/engineer/replay"): REPLAY,
    ("GET", "/engineer/replay/{trial}"): REPLAY,
    ("GET", "/engineer/replay/{trial}/status"): REPLAY,
    ("GET", "/engineer/replay/{trial}/chart"): REPLAY,
    ("GET", "/engineer/replay/{trial}/download/{name}"): REPLAY,
    ("POST", "/engineer/replay/{trial}/{action}"): REPLAY,
    # supervisor
    ("GET", "/quality"): QUALITY,
    ("GET", "/quality/now"): QUALITY,
    ("GET", "/quality/{part}.csv"): EXPORT,
    # administrator
    ("GET", "/admin"): ADMIN,
    ("POST", "/admin/people"): ADMIN,
    ("POST", "/admin/people/{login}/{what}"): ADMIN,
    ("GET", "/admin/detectors"): TUNE,
    ("GET", "/admin/sources"): TUNE,
    ("GET", "/admin/configuration"): ADMIN,
    ("GET", "/admin/audit"): ADMIN,
    # knowledge: read by all staff; who writes and reviews is decided by desk.knowledge
    ("GET", "/knowledge"): STAFF,
    ("GET", "/knowledge/new"): WRITE,
    ("POST", "/knowledge/new"): WRITE,
    ("GET", "/knowledge/{kind}/{key}"): STAFF,
    ("GET", "/knowledge/{kind}/{key}/edit"): WRITE,
    ("POST", "/knowledge/{kind}/{key}/edit"): WRITE,
    ("POST", "/knowledge/{kind}/{key}/{number}/{what}"): WRITE,
    ("GET", "/drills"): STAFF,
    ("POST", "/drills"): CONTROL,
    ("GET", "/drills/{realm}"): STAFF,
    ("POST", "/drills/{realm}/{what}"): STAFF,
    ("GET", "/cases"): STAFF,
    ("GET", "/cases/{number}"): STAFF,
    # supply: storms, loads, frequent outages, texts to customers
    ("GET", "/supply"): STAFF,
    ("POST", "/supply/{what}"): CONTROL,
    ("GET", "/supply/frequent"): STAFF,
    ("GET", "/supply/frequent.csv"): CUSTOMERS_EXPORT,
    ("GET", "/supply/calls"): COUNTER,
    ("GET", "/notices"): CONTROL,
    ("POST", "/notices"): CONTROL,
    ("POST", "/notices/dead/{notice_id}"): CONTROL,
    ("GET", "/notices/{draft_id}"): CONTROL,
    ("POST", "/notices/{draft_id}/{what}"): CONTROL,
    ("GET", "/silences"): SILENCE,
    ("POST", "/silences"): SILENCE,
    ("POST", "/silences/{silence_id}/end"): SILENCE,
    # API
    ("GET", "/api/v1/alerts"): STAFF,
    ("GET", "/api/v1/alerts/{alert_id}"): STAFF,
    ("GET", "/api/v1/alerts/{alert_id}/chart"): STAFF,
    ("POST", "/api/v1/alerts/{alert_id}/ack"): HANDLE,
    ("GET", "/api/v1/tickets"): STAFF,
    ("GET", "/api/v1/tickets/{ticket_id}"): STAFF,
    ("POST", "/api/v1/tickets/{ticket_id}/{action}"): TICKETS,
    ("POST", "/api/v1/contacts"): COUNTER,
    ("GET", "/api/v1/series"): MEASURE,
    ("GET", "/api/v1/openapi.json"): STAFF,
    ("GET", "/api/v1/alerts/{alert_id}/explain"): STAFF,
    ("POST", "/api/v1/alerts/{alert_id}/unack"): HANDLE,
    ("POST", "/api/v1/alerts/{alert_id}/shelve"): HANDLE,
    ("POST", "/api/v1/alerts/{alert_id}/unshelve"): HANDLE,
    ("GET", "/api/v1/tickets/{ticket_id}/timeline"): STAFF,
    ("GET", "/api/v1/contacts"): COUNTER,
    ("GET", "/api/v1/search"): COUNTER,
    ("GET", "/api/v1/customers/{account}/answer"): COUNTER,
    ("GET", "/api/v1/customers/{account}/timeline"): COUNTER,
    ("GET", "/api/v1/incidents"): STAFF,
    ("GET", "/api/v1/incidents/{incident_id}"): STAFF,
    ("GET", "/api/v1/incidents/{incident_id}/evidence"): STAFF,
    ("GET", "/api/v1/incidents/{incident_id}/candidates"): STAFF,
    ("POST", "/api/v1/incidents/{incident_id}/place"): CONTROL,
    ("POST", "/api/v1/incidents/{incident_id}/read-now"): TICKETS,
    ("GET", "/api/v1/silences"): STAFF,
    ("POST", "/api/v1/silences"): CONTROL,
    ("POST", "/api/v1/silences/{silence_id}/end"): CONTROL,
    ("GET", "/api/v1/notices"): CONTROL,
    ("GET", "/api/v1/notices/{draft_id}"): CONTROL,
    ("POST", "/api/v1/notices/{draft_id}/approve"): CONTROL,
    ("POST", "/api/v1/notices/{draft_id}/withdraw"): CONTROL,
    ("GET", "/api/v1/storm"): STAFF,
    ("POST", "/api/v1/storm"): CONTROL,
    ("POST", "/api/v1/storm/end"): CONTROL,
    ("POST", "/api/v1/storm/estimate"): CONTROL,
    ("GET", "/api/v1/reports/{name}"): REPORTS,
    ("GET", "/api/v1/realms"): REPORTS,
    ("POST", "/api/v1/public/status"): ANYBODY,
}

# Programs of customers without a browser: nothing is signed in, so no page can misuse it.
NO_ORIGIN: Final = ("/api/v1/public/",)

# The right of these lies in the address, never in a cookie: a form token would prove nothing.
BY_LINK: Final = ("/my/", "/crew/")

HOME: Final[dict[str, str]] = {
    "operator": "/",
    "clerk": "/desk",
    "dispatcher": "/tickets",
    "engineer": "/engineer",
    "admin": "/admin",
    "supervisor": "/quality",
    "crew": "/crew",
    "read_only": "/",
}


def may(role: str, right: Right) -> bool:
    """Whether somebody with this role ("" for nobody) has this right.

    >>> may("clerk", TICKETS), may("", TICKETS), may("", ANYBODY)
    (True, False, True)
    """
    return "*" in right or role in right


def home(role: str) -> str:
    """The first page of a person: the one screen of the role."""
    return HOME.get(role, "/signin")
