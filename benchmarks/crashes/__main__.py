"""Kills builds at random moments: `python -m benchmarks.crashes [--kills 200] [--only STAGE]`.

A small platform is built once, new files arrive, and one build goes through undisturbed; its home
is kept at every stage's boundary. Then processes start from a boundary and are killed with SIGKILL
at a moment that is uniform over the stage, or right before or after a call that changes or syncs
a file. After some kills in a row an undisturbed `tandem build` runs, and everything is compared.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.crashes import page, state, world
from benchmarks.crashes.page import Chain
from benchmarks.crashes.reader import Seen, watching
from benchmarks.crashes.victim import Ended, Kill, run

SHARES = {
    "ingest": 80,
    "staging": 18,
    "intermediate": 28,
    "marts": 24,
    "publish": 20,
    "release": 30,
}
"""Kills of 200, by the stage whose process is killed first in its chain."""


IN_A_ROW = {"ingest": 10, "release": 10, "publish": 1}
"""Kills before a whole build; else four. A publish posts payouts on the way, and the gate refuses
to go on with a ledger that it did not judge: only a whole build can follow."""


class Bench:
    """The homes, the undisturbed results, and the chains that have been run."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.chains: list[Chain] = []
        self.lengths: dict[str, tuple[float, int]] = {}
        self.saved: dict[str, world.Saved] = {}
        self.served: dict[str, tuple[int, int]] = {}
        self.loaded: dict[str, tuple[int, int]] = {}

    def prepare(self, persons: int, days: int, seed: int) -> None:
        """Build the platform, let the new files arrive, keep the boundaries, measure.

        A folder in which this was done before is taken as it is, and its chains count.
        """
        kept = self.folder / "bench.pickle"
        if kept.exists():
            world.keep_manifest(self.folder / "base")
            self.lengths, self.saved, self.served, self.loaded = pickle.loads(kept.read_bytes())
            earlier = self.folder / "chains.pickle"
            self.chains = pickle.loads(earlier.read_bytes()) if earlier.exists() else []
            return
        base = self.folder / "base"
        hidden = world.land(base, persons, days, seed)
        settings = world.settings_at(base)
        self._calm(world.whole_build(settings), "the first build")
        world.keep_manifest(base)
        world.let_arrive(hidden)
        start = world.copy_home(base, self.folder / "ingest")
        calm = world.settings_at(world.copy_home(start, self.folder / "calm"))
        seconds = self._calm(world.whole_build(calm, self.folder), "the undisturbed build")
        self.lengths["build"] = (sum(seconds.values()), 0)
        world.copy_home(calm.home, self.folder / "release")
        self.served = self._calm(lambda _: state.served(calm.home), "its tables")
        self.loaded = self._calm(lambda _: state.loaded(calm), "its raw tables")
        for stage in SHARES:
            path = (self.folder / stage).with_suffix(".saved")
            if path.exists():
                self.saved[stage] = pickle.loads(path.read_bytes())
            trial = world.settings_at(world.copy_home(self.folder / stage, self.folder / "trial"))
            work = world.stage_work(trial, stage, self.saved.get(stage))
            ended = run(work, prepare=world.fork_worker, home=trial.home)
            self._require(ended, stage)
            self.lengths[stage] = (ended.seconds, ended.steps)
            print(f"{stage}: {ended.seconds:.1f} s, {ended.steps} steps", flush=True)
        kept.write_bytes(pickle.dumps((self.lengths, self.saved, self.served, self.loaded)))

    def chain(self, stage: str, kills: int, *, by_command: bool, recovery: bool) -> Chain:
        """Kill `kills` processes of a stage on one home, then build and compare."""
        home = world.copy_home(self.folder / stage, self.folder / "home")
        settings = world.settings_at(home)
        chain = Chain(stage, by_command=by_command)
        begun = time.monotonic()
        seconds, steps = self.lengths[stage]
        with watching(home) as seen:
            tries = 0
            while len(chain.kills) < kills and tries < 3 * kills:
                tries += 1
                kill = Kill.draw(self.rng, seconds, steps)
                ended = run(
                    world.stage_work(settings, stage, self.saved.get(stage)),
                    kill,
                    prepare=world.fork_worker,
                    home=home,
                )
                if not ended.killed:
                    self._note(chain, stage, ended)
                    if stage in ("ingest", "release"):
                        home = self._again(stage, home)
                    continue
                chain.kills.append(ended)
                self._after(chain, settings, stage)
            if recovery:
                length = self.lengths["build"][0]
                ended = run(
                    world.whole_build(settings),
                    Kill(after=self.rng.uniform(0, length)),
                    prepare=world.fork_worker,
                    home=home,
                )
                chain.kill_of_recovery = ended if ended.killed else None
            started = time.monotonic()
            if by_command:
                self._command(chain, settings)
            else:
                ended = run(world.whole_build(settings), prepare=world.fork_worker, home=home)
                self._note(chain, "the build after", ended)
            chain.seconds = world.elapsed(started)
        self._compare(chain, settings, seen)
        chain.whole_seconds = world.elapsed(begun)
        self.chains.append(chain)
        (self.folder / "chains.pickle").write_bytes(pickle.dumps(self.chains))
        return chain

    def _again(self, stage: str, home: Path) -> Path:
        """The stage came to its end: the next kill starts from its boundary."""
        for name in ("warehouse.duckdb", "warehouse.duckdb.wal", "exports"):
            path, source = home / name, self.folder / stage / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if source.is_dir():
                shutil.copytree(source, path)
            elif source.exists():
                shutil.copy2(source, path)
        return home

    def _after(self, chain: Chain, settings: Any, stage: str) -> None:
        """Straight after a kill: nothing is broken; ingest and release go on by themselves."""
        self._note_list(chain, lambda _: state.broken_rules(settings))
        if stage == "ingest" and self.rng.random() < 0.34:
            copy = world.settings_at(world.copy_home(settings.home, self.folder / "again"))
            ended = run(world.stage_work(copy, stage, None), prepare=world.fork_worker)
            self._note(chain, "the ingest after", ended)
            ended = run(lambda _: state.differences(state.taken_in(copy), self._taken_in()))
            self._note(chain, "the ingest after", ended)
            chain.wrong += ended.result or []
            self._note_list(chain, lambda _: state.broken_rules(copy))

    def _taken_in(self) -> dict[str, tuple[int, int]]:
        return {name: self.loaded[name] for name in self.loaded if name not in state.POSTED}

    def _command(self, chain: Chain, settings: Any) -> None:
        done = subprocess.run(
            [sys.executable, "-c", "from orchestration.cli import main; main()", "build", "--json"],
            env=os.environ
            | {
                "TANDEM_HOME": str(settings.home),
                "TANDEM_KEY": settings.key.get_secret_value(),
                "TANDEM_THREADS": "1",
            },
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            chain.wrong.append(f"tandem build: exit {done.returncode}: {done.stderr[-300:]}")

    def _compare(self, chain: Chain, settings: Any, seen: Seen) -> None:
        chain.looks += seen.looks
        chain.wrong += [f"a reader saw: {what}" for what in sorted(set(seen.wrong))]

        def compare(_: object) -> list[str]:
            from orchestration.audience.release import build_pack

            wrong = state.differences(state.served(settings.home), self.served)
            wrong += state.differences(state.loaded(settings), self.loaded)
            wrong += state.broken_rules(settings)
            if chain.stage == "release":
                build_pack(settings, world.PACK)
                wrong += state.broken_rules(settings) + state.missing_packs(settings)
            return wrong

        self._note_list(chain, compare)
        left = [*(settings.home / "serving").glob(".*"), *(settings.home / "serving").glob("*/.*")]
        chain.wrong += [f"{path.name} is left" for path in left]

    def _note_list(self, chain: Chain, work: Callable[[Any], list[str]]) -> None:
        ended = run(work)
        self._note(chain, "comparing", ended)
        chain.wrong += ended.result or []

    def _note(self, chain: Chain, what: str, ended: Ended) -> None:
        if ended.error or ended.killed:
            chain.wrong.append(f"{what}: {ended.error or 'died'}")

    def _calm(self, work: Callable[[Any], Any], what: str) -> Any:
        ended = run(work, prepare=world.fork_worker)
        self._require(ended, what)
        return ended.result

    def _require(self, ended: Ended, what: str) -> None:
        if ended.error or ended.killed:
            sys.exit(f"{what}: {ended.error or 'died'}")


def main() -> None:
    """Kill, recover, compare; print each chain, write the page, exit 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--persons", type=int, default=100)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--only", choices=list(SHARES))
    parser.add_argument("--in-a-row", type=int, help="kills before a whole build")
    parser.add_argument("--minutes", type=float, default=240.0, help="start no chain after this")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, help="for the homes, kept; by default a new one")
    arguments = parser.parse_args()
    started = time.monotonic()
    world.load_everything()
    rng = random.Random(arguments.seed)
    with _folder(arguments.folder) as folder:
        bench = Bench(folder, rng)
        bench.prepare(arguments.persons, arguments.days, arguments.seed)
        for number, (stage, kills) in enumerate(_order(bench, arguments)):
            if world.elapsed(started) > 60 * arguments.minutes:
                break
            chain = bench.chain(
                stage, kills, by_command=number % 12 == 11, recovery=number % 6 == 1
            )
            words = "; ".join(chain.wrong) or "recovered"
            places = " | ".join(item.place for item in chain.kills)
            print(f"{stage} x{len(chain.kills)} {chain.seconds:.1f} s: {words} [{places}]")
            sys.stdout.flush()
            if arguments.out is not None:
                text = page.render(
                    bench.chains,
                    seed=arguments.seed,
                    persons=arguments.persons,
                    days=arguments.days,
                    seconds=sum(chain.whole_seconds for chain in bench.chains),
                )
                arguments.out.write_text(text, encoding="utf-8")
    total = sum(chain.total for chain in bench.chains)
    bad = [chain for chain in bench.chains if chain.wrong]
    print(f"{total} kills, {len(bench.chains)} chains, {len(bad)} with something wrong")
    sys.exit(1 if bad else 0)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _order(bench: Bench, arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """The chains that are left of all stages, mixed, so that a run cut short has some of each."""
    wanted = {stage: round(arguments.kills * share / 200) for stage, share in SHARES.items()}
    if arguments.only:
        wanted = {arguments.only: arguments.kills}
    chains = []
    for stage, kills in wanted.items():
        left = kills - sum(len(chain.kills) for chain in bench.chains if chain.stage == stage)
        row = arguments.in_a_row or IN_A_ROW.get(stage, 4)
        chains += [(stage, min(left - start, row)) for start in range(0, left, row)]
    bench.rng.shuffle(chains)
    return chains


if __name__ == "__main__":
    main()
