"""`tandem`: the commands. What they do stands elsewhere as plain functions; this file talks.

Nothing heavy is imported before a command needs it, so that `--help` and `status` are quick.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.errors import TandemError
from orchestration.terminal import is_broken, shown, shown_lines

if TYPE_CHECKING:
    from orchestration.erasure.receipts import Erasure
    from orchestration.erasure.run import ErasureReport
    from orchestration.settings import Settings
    from orchestration.status import Status

app = typer.Typer(
    help="A warehouse for the two cores of user operations: the community and the group.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 blocked by a gate, 4 locked.",
)
quarantine = typer.Typer(help="Rejected lines: what, why, and taking them again.")
app.add_typer(quarantine, name="quarantine")
payouts = typer.Typer(help="What creators are paid: the ledger, and what other policies would pay.")
app.add_typer(payouts, name="payouts")
audience = typer.Typer(help="Audience packs: what other teams may have, and what it costs.")
app.add_typer(audience, name="audience")
publishing = typer.Typer(
    help="What readers see: its versions, going back, and a copy in PostgreSQL."
)
app.add_typer(publishing, name="publish")
key = typer.Typer(help="The key of the person tokens.")
app.add_typer(key, name="key")
engines = typer.Typer(help="The same models on a second engine, Spark, and whether both agree.")
app.add_typer(engines, name="engines")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def script() -> None:
    """`main` as a process of its own, which ends without freeing object by object.

    Taking apart what Dagster and dbt hold takes two seconds. Whatever else is to be done at the
    end of the process is done before: handlers run in the reverse order of their registration.
    """
    code = 0

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    atexit.register(leave)
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
    except BaseException:
        code = 1
        raise


_INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""
_STOPPED = "stopped; the next build goes on from here"


def main() -> None:
    """Run `tandem`; a TandemError becomes one message and its exit code."""
    if any(map(is_broken, sys.argv[1:])):
        _complain("an argument holds bytes that are no UTF-8")
        sys.exit(2)
    try:
        app()
    except TandemError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            _complain(_STOPPED)
        raise
    except RuntimeError as error:
        # What DuckDB makes of Ctrl-C.
        if str(error) != "Query interrupted":
            raise
        _complain(_STOPPED)
        sys.exit(_INTERRUPTED)


@app.command()
def demo(
    persons: Annotated[int, typer.Option(help="Persons to simulate.")] = 3000,
    days: Annotated[int, typer.Option(help="Days to simulate.")] = 90,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 7,
    growth: Annotated[
        float, typer.Option(help="How many times as much the platform grows as it does by itself.")
    ] = 1.0,
    daily_files: Annotated[
        bool, typer.Option("--daily-files", help="One file a log, source and day of arrival.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Simulate a platform and its groups into the landing zone."""
    from pydantic import ValidationError

    from orchestration.progress import progress_bar
    from simulator import SimulatorConfig, simulate

    settings = _settings()
    try:
        config = SimulatorConfig(
            persons=persons, days=days, seed=seed, growth=growth, daily_files=daily_files
        )
    except ValidationError as error:
        reasons = [
            f"--{item['loc'][0]}: {item['msg']}" if item["loc"] else item["msg"]
            for item in error.errors()
        ]
        raise typer.BadParameter("; ".join(reasons)) from None
    with progress_bar("simulating", "days") as progress:
        report = simulate(config, settings.landing_path, settings.home / "truth", progress)
    if as_json:
        _print_json(
            {
                "landing": str(settings.landing_path),
                "truth": str(settings.home / "truth"),
                "files": report.files,
                "lines": report.lines,
                "bytes": report.bytes,
                "seconds": round(report.seconds, 2),
            }
        )
        return
    _say(
        f"{report.lines:,} lines in {report.files} files under {settings.landing_path}; "
        f"what is true of them is in {settings.home / 'truth'}"
    )


