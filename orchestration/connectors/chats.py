"""What the converters of chats share: derived ids, times, kinds of media.

Belongs here: only what needs no knowledge of one format.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

_MEDIA = {
    "image": "jpg jpeg png gif webp bmp heic heif tif tiff svg avif",
    "video": "mp4 mov avi mkv webm 3gp m4v mpeg mpg",
    "voice": "opus ogg oga mp3 m4a wav aac amr flac",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, names in _MEDIA.items() for suffix in names.split()}
_MIME = {"image": "image", "video": "video", "audio": "voice"}
ONLY_LINK = re.compile(r"\s*<?https?://\S+\s*")


def digest(*parts: str) -> str:
    """16 hex digits that stand for texts that must not be seen: the same everywhere, for ever."""
    joined = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:16]


def kind_of_file(name: str) -> str:
    """The kind of a message whose file has this name."""
    return _KIND_OF_SUFFIX.get(name.rpartition(".")[2].lower(), "file")


def kind_of_mime(mime: str) -> str:
    """The kind of a message whose file has this media type."""
    return _MIME.get(mime.partition("/")[0], "file")


@cache
def _clock() -> list[str]:
    return [
        f"T{hour:02d}:{minute:02d}:{second:02d}Z"
        for hour in range(24)
        for minute in range(60)
        for second in range(60)
    ]


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return date.fromordinal(719163 + days).isoformat()


def unix_time(seconds: int) -> str:
    """ISO time in UTC of seconds since 1970; ValueError or OverflowError outside years 1–9999."""
    days, second = divmod(seconds, 86400)
    return _day(days) + _clock()[second]


def utc_time(moment: datetime) -> str:
    """ISO time in UTC of a moment that knows its zone."""
    text = moment.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"


def zoned_time(local: datetime, zone: ZoneInfo) -> str:
    """ISO time in UTC of a wall clock's time; of an hour that comes twice, the first."""
    return utc_time(local.replace(tzinfo=zone))


class Ordinals:
    """Numbers equal keys of one date, from 0: what tells equal messages of a minute apart.

    The last two dates are remembered, which is enough for logs in order of time.
    """

    def __init__(self) -> None:
        self._days: dict[date, Counter[str]] = {}

    def next(self, day: date, key: str) -> int:
        """How often the key came on this date before."""
        counts = self._days.get(day)
        if counts is None:
            if len(self._days) > 1:
                del self._days[min(self._days)]
            counts = self._days[day] = Counter()
        number = counts[key]
        counts[key] += 1
        return number
