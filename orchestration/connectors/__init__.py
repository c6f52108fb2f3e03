"""Native exports become landing files: a module a format, found through entry points.

`convert` is the whole of `tandem convert`; `connector_names` and `connector` list the formats.
"""

from __future__ import annotations

import time
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestration.connectors.base import (
    Connector,
    Conversion,
    ConversionError,
    ConversionReport,
    ConversionUsageError,
    ConvertOptions,
    LeftOut,
    Progress,
)
from orchestration.connectors.landing import LandingWriter

__all__ = [
    "Connector",
    "Conversion",
    "ConversionError",
    "ConversionReport",
    "ConversionUsageError",
    "ConvertOptions",
    "LeftOut",
    "Progress",
    "connector",
    "connector_names",
    "convert",
]

GROUP = "tandem.connectors"
# Named here too, so that they are found when the package runs from source without an install.
BUILT_IN = {
    "discourse": "orchestration.connectors.discourse:Discourse",
    "wecom": "orchestration.connectors.wecom:WeCom",
    "zsxq": "orchestration.connectors.zsxq:Zsxq",
    "mattermost": "orchestration.connectors.mattermost:Mattermost",
    "mapping": "orchestration.connectors.mapping:MappingConnector",
    "discord": "orchestration.connectors.discord:Discord",
    "irc": "orchestration.connectors.irc:Irc",
    "slack": "orchestration.connectors.slack:Slack",
    "stackexchange": "orchestration.connectors.stackexchange:StackExchange",
    "telegram": "orchestration.connectors.telegram:Telegram",
    "whatsapp": "orchestration.connectors.whatsapp:WhatsApp",
    "zulip": "orchestration.connectors.zulip:Zulip",
}


@cache
def _entry_points() -> dict[str, EntryPoint]:
    found = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    for point in entry_points(group=GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise ConversionUsageError(
                f"two connectors are named {point.name}: {known.value} and {point.value}"
            )
    return dict(sorted(found.items()))


def connector_names() -> tuple[str, ...]:
    """Names of the formats, built in or installed, sorted; loads none of them."""
    return tuple(_entry_points())


def connector(name: str) -> Connector:
    """The connector of a format.

    Raises ConversionUsageError for an unknown name, or one whose code cannot be loaded.
    """
    point = _entry_points().get(name)
    if point is None:
        raise ConversionUsageError(
            f"no format is called {name!r}; there are: {', '.join(connector_names())}"
        )
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise ConversionUsageError(f"format {name}: {point.value}: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Connector)):
        raise ConversionUsageError(f"format {name}: {point.value} is no Connector class")
    return loaded()


def convert(
    format_name: str,
    export: Path,
    landing: Path,
    source: str,
    zone: str | None = None,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a native export into landing files below `landing`.

    `source` is set in every record. `zone` (IANA name) is for formats whose times have none. The
    same export, source and options give the same files; all of a conversion's files appear at its
    end, or none.

    Raises ConversionUsageError for wrong use, ConversionError naming the place for a broken
    export or a file that cannot be read or written.
    """
    started = time.monotonic()
    made = connector(format_name)
    options = options or ConvertOptions()
    for name in options.more.keys() - made.options.keys():
        raise ConversionUsageError(f"format {format_name} has no option {name!r}")
    if not source.strip():
        raise ConversionUsageError("a source needs a name")
    if not export.exists():
        raise ConversionUsageError(f"{export} does not exist")
    with LandingWriter(landing, format_name, source) as writer:
        conversion = Conversion(
            path=export,
            source=source,
            zone=_zone(made, zone),
            options=options,
            landing=writer,
            progress=progress,
        )
        try:
            made.convert(conversion)
            records_out = writer.records
            landed = writer.commit()
        except OSError as error:
            place = error.filename or export
            raise ConversionError(f"{place}: {error.strerror or error}") from error
    return ConversionReport(
        format=format_name,
        source=source,
        records_in=dict(conversion.records_in),
        records_out=records_out,
        left_out=tuple(
            LeftOut(kind, reason, records)
            for (kind, reason), records in sorted(conversion.left_out.items())
        ),
        notes=dict(sorted(conversion.notes.items())),
        files=landed.new,
        unchanged=landed.unchanged,
        seconds=time.monotonic() - started,
    )


def _zone(made: Connector, zone: str | None) -> ZoneInfo | None:
    if zone is None:
        return None
    if not made.takes_zone:
        raise ConversionUsageError(
            f"times in {made.title} say their own zone: leave the zone option out"
        )
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConversionUsageError(f"{zone!r} is no IANA time zone") from error