@app.command()
def convert(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="The export's format.")],
    export: Annotated[Path, typer.Argument(metavar="INPUT", help="The export's file or folder.")],
    source: Annotated[str, typer.Option(help="What to call this platform or tenant.")],
    zone: Annotated[
        str | None, typer.Option(help="IANA zone, for formats whose times have none.")
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave out what people wrote.")
    ] = False,
    no_names: Annotated[bool, typer.Option("--no-names", help="Leave out who they are.")] = False,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A format's own option.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a native export into landing files."""
    from orchestration.connectors import ConvertOptions
    from orchestration.connectors import convert as convert_export
    from orchestration.progress import progress_bar

    settings = _settings()
    more = {}
    for text in option or []:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"--option {text}: give NAME=VALUE")
        more[name] = value
    with progress_bar(f"converting {format_name}", "bytes") as progress:
        report = convert_export(
            format_name,
            export,
            settings.landing_path,
            source,
            zone,
            ConvertOptions(no_text=no_text, no_names=no_names, more=more),
            lambda done, total, _: progress(done, total),
        )
    if as_json:
        _print_json(report.to_dict())
        return
    for log, count in report.records_out.items():
        _say(f"{log:28} {count:>12,}")
    for item in report.left_out:
        _say(f"left out: {item.records:,} {item.kind} ({item.reason})")
    for note, count in report.notes.items():
        _say(f"note: {note}: {count:,}")
    _say(f"{len(report.files)} new files, {len(report.unchanged)} unchanged")


@app.command()
def build(
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild all from what was landed.")
    ] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last complete local date."),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Rebuild business dates from this one."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Up to this one; with --from."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Only take in what is new and refresh the live board.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ingest, transform, check and publish. 0 only if all blocking gates passed."""
    if live:
        if full_refresh or as_of or first or last:
            raise typer.BadParameter("--live goes with no other option")
        _build_live(as_json=as_json)
        return
    from orchestration.build import nothing_new
    from orchestration.lock import build_lock
    from orchestration.progress import BuildProgress
    from orchestration.publish import sweep

    window = _window(first, last)
    settings = _settings(as_of_date=as_of.date() if as_of else None)
    with build_lock(settings):
        sweep(settings)
        served = None if full_refresh or window else nothing_new(settings)
    if served is not None:
        _print_build(settings, "unchanged", None, [], served, as_json=as_json)
        return
    from orchestration.gates import GateWorker

    with GateWorker() as gates, BuildProgress(quiet=as_json) as progress:
        # Great Expectations is loaded over there while this one takes in what is new.
        gates.warm_up()
        from orchestration.recorder import run_job

        try:
            done = run_job(
                settings,
                full_refresh=full_refresh,
                window_dates=window,
                observer=progress,
                gates=gates,
            )
        except TandemError as error:
            if as_json:
                _print_build(settings, "failed", error, progress.results, None, as_json=True)
            raise
    from orchestration.publish import published

    _print_build(settings, done.state, None, progress.results, published(settings), as_json=as_json)


