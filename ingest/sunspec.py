"""SunSpec: devices that describe themselves; the meter's model becomes a profile.

Model definitions come from `pysunspec2`; its clients are not used, for they can write. Reading is
done by our own link, which cannot.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from ingest.modbus_frame import LinkError, Refused
from ingest.modbus_link import RegisterLink
from ingest.profile import Profile, Register

NAME: Final = "sunspec"
BASES: Final = (40_000, 50_000, 0)  # where the specification lets the map begin
MARK: Final = (0x5375, 0x6E53)  # "SunS"
END: Final = 0xFFFF
MODELS_MAX: Final = 100
METERS: Final = (201, 202, 203, 204, 211, 212, 213, 214)
INVERTERS: Final = (101, 102, 103, 111, 112, 113)
_ENERGY: Final = {"TotWhImp": "e_import", "TotWhExp": "e_export"}
_POINTS: Final = {
    "AphA": "i_a", "AphB": "i_b", "AphC": "i_c",
    "PhVphA": "v_a", "PhVphB": "v_b", "PhVphC": "v_c",
    "WphA": "p_a", "WphB": "p_b", "WphC": "p_c",
    "W": "p", "VAR": "q", "VAr": "q", "PF": "pf", "Hz": "f",
}  # fmt: skip
_SENTINELS: Final = {"int16": -0x8000, "uint16": 0xFFFF, "acc32": 0, "uint32": 0xFFFFFFFF}
_TYPES: Final = {"acc32": "uint32"}  # a register that counts; 0 means "not implemented"

# Stands in a unit until the device was asked.
SUNSPEC: Final = Profile(
    NAME,
    "any SunSpec meter or inverter",
    "SunSpec information models, as pysunspec2 gives them",
    (),
    fill=125,
    is_discovered=True,
)


async def discover(link: RegisterLink, unit: int, timeout_s: float) -> Profile:
    """The profile of a device; raises LinkError when it does not answer or has no meter."""
    base = await _base(link, unit, timeout_s)
    found: dict[int, int] = {}
    at = base + len(MARK)
    for _ in range(MODELS_MAX):
        model, length = await link.read(unit, 3, at, 2, timeout_s)
        if model == END or length == 0 or at + length > END:
            break
        found.setdefault(model, at)
        at += 2 + length
    for model in (*METERS, *INVERTERS):
        if model in found:
            return profile_of(model, found[model])
    models = ", ".join(map(str, sorted(found))) or "none"
    raise LinkError(f"it speaks SunSpec, but has no meter or inverter model (models: {models})")


async def _base(link: RegisterLink, unit: int, timeout_s: float) -> int:
    last: Refused | None = None
    for base in BASES:
        try:
            if await link.read(unit, 3, base, len(MARK), timeout_s) == MARK:
                return base
        except Refused as refused:
            last = refused  # a device need not have registers at all three places
    raise last or LinkError("it does not speak SunSpec: no mark at 40000, 50000 or 0")


def profile_of(model: int, at: int) -> Profile:
    """A model that begins at an address as a profile.

    Values of an inverter count as its customer's: what it delivers flows out, so power has the
    other sign and its energy is exported.
    """
    definition = _definition(model)
    inverter = model in INVERTERS
    places: dict[str, int] = {}
    offset = 0
    for point in definition["points"]:
        places[point["name"]] = at + offset
        offset += point["size"]
    names = _POINTS | ({"WH": "e_export"} if inverter else _ENERGY)
    registers = []
    for point in definition["points"]:
        quantity = names.get(point["name"])
        if quantity is None or (quantity == "p_a" and model in (201, 211)):
            continue
        kind = point["type"]
        exponent = places.get(str(point.get("sf")))
        # Power factor stands in per cent, but for the meters that give floating-point numbers.
        scale = 0.01 if quantity == "pf" and str(point.get("units")) == "Pct" else 1.0
        registers.append(
            Register(
                quantity,
                places[point["name"]],
                _TYPES.get(kind, kind),
                3,
                scale,
                -1 if inverter and quantity in ("p", "q") else 1,
                (_SENTINELS[kind],) if kind in _SENTINELS else (),
                exponent_at=exponent,
            )
        )
    title = f"SunSpec model {model}, {definition['label']}"
    return Profile(NAME, title, SUNSPEC.source, tuple(registers), fill=125)


@cache
def _definition(model: int) -> Mapping[str, Any]:
    # Only who has such a device needs the library.
    from sunspec2.device import get_model_def

    group: Mapping[str, Any] = get_model_def(model)["group"]
    return group
