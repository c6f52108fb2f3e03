"""Stack Exchange data dump (a folder of XML files) → community logs.

docs/connectors/stackexchange.md has the mapping. Times in a dump are UTC.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lxml import etree

from orchestration.connectors.base import SHAPE, Connector, Conversion, ConversionError, word
from orchestration.connectors.reading import shape

Row = dict[str, str]

SITE_NODE = "site"
ANONYMOUS = "anonymous"
# Tags, the site and the stand-in for unknown voters have no date in a dump: they get the
# network's first day, which no later state can be older than.
EPOCH = "2008-07-31T00:00:00Z"
CHUNK_BYTES = 256 * 1024

KINDS = {
    "1": "question",
    "2": "answer",
    "3": "article",
    "4": "article",
    "5": "article",
    "6": "post",
    "7": "article",
    "8": "article",
}
VOTE_TYPES = {
    "1": "accepted",
    "2": "up",
    "3": "down",
    "4": "offensive",
    "5": "favorite",
    "6": "close",
    "7": "reopen",
    "8": "bounty_start",
    "9": "bounty_close",
    "10": "deletion",
    "11": "undeletion",
    "12": "spam",
    "15": "moderator_review",
    "16": "approve_edit_suggestion",
}
VALUES = {"2": 1, "3": -1}
TEXT_FIELDS = ("Title", "Body", "Text", "AboutMe")
NAME_FIELDS = (
    "DisplayName",
    "OwnerDisplayName",
    "LastEditorDisplayName",
    "UserDisplayName",
    "WebsiteUrl",
    "ProfileImageUrl",
    "Location",
    "EmailHash",
    "AboutMe",
    "Age",
)
BADGE_CLASSES = {"1": "gold", "2": "silver", "3": "bronze"}
LINK_TYPES = {"1": "linked", "3": "duplicate"}
# Revisions of types 1 to 9 say what a post was; the others are what moderators did.
REVISIONS = {
    "1": "first title",
    "2": "first body",
    "3": "first tags",
    "4": "edited title",
    "5": "edited body",
    "6": "edited tags",
    "7": "title rolled back",
    "8": "body rolled back",
    "9": "tags rolled back",
    "10": "closed",
    "11": "reopened",
    "12": "deleted",
    "13": "undeleted",
    "14": "locked",
    "15": "unlocked",
    "16": "made community-owned",
    "17": "migrated",
    "19": "protected",
    "20": "unprotected",
    "24": "suggested edit applied",
}
_FAULTS = {code: name for name, code in vars(etree.ErrorTypes).items() if name.startswith("ERR_")}
_TAG = re.compile(r"[^<>|]+")


class StackExchange(Connector):
    """Reads Posts.xml and, where they are, Tags, Users, Comments, Votes and the rest."""

    name = "stackexchange"
    title = "a Stack Exchange data dump"
    summary = "folder of a site's data dump: Posts.xml, Users.xml, Votes.xml, Comments.xml, …"

    def convert(self, conversion: Conversion) -> None:
        """Write accounts, nodes, contents and events; raises ConversionError."""
        _Site(conversion).run()


class _Place(NamedTuple):
    """What answers and comments take over from their question, and votes from their post."""

    node_id: str
    topic: str | None
    updated_at: str
    asker: str | None


class _RowError(Exception):
    """A row is not as a dump has it; the text repeats nothing of it."""


class _Rows:
    """The parser's target: checks the shape, hands over each row's attributes, builds no tree."""

    def __init__(self, root: str, handle: Callable[[Row], None]) -> None:
        self.count = 0
        self._root = root
        self._handle = handle
        self._inside = False

    def start(self, tag: Any, attrib: Any) -> None:
        if not self._inside:
            if tag != self._root:
                raise _RowError(f"<{word(tag)}> where <{self._root}> should be")
            self._inside = True
            return
        self.count += 1
        if tag != "row":
            raise _RowError(f"<{word(tag)}> where a <row> should be")
        if not attrib:
            raise _RowError("it is empty")
        self._handle(attrib)

    def doctype(self, *_: object) -> None:
        raise _RowError("a document type, which no dump has")

    def close(self) -> None:
        """There is no tree to give."""


class _Site:
    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        options = conversion.options
        self.dropped = (TEXT_FIELDS if options.no_text else ()) + (
            NAME_FIELDS if options.no_names else ()
        )
        self.places: dict[int, _Place] = {}
        self.nodes: dict[str, str] = {}
        self.wiki_tags: dict[str, str] = {}
        self.waiting: list[Row] = []
        self.nameless: dict[str, str] = {}
        self.write_account = conversion.stream("community/accounts")
        self.write_node = conversion.stream("community/nodes")
        self.write_content = conversion.stream("community/contents")
        self.write_event = conversion.stream("community/events")

    def run(self) -> None:
        conversion = self.conversion
        folder = conversion.path
        if not folder.is_dir():
            raise ConversionError(f"{folder}: not a folder; unpack the dump's archive first")
        files = {path.name.lower(): path for path in sorted(folder.glob("*.[xX][mM][lL]"))}
        steps: list[tuple[str, Callable[[Row], None]]] = [
            ("Tags", self.on_tag),
            ("Users", self.on_user),
            ("Posts", self.on_post),
            ("Comments", self.on_comment),
            ("Votes", self.on_vote),
            ("Badges", self.on_badge),
            ("PostLinks", self.on_post_link),
            ("PostHistory", self.on_revision),
        ]
        if "posts.xml" not in files:
            raise ConversionError(f"{folder}: no Posts.xml in it")
        wanted = {stem: files.pop(f"{stem.lower()}.xml", None) for stem, _ in steps}
        conversion.total_bytes = sum(path.stat().st_size for path in wanted.values() if path)
        self.write_node(
            {
                "node_id": SITE_NODE,
                "updated_at": EPOCH,
                "level": "platform",
                "name": conversion.source,
            }
        )
        self.write_account(
            {
                "account_id": ANONYMOUS,
                "updated_at": EPOCH,
                "registered_at": EPOCH,
                "is_bot": True,
            }
        )
        for stem, handle in steps:
            path = wanted[stem]
            if path is None:
                conversion.note(f"{stem}.xml is not in the export")
            else:
                self.read_rows(path, stem.lower(), stem, handle)
            if stem == "Posts":
                self.place_waiting()
        for path in files.values():
            conversion.note(f"{path.name} is no file of a dump: passed over")

    def read_rows(self, path: Path, root: str, kind: str, handle: Callable[[Row], None]) -> None:
        """Call `handle` with each row's attributes; count them."""
        conversion = self.conversion
        rows = _Rows(root, handle)
        target: Any = rows
        # A row may be longer than libxml2's limits; what they guard against, _Rows refuses.
        # resolve_entities=False would hand over `&amp;` as `&#38;`.
        parser = etree.XMLParser(target=target, huge_tree=True, load_dtd=False, no_network=True)
        try:
            with path.open("rb") as stream:
                while block := stream.read(CHUNK_BYTES):
                    parser.feed(block)
                    conversion.advance(len(block), path.name)
            parser.close()
        except etree.XMLSyntaxError as error:
            # The parser's own words quote the text; the name of its fault does not.
            fault = _FAULTS.get(getattr(error, "code", 0), "nothing in it")
            raise ConversionError(f"{path}: no XML ({fault}), line {error.lineno or 1}") from error
        except KeyError as error:
            raise ConversionError(f"{path}: row {rows.count}: no {error.args[0]}") from error
        except _RowError as error:
            raise ConversionError(f"{path}: row {rows.count}: {error}") from error
        except SHAPE as error:
            raise ConversionError(
                f"{path}: row {rows.count}: not as a dump has it ({type(error).__name__})"
            ) from error
        conversion.read(kind, rows.count)

    def on_tag(self, row: Row) -> None:
        name = row.pop("TagName")
        for field in ("ExcerptPostId", "WikiPostId"):
            if field in row:
                self.wiki_tags[row[field]] = name
        self.tag_node(name, row)

    def on_user(self, row: Row) -> None:
        account_id = row.pop("Id")
        registered_at = row.pop("CreationDate")
        record: dict[str, Any] = {
            "account_id": account_id,
            # A profile changes only while its owner is there, so a later export's state is newer.
            "updated_at": f"{max(registered_at, row.get('LastAccessDate', ''))}Z",
            "registered_at": f"{registered_at}Z",
        }
        for field in self.dropped:
            row.pop(field, None)
        if "DisplayName" in row:
            record["display_name"] = row.pop("DisplayName")
        if account_id.startswith("-"):
            record["is_bot"] = True
        elif "AccountId" in row:
            # One per person over all the network's sites; prefixed, as union_ids meet everywhere.
            record["union_id"] = f"stackexchange:{row.pop('AccountId')}"
        record["stackexchange"] = row
        self.write_account(record)

    def on_post(self, row: Row) -> None:
        if "ParentId" in row and int(row["ParentId"]) not in self.places:
            self.waiting.append(row)
            return
        self.add_post(row)

    def place_waiting(self) -> None:
        """Add the answers that came before their question, or without it."""
        for row in self.waiting:
            if int(row["ParentId"]) not in self.places:
                self.conversion.note("answer whose question is not in the export: node is the site")
            with shape(self.conversion, "Posts.xml: a late answer", "a dump"):
                self.add_post(row)
        self.waiting.clear()

    def add_post(self, row: Row) -> None:
        post_id = row.pop("Id")
        published_at = row.pop("CreationDate")
        post_type = row["PostTypeId"]
        kind = KINDS.get(post_type)
        if kind is None:
            kind = "post"
            self.conversion.note(f"post of unknown type {word(post_type)} taken as a post")
        author = self.account(row, "OwnerUserId", "OwnerDisplayName")
        # ISO texts of one format and zone sort as their times.
        updated_at = published_at
        for field in ("LastEditDate", "ClosedDate", "CommunityOwnedDate"):
            if field in row and row[field] > updated_at:
                updated_at = row[field]
        parent = row.get("ParentId")
        place = self.places.get(int(parent)) if parent is not None else None
        if place is None:
            tag = self.first_tag(row) or self.wiki_tags.get(post_id)
            node_id = self.tag_node(tag) if tag else SITE_NODE
            asker = author if kind == "question" else None
            place = _Place(node_id, tag, updated_at, asker)
        self.places[int(post_id)] = place
        record: dict[str, Any] = {
            "content_id": post_id,
            "updated_at": f"{place.updated_at if place.updated_at > updated_at else updated_at}Z",
            "author_account_id": author,
            "node_id": place.node_id,
            "kind": kind,
            "published_at": f"{published_at}Z",
        }
        if parent is not None:
            record["parent_content_id"] = parent
        for field in self.dropped:
            row.pop(field, None)
        if "Title" in row:
            record["title"] = row.pop("Title")
        if place.topic is not None:
            record["topic"] = place.topic
        record["stackexchange"] = row
        self.write_content(record)

    def on_comment(self, row: Row) -> None:
        comment_id = f"comment-{row.pop('Id')}"
        post_id = row.pop("PostId")
        created_at = row.pop("CreationDate")
        author = self.account(row, "UserId", "UserDisplayName")
        place = self.places.get(int(post_id))
        if place is None:
            self.conversion.note("comment whose post is not in the export: node is the site")
            place = _Place(SITE_NODE, None, created_at, None)
        for field in self.dropped:
            row.pop(field, None)
        occurred_at = f"{created_at}Z"
        content: dict[str, Any] = {
            "content_id": comment_id,
            "updated_at": f"{max(created_at, place.updated_at)}Z",
            "author_account_id": author,
            "node_id": place.node_id,
            "kind": "comment",
            "published_at": occurred_at,
            "parent_content_id": post_id,
            "stackexchange": row,
        }
        if place.topic is not None:
            content["topic"] = place.topic
        self.write_content(content)
        self.write_event(
            {
                "event_id": comment_id,
                "account_id": author,
                "event_type": "comment",
                "occurred_at": occurred_at,
                "content_id": post_id,
                "properties": {"comment_id": comment_id},
            }
        )

    def on_vote(self, row: Row) -> None:
        vote_type = row["VoteTypeId"]
        post_id = row["PostId"]
        created_at = row["CreationDate"]
        account_id = row.get("UserId")
        if account_id is None and vote_type == "1":
            # Only the asker can accept an answer, so the dump names the voter all the same.
            place = self.places.get(int(post_id))
            account_id = place.asker if place is not None else None
        properties: dict[str, Any] = {
            "vote_type": VOTE_TYPES.get(vote_type, vote_type),
            "value": VALUES.get(vote_type, 0),
        }
        if created_at.endswith("T00:00:00.000"):
            properties["time_precision"] = "day"
        if "BountyAmount" in row:
            properties["bounty_amount"] = int(row["BountyAmount"])
        self.write_event(
            {
                "event_id": f"vote-{row['Id']}",
                "account_id": account_id or ANONYMOUS,
                "event_type": "collect" if vote_type == "5" else "vote",
                "occurred_at": f"{created_at}Z",
                "content_id": post_id,
                "properties": properties,
            }
        )

    def on_badge(self, row: Row) -> None:
        kind = BADGE_CLASSES.get(row.get("Class", ""), "no class")
        self.conversion.leave_out("Badges", f"no log holds awards ({kind})")

    def on_post_link(self, row: Row) -> None:
        kind = row["LinkTypeId"]
        kind = LINK_TYPES.get(kind, f"type {word(kind)}")
        self.conversion.leave_out("PostLinks", f"no log holds links between contents ({kind})")

    def on_revision(self, row: Row) -> None:
        kind = row["PostHistoryTypeId"]
        kind = REVISIONS.get(kind, f"type {word(kind)}")
        self.conversion.leave_out("PostHistory", f"no log holds revisions ({kind})")

    def account(self, row: Row, id_field: str, name_field: str) -> str:
        """The acting account: its id, or a stable stand-in for one that was deleted."""
        account_id = row.pop(id_field, None)
        if account_id is not None:
            return account_id
        name = row.get(name_field)
        if name is None:
            return ANONYMOUS
        stand_in = self.nameless.get(name)
        if stand_in is None:
            digest = hashlib.sha256(name.encode()).hexdigest()
            stand_in = self.nameless[name] = f"name:{digest[:16]}"
        return stand_in

    def first_tag(self, row: Row) -> str | None:
        found = _TAG.search(row.get("Tags", ""))
        return found[0] if found else None

    def tag_node(self, name: str, row: Row | None = None) -> str:
        node_id = self.nodes.get(name)
        if node_id is None:
            node_id = self.nodes[name] = f"tag:{name}"
            record: dict[str, Any] = {
                "node_id": node_id,
                "updated_at": EPOCH,
                "level": "channel",
                "parent_node_id": SITE_NODE,
                "name": name,
            }
            if row is not None:
                record["stackexchange"] = row
            self.write_node(record)
        return node_id