@app.command()
def land(
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Processes of this machine; by default land_workers."),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Help the landing that another process leads.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in what is new as Parquet, by many workers; `tandem build` goes on from there."""
    from dataclasses import asdict

    from orchestration.land import join as help_landing
    from orchestration.land import land as lead_landing
    from orchestration.lock import build_lock
    from orchestration.progress import progress_bar

    settings = _settings()
    if join:
        done = help_landing(settings, workers=workers or settings.land_workers)
        if as_json:
            _print_json({"tasks": done})
        elif done is None:
            _say("no landing is under way")
        else:
            _say(f"the landing is over; this process did {done:,} of its tasks")
        return
    with build_lock(settings), progress_bar("landing", "bytes") as progress:
        report = lead_landing(
            settings,
            workers=workers,
            progress=lambda event: progress(event.bytes_done, event.bytes_total),
        )
    if as_json:
        _print_json(
            {
                "batch_id": report.batch_id,
                "files": len(report.files),
                "logs": {log: asdict(total) for log, total in sorted(report.totals.items())},
                "misplaced": len(report.unknown),
            }
        )
        return
    for log, total in sorted(report.totals.items()):
        _say(
            f"{log:30} {total.lines_read:>12,} lines: {total.accepted:,} accepted, "
            f"{total.rejected:,} rejected, {total.duplicates:,} duplicates"
        )
    misplaced = f"; {len(report.unknown)} in the wrong place" if report.unknown else ""
    _say(f"{len(report.files)} files taken as batch {report.batch_id}{misplaced}")


def _window(first: datetime | None, last: datetime | None) -> list[date]:
    """The business dates of a backfill, both ends included."""
    if first is None and last is None:
        return []
    if first is None or last is None or last < first:
        raise typer.BadParameter("a backfill wants --from DATE and --to DATE, in order")
    days = (last - first).days + 1
    return [first.date() + timedelta(days=number) for number in range(days)]


def _build_live(*, as_json: bool) -> None:
    from orchestration.live import run_live
    from orchestration.progress import BuildProgress
    from orchestration.publish import published

    settings = _settings()
    with BuildProgress(quiet=as_json) as progress:
        try:
            done = run_live(settings, observer=progress)
        except TandemError as error:
            if as_json:
                _print_build(settings, "failed", error, progress.results, None, as_json=True)
            raise
    state = done.state if done is not None else "unchanged"
    _print_build(settings, state, None, progress.results, published(settings), as_json=as_json)


@app.command()
def status(
    why: Annotated[bool, typer.Option("--why", help="Explain what failed, rule by rule.")] = False,
    as_json: Json = False,
) -> None:
    """Freshness, row counts, the last build, its gates, rejected lines."""
    from orchestration.status import read_status

    settings = _settings()
    if not settings.warehouse_path.exists():
        if as_json:
            _print_json({"home": str(settings.home), "build": None, "served": None})
        else:
            _say(f"{settings.home} holds no warehouse yet: run `tandem build`")
        return
    found = read_status(settings, why=why)
    if as_json:
        _print_json(found.to_dict())
    else:
        _show_status(found, why=why)


@app.command()
def erase(
    source: Annotated[str | None, typer.Option(help="The platform or tenant of the id.")] = None,
    number: Annotated[
        str | None, typer.Option("--id", help="An id of the person; - reads it from stdin.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="account or member, where an id is both.")
    ] = None,
    only_id: Annotated[
        bool, typer.Option("--only-id", help="This id alone, not all ids of the person.")
    ] = False,
    keep_landing: Annotated[
        bool, typer.Option("--keep-landing", help="Leave the landing zone's files as they are.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much would change.")
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--resume", help="Go on with an erasure that was interrupted.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--list", help="Show every erasure and its receipt.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase a person everywhere, build, prove it by a search, and write a receipt."""
    from orchestration.erasure.run import erase as erase_person
    from orchestration.erasure.run import list_erasures, resume
    from orchestration.progress import BuildProgress

    settings = _settings()
    if show:
        _show_erasures(list_erasures(settings), as_json=as_json)
        return
    if kind not in (None, "account", "member"):
        raise typer.BadParameter(f"--kind {kind}: account or member")
    if not go_on and (source is None or number is None):
        raise typer.BadParameter("give --source and --id, or --resume, or --list")

    def tell(step: str) -> None:
        if not as_json:
            _say(step)

    with BuildProgress(quiet=as_json) as progress:
        if go_on:
            report = resume(settings, observer=progress, tell=tell)
        else:
            report = erase_person(
                settings,
                str(source),
                sys.stdin.readline().strip() if number == "-" else str(number),
                id_kind=kind,
                only_id=only_id,
                keep_landing=keep_landing,
                dry_run=dry_run,
                observer=progress,
                tell=tell,
            )
    if report is None:
        _print_json({"state": "nothing to resume"}) if as_json else _say("nothing to resume")
    elif as_json:
        _print_json(report.to_dict())
    else:
        _show_erasure(report)


def _show_erasure(report: ErasureReport) -> None:
    if report.state == "already erased":
        _say(f"already erased; the receipt is {report.receipt}")
        return
    for (source, kind), count in sorted(report.ids.items()):
        _say(f"{count:>9,}  {kind} ids of {source}")
    for table, rows in report.rows.items():
        _say(f"{rows:>9,}  rows of {table}")
    words = "would be rewritten" if report.state == "dry run" else "rewritten"
    _say(f"{report.files:>9,}  landing files {words}")
    if report.landing_left:
        _say(f"{report.landing_left:>9,}  landing files still hold the person")
    if report.receipt is not None:
        _say(
            f"found nowhere in {report.tables_searched:,} tables and {report.files_searched:,} "
            f"files; the receipt is {report.receipt}"
        )


def _show_erasures(erasures: list[Erasure], *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        _print_json([asdict(item) for item in erasures])
    elif not erasures:
        _say("nobody was erased")
    else:
        for item in erasures:
            words = "" if item.is_sound else "  RECEIPT BROKEN"
            when = f"{item.requested_at} UTC"
            _say(f"{item.number:>5}  {when}  {item.state:6} {item.ids:>4} ids{words}")
    if not all(item.is_sound for item in erasures):
        raise typer.Exit(1)


@app.command()
def dashboard(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder; by default the home's own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the dashboard as a static site, for a web server or a file share."""
    from dashboard import write_site

    site = write_site(_settings(), out)
    if as_json:
        _print_json(vars(site))
        return
    _say(f"version {site.version}, as of {site.as_of_date}: {site.path}")
    for name in site.without:
        _say(f"  without {name}")


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8600,
    host: Annotated[str, typer.Option(help="Who may ask: by default this machine.")] = "127.0.0.1",
) -> None:
    """Show the dashboard of what is published, until interrupted."""
    from dashboard import Keeper, make_server, site_path

    settings = _settings()
    keeper = Keeper(settings)
    if reason := keeper.refresh():
        _complain(reason)
    with make_server(site_path(settings), host, port, keeper.refresh) as server:
        shown = f"[{host}]" if ":" in host else host
        _say(f"http://{shown}:{server.server_port}  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


Log = Annotated[str | None, typer.Option("--log", help="Only this log, as `group/messages`.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only this reason.")]
FilePath = Annotated[str | None, typer.Option("--file", help="Only this file's path.")]


@quarantine.command("list")
def quarantine_list(log: Log = None, reason: Reason = None, as_json: Json = False) -> None:
    """Rejected lines counted by file, reason and field."""
    from dataclasses import asdict

    from orchestration.ingest import list_quarantine

    groups = list_quarantine(_settings(), log=log, reason=reason)
    if as_json:
        _print_json([asdict(group) for group in groups])
        return
    for group in groups:
        what = f"{group.reason} {group.field}" if group.field else group.reason
        first = f"  from line {group.first_line}" if group.first_line else ""
        _say(f"{group.lines:>9,}  {what:32} {group.log:24} {group.path}{first}")
    if not groups:
        _say("nothing was rejected")


@quarantine.command("show")
def quarantine_show(
    log: Log = None,
    reason: Reason = None,
    path: FilePath = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many lines.")] = 20,
    as_json: Json = False,
) -> None:
    """Rejected lines with their raw text, which may hold personal data."""
    from dataclasses import asdict

    from orchestration.ingest import show_quarantine

    lines = show_quarantine(_settings(), log=log, reason=reason, path=path, limit=limit)
    if as_json:
        _print_json([asdict(line) for line in lines])
        return
    for line in lines:
        where = line.path if line.line is None else f"{line.path}:{line.line}"
        field = f" {line.field}" if line.field else ""
        _say(f"{where}: {line.reason}{field}")
        if line.raw_text is not None:
            _say(f"    {line.raw_text}")
    if not lines:
        _say("nothing was rejected")


@quarantine.command("replay")
def quarantine_replay(
    log: Log = None, reason: Reason = None, path: FilePath = None, as_json: Json = False
) -> None:
    """Take rejected lines and whole files again; `tandem build` then goes on with them."""
    from dataclasses import asdict

    from orchestration.ingest import replay_quarantine
    from orchestration.lock import build_lock

    settings = _settings()
    with build_lock(settings):
        report = replay_quarantine(settings, log=log, reason=reason, path=path)
    if as_json:
        _print_json(asdict(report))
        return
    _say(
        f"{report.lines:,} lines tried again: {report.accepted:,} accepted, "
        f"{report.duplicates:,} duplicates, {report.rejected:,} rejected; "
        f"{len(report.files)} whole files taken again"
    )


@key.callback()
def _key() -> None:
    """A group of its own, though it has one command."""


@key.command("rotate")
def key_rotate(as_json: Json = False) -> None:
    """Make a new key; the next build gives every person and token another name."""
    from orchestration.keys import rotate_key

    settings = _settings()
    done = rotate_key(settings)
    if as_json:
        _print_json({"is_in_file": done.is_in_file, "kept": str(done.kept)})
        return
    _say(f"what the first key vouches for is kept in {done.kept}: back it up")
    if done.is_in_file:
        _say(f"{settings.key_path} holds a new key: back it up, and run `tandem build`")
    else:
        _say("now set TANDEM_KEY to a new value, and run `tandem build`")


@publishing.command("list")
def publish_list(as_json: Json = False) -> None:
    """The builds' versions that are kept, newest first; the served one is marked."""
    from dataclasses import asdict

    from orchestration.publish.rollback import kept_versions

    versions = kept_versions(_settings())
    if as_json:
        _print_json([asdict(version) for version in versions])
        return
    for version in versions:
        mark = "  served" if version.is_served else ""
        _say(
            f"version {version.number:>4}  {version.published_at} UTC  as of "
            f"{version.as_of_date}{mark}"
        )
    if not versions:
        _say("nothing was published yet")


@publishing.command("postgres")
def publish_postgres(
    dsn_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="The variable that holds the DSN.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Begins the names of the schemas.")] = None,
    reader: Annotated[str | None, typer.Option(help="The role that may read them.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Even where a newer version is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put what is published into PostgreSQL, for tools that speak only its wire."""
    from dataclasses import asdict

    from orchestration.publish.postgres import push, read_grains, target_with
    from orchestration.transform import read_manifest

    settings = _settings()
    target = target_with(settings, dsn_env=dsn_env, prefix=prefix, reader_role=reader)
    report = push(settings, target, grains=read_grains(read_manifest(settings)), replace=replace)
    if as_json:
        _print_json(asdict(report))
        return
    if not report.is_new:
        _say(f"version {report.version} is there already")
        return
    _say(
        f"version {report.version}, as of {report.as_of_date}: {report.tables} tables, "
        f"{report.rows:,} rows in {report.seconds:.1f} s"
    )
    for name in report.without_index:
        _say(f"  no index on {name}: its key is too long")
    if report.left:
        _say(f"  held by a query, dropped next time: {', '.join(report.left)}")


@publishing.command("rollback")
def publish_rollback(
    to: Annotated[
        int | None, typer.Option(min=1, help="This version; by default the one before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish an earlier version again; the next build publishes forward."""
    from dashboard import write_site
    from orchestration.publish import published
    from orchestration.publish.rollback import roll_back

    settings = _settings()
    report = roll_back(settings, to)
    try:
        write_site(settings)
    except (TandemError, OSError) as error:
        _complain(f"the dashboard was not written: {error}")
    if as_json:
        _print_json(published(settings))
        return
    restored = (published(settings) or {}).get("restored_version")
    _say(
        f"version {report.version} is published: the tables of version {restored}, as of "
        f"{report.as_of_date}; the next build publishes forward"
    )


@payouts.command("verify")
def payouts_verify(
    published: Annotated[
        bool, typer.Option("--published", help="Read the served file alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recompute the ledger's chain and sums. 0 only if every entry is as it should be."""
    from orchestration.payouts import verify

    report = verify(_settings(), published=published)
    broken = report.broken
    if as_json:
        _print_json(
            {
                "path": str(report.path),
                "rows": report.rows,
                "head": report.head,
                "ok": report.ok,
                "broken": None if broken is None else vars(broken),
            }
        )
    elif broken is None:
        _say(f"{report.rows:,} entries in {report.path}, all in order; head {report.head}")
    if broken is not None:
        raise TandemError(f"entry {broken.seq} breaks the ledger: {broken.what}: {broken.detail}")


@payouts.command("replay")
def payouts_replay(
    policy: Annotated[
        Path, typer.Option("--policy", help="Share policies: .yaml, .csv or .jsonl.")
    ],
    month: Annotated[datetime, typer.Option(formats=["%Y-%m"], help="The month of payment.")],
    model: Annotated[
        str | None, typer.Option(help="Only this model: pro_rata or user_centric.")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the policies in force; replace equal ids only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What creators would have earned under other policies; nothing is written."""
    from orchestration.payouts import read_policies, replay

    if model not in (None, "pro_rata", "user_centric"):
        raise typer.BadParameter(f"--model {model}: pro_rata or user_centric")
    found = replay(_settings(), read_policies(policy), month.date(), model=model, add=add)
    models = sorted({row.model for row in found.rows})
    if as_json:
        _print_json(
            {
                "month": f"{found.month:%Y-%m}",
                "is_complete": found.is_complete,
                "pools": {
                    name: dict(zip(_SIDES, found.total(name), strict=True)) for name in models
                },
                "payouts": [
                    vars(row) | {"difference_minor": row.difference_minor} for row in found.rows
                ],
            }
        )
        return
    for name in models:
        _say(f"{name:34} {'actual':>14} {'replay':>14} {'difference':>14}")
        for row in found.rows:
            if row.model == name:
                _say_payout(row.person_id, row.actual_minor, row.replay_minor)
        _say_payout("total", *found.total(name))


_SIDES = ("actual_minor", "replay_minor")


def _say_payout(name: str, actual: int, replayed: int) -> None:
    _say(f"  {name:32} {actual:>14,} {replayed:>14,} {replayed - actual:>+14,}")


Pack = Annotated[str, typer.Argument(metavar="PACK", help="A pack's name.")]
PackVersion = Annotated[int | None, typer.Option("--version", min=1, help="Only this version.")]


@audience.command("build")
def audience_build(
    pack: Pack,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be refused, cost and leave.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build, attack and release a pack; 3 when an attack succeeds. Its budget is then spent."""
    from orchestration.audience.release import build_pack, describe_plan, plan_pack

    settings = _settings()
    if dry_run:
        plan = plan_pack(settings, pack)
        found = describe_plan(plan)
        if as_json:
            _print_json(found)
        else:
            _show_pack_plan(found)
        if plan.problems:
            raise typer.Exit(2)
        return
    release = build_pack(settings, pack)
    if as_json:
        _print_json(
            {
                "pack": release.pack,
                "version": release.version,
                "folder": str(release.folder),
                "is_new": release.is_new,
                "manifest": release.manifest,
            }
        )
        return
    words = "" if release.is_new else "nothing new to draw; "
    _say(f"{words}{release.pack} v{release.version:03d} is in {release.folder}")


@audience.command("list")
def audience_list(as_json: Json = False) -> None:
    """Every version of every pack, the definitions there are, and what is left to spend."""
    from dataclasses import asdict

    from orchestration.audience.release import list_packs, read_balance
    from orchestration.audience.spec import find_packs

    settings = _settings()
    versions, balance = list_packs(settings), read_balance(settings)
    defined = {name: str(path) for name, path in sorted(find_packs(settings.audience).items())}
    if as_json:
        _print_json({"versions": versions, "defined": defined, "balance": asdict(balance)})
        return
    for item in versions:
        _say(
            f"{item['pack']:28} v{item['version']:03d}  {item['kind']:6}  {item['status']:9} "
            f"epsilon {item['epsilon']:<5g} until {item['expires_at']:%Y-%m-%d}"
        )
    _say(f"defined    {', '.join(defined)}")
    _say(
        f"spent      epsilon {balance.epsilon:.3g} of {balance.epsilon_cap:g}, delta "
        f"{balance.delta:.2g} of {balance.delta_cap:g} in {balance.window_days} days"
    )


@audience.command("verify")
def audience_verify(pack: Pack, version: PackVersion = None, as_json: Json = False) -> None:
    """Recompute all that a released version's files allow; 3 when something is not as it says."""
    from dataclasses import asdict

    from orchestration.audience.verify import verify_pack

    folder, checks = verify_pack(_settings(), pack, version=version)
    if as_json:
        _print_json({"folder": str(folder), "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            detail = f"  {check.detail}" if check.detail else ""
            _say(f"{'ok    ' if check.passed else 'FAILED'} {check.name}{detail}")
    if not all(check.passed for check in checks):
        raise typer.Exit(3)


@audience.command("revoke")
def audience_revoke(pack: Pack, version: PackVersion = None, as_json: Json = False) -> None:
    """Mark released versions as revoked and remove their files; what they cost stays spent."""
    from orchestration.audience.release import revoke_pack

    versions = revoke_pack(_settings(), pack, version=version)
    if as_json:
        _print_json({"pack": pack, "revoked": versions})
        return
    _say(f"revoked {pack} {', '.join(f'v{number:03d}' for number in versions)}")


@audience.command("expire")
def audience_expire(as_json: Json = False) -> None:
    """Remove every version whose time is over."""
    from orchestration.audience.release import expire_packs

    ended = expire_packs(_settings())
    if as_json:
        _print_json([{"pack": pack, "version": version} for pack, version in ended])
        return
    for pack, version in ended:
        _say(f"expired {pack} v{version:03d}")
    if not ended:
        _say("nothing has expired")


@audience.command("suggest")
def audience_suggest(
    pack: Pack,
    source: Annotated[
        Path,
        typer.Option(
            "--from", help="Synthetic persons (CSV, Parquet), or a released version's folder."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Coarser bands with which more rows would stay, tried on data that is already public."""
    from dataclasses import asdict

    from orchestration.audience.suggest import suggest

    found = suggest(_settings(), pack, source)
    if as_json:
        _print_json([asdict(item) for item in found])
        return
    for item in found:
        bands = ", ".join(f"{name} {count}" for name, count in item.levels.items())
        _say(f"{100 * item.kept:5.1f} % of sampled rows stay, {item.cells:>6,} cells: {bands}")
    if not found:
        _say("no coarsening of these bands keeps a row")


def _show_pack_plan(found: dict[str, Any]) -> None:
    _say(f"{found['pack']} v{found['version']:03d}, {found['kind']}")
    for column in found["columns"]:
        values = column["values"]
        words = f"{len(values)} values: {', '.join(values[:6])}{' …' if len(values) > 6 else ''}"
        _say(f"  {column['name']:24} {column['role']:16} {words if values else 'a noisy number'}")
    _say(f"  at most {found['cells']:,} cells")
    for name, value in found["accuracy"].items():
        _say(f"  95 % of the noise of {name} stays within {value:,}")
    before, after = found["before"], found["after"]
    _say(
        f"  budget: epsilon {before['epsilon']:.3g} now, {after['epsilon']:.3g} after, "
        f"of {after['epsilon_cap']:g} in {after['window_days']} days"
    )
    if found["stored"]:
        _say(f"  a build would return {found['stored']}: same definition, same data")
    for problem in found["problems"]:
        _say(f"  refused: {problem}")


@engines.command("build")
def engines_build(
    select: Annotated[
        list[str] | None, typer.Option(help="dbt's selection of models; by default all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the models on Spark, from the warehouse's inputs; publishes nothing.

    On a session of this process, or on the cluster that TANDEM_SPARK_HOST names.
    """
    from orchestration.engines.spark import build_on_spark, tables_root

    settings = _settings()
    nodes = build_on_spark(settings, select or ())
    if as_json:
        _print_json(
            {
                "tables": str(tables_root(settings)),
                "models": {node.name: round(node.seconds, 2) for node in nodes},
            }
        )
        return
    _say(f"{len(nodes)} models on Spark, as Parquet under {tables_root(settings)}")


@engines.command("cluster")
def engines_cluster(
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that work.")] = 2,
    memory: Annotated[str, typer.Option(help="Heap of a worker, as 512m or 2g.")] = "768m",
) -> None:
    """Run a Spark cluster on this machine's loopback until Ctrl-C, to try the engine on one."""
    from contextlib import suppress

    from orchestration.engines.cluster import loopback_cluster

    home = _settings().home / "spark" / "cluster"
    with loopback_cluster(home, workers=workers, memory=memory) as cluster:
        words = " ".join(f"{name}={value}" for name, value in cluster.environment.items())
        _say(f"{words} tandem engines build")
        with suppress(KeyboardInterrupt):
            cluster.wait()


@engines.command("compare")
def engines_compare(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave both engines' tables, to look at a difference.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build every mart on DuckDB and on Spark, and compare all rows. 0 only if they are equal."""
    from orchestration.engines.agreement import compare_engines

    found = compare_engines(_settings(), keep=keep)
    different = [mart for mart in found.marts if not mart.is_equal]
    if as_json:
        _print_json(
            {
                "equal": found.is_equal,
                "duckdb_seconds": round(found.duckdb_seconds, 1),
                "spark_seconds": round(found.spark_seconds, 1),
                "marts": [vars(mart) | {"equal": mart.is_equal} for mart in found.marts],
            }
        )
    else:
        for mart in different:
            _say(f"{mart.table:32} {mart.summary}")
        rows = sum(mart.rows_here for mart in found.marts)
        _say(
            f"{len(found.marts) - len(different)} of {len(found.marts)} marts equal, "
            f"{rows:,} rows; DuckDB {found.duckdb_seconds:.0f} s, Spark {found.spark_seconds:.0f} s"
        )
    if different:
        names = ", ".join(mart.table for mart in different)
        raise TandemError(f"the engines differ in {names}")


def _settings(**overrides: Any) -> Settings:
    from orchestration.settings import load_settings

    return load_settings(**overrides)


def _print_build(
    settings: Settings,
    state: str,
    error: TandemError | None,
    results: list[Any],
    served: dict[str, Any] | None,
    *,
    as_json: bool,
) -> None:
    report = settings.home / "quality" / "index.html"
    if as_json:
        _print_json(
            {
                "state": state,
                "error": str(error) if error else None,
                "exit_code": error.exit_code if error else 0,
                "version": served["version"] if served else None,
                "as_of_date": str(served["as_of_date"]) if served else None,
                "build_id": served["build_id"] if served else None,
                "kind": served.get("kind") if served else None,
                "live_as_of": _live_as_of(served),
                "serving": str(settings.serving_path),
                "report": str(report),
                "stages": [
                    {
                        "stage": item.stage,
                        "seconds": round(item.seconds, 3),
                        "passed": item.passed,
                        "summary": item.summary,
                    }
                    for item in results
                ],
            }
        )
        return
    if served is None:
        return
    words = "nothing new; " if state == "unchanged" else ""
    as_of = _live_as_of(served)
    live = f", live board to {as_of} UTC" if as_of else ""
    _say(f"{words}version {served['version']} is published, as of {served['as_of_date']}{live}")
    _say(f"  marts    {settings.serving_path}")
    _say(f"  parquet  {settings.serving_path.parent / 'parquet' / 'current'}")
    if report.exists():
        _say(f"  quality  {report}")
    site = settings.home / "dashboard" / "index.html"
    if site.exists():
        _say(f"  pages    {site} (or `tandem serve`)")


def _live_as_of(served: dict[str, Any] | None) -> str | None:
    found = served.get("live_as_of") if served else None
    return str(found) if found else None


def _show_status(found: Status, *, why: bool) -> None:
    if found.served:
        _say(
            f"published  version {found.served['version']} at {found.served['published_at']} UTC, "
            f"as of {found.served['as_of_date']}"
        )
        if restored := found.served.get("restored_version"):
            _say(f"           rolled back to the tables of version {restored}")
        if live_as_of := _live_as_of(found.served):
            _say(f"live board to {live_as_of} UTC")
    else:
        _say("published  nothing yet")
    if not found.warehouse_read:
        _say(f"warehouse  being written by {found.holder}: ask again when it is done")
        return
    if found.build is not None:
        _say(f"last build {found.build.state}, started {found.build.started_at} UTC")
        for stage in found.build.stages:
            if why or not stage.passed:
                mark = "ok    " if stage.passed else "FAILED"
                _say(f"  {mark} {stage.stage:18} {stage.seconds:8.1f} s  {stage.summary}")
    if found.live is not None:
        _say(f"last live  {found.live.state}, started {found.live.started_at} UTC")
    gates = found.gates
    _say(
        f"gates      {gates.passed} of {gates.rules} rules passed, {gates.critical} critical "
        f"failed, {gates.warnings} warnings"
    )
    for rule in gates.failed:
        _say(f"  {rule.severity:8} {rule.stage}/{rule.table}: {rule.rule} ({rule.observed})")
        if rule.meaning:
            _say(f"           should hold: {rule.meaning}")
        if rule.query:
            _say(f"           rows: {rule.query}")
    _say(f"pending    {found.pending_files} files in the landing zone")
    if found.rejected:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in found.rejected.items())
        _say(f"rejected   {counts}")
    _say(f"{'log':28} {'rows':>12} {'files':>7} {'rejected':>9}  last record (UTC)")
    for log in found.logs:
        _say(
            f"{log.log:28} {log.rows:>12,} {log.files:>7,} {log.rejected:>9,}  "
            f"{log.last_record_at or ''}"
        )


def _print_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    # Half a character, from a file name that is no UTF-8, is printed as JSON's own escape of it.
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def _say(text: str) -> None:
    typer.echo(shown(text))


def _complain(text: str) -> None:
    typer.echo(f"tandem: {shown_lines(text)}", err=True)


if __name__ == "__main__":
    main()
