"""Watch a live source for long: is each frame accounted for, do memory and delay stay flat?

    python tools/analysis_tools/watch_endurance.py yard rtsp://127.0.0.1:8554/cam \\
        --frames 100000 --server 'python server.py 8554' --restarts 3 --out work_dirs/endurance

It runs `mmvad watch` and reads its status lines, its record and, of Linux, what the process holds.
A server that is given is started here, killed and started again, evenly over the run; without one,
the source is what it is. --out/endurance.csv has a line for each status line.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis.watching import RECORD

#: What becomes of a frame, by the names of the record; together they are what was read.
FATES = ('scored', 'left_out', 'lost', 'empty', 'early', 'waiting')
COLUMNS = ('seconds', 'frames', 'rss_mib', 'cpu_seconds', 'delay', 'dropped', 'line')
_STATUS = re.compile(r'(\d+) frames scored, .*delay ([\d.]+) s$')
# Seconds between the end of a server and the next one.
_PAUSE = 5.0


def frames_of(line: str) -> tuple[int, float] | None:
    """Frames that had their turn, and the delay in seconds, of a status line; None of another."""
    found = _STATUS.search(line)
    if found is None:
        return None
    more = re.findall(r'(\d+) (?:left out|lost|of a single colour)', line)
    return int(found[1]) + sum(map(int, more)), float(found[2])


def held(pid: int) -> tuple[float, float]:
    """MiB that a process has in memory, and CPU seconds that it has used."""
    pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    user, system = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[11:13]
    ticks = os.sysconf('SC_CLK_TCK')
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20, (int(user) + int(system)) / ticks


class Server:
    """A server that can be killed and started again; without a command it is nothing."""

    def __init__(self, command: str | None) -> None:
        self.command = None if command is None else shlex.split(command)
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, and give it a moment to listen."""
        if self.command is not None:
            self.process = subprocess.Popen(self.command)
            time.sleep(2.0)

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def samples(
    process: subprocess.Popen, args: argparse.Namespace, server: Server
) -> Iterator[list[float | str]]:
    """A row of :data:`COLUMNS` for each status line, until there were enough frames."""
    start = time.monotonic()
    kills = [args.frames * (n + 1) / (args.restarts + 1) for n in range(args.restarts)]
    for line in process.stderr:
        line = line.rstrip()
        print(line, flush=True)
        if (found := frames_of(line)) is None:
            continue
        frames, delay = found
        rss, cpu = held(process.pid)
        gone = re.search(r'(\d+) times gone', line)
        dropped = int(gone[1]) if gone else 0
        passed = round(time.monotonic() - start, 1)
        yield [passed, frames, round(rss, 1), round(cpu, 1), delay, dropped, line]
        if frames >= args.frames:
            return
        if kills and frames >= kills[0]:
            kills.pop(0)
            server.kill()
            time.sleep(_PAUSE)
            server.start()


def summary(rows: Sequence[Sequence[float]], counts: Mapping[str, float]) -> list[str]:
    """What the samples say, a line each.

    Args:
        rows: Frames, MiB, CPU seconds and delay of each sample.
        counts: Of the record.
    """
    frames, rss, cpu, delay = np.array(rows, float).T
    at = [int(np.argmin(abs(frames - share * frames[-1]))) for share in (0.1, 0.5, 1.0)]
    later = frames >= 0.1 * frames[-1]
    slope = np.polyfit(frames[later], rss[later], 1)[0] if later.sum() > 1 else float('nan')
    parts = np.array_split(delay, 10)
    total = sum(counts[name] for name in FATES)
    return [
        f'read {counts["read"]} = ' + ' + '.join(f'{counts[n]} {n}' for n in FATES) + f' = {total}',
        f'{counts["dropped"]} times gone, {counts["damaged"]} damaged, {counts["events"]} events, '
        f'{counts["seconds"]:.0f} s, {counts["read"] / counts["seconds"]:.1f} frames a second, '
        f'{1000 * cpu[-1] / frames[-1]:.1f} CPU ms a frame (load {os.getloadavg()[1]:.1f})',
        'memory: '
        + ', '.join(f'{rss[i]:.0f} MiB at {frames[i]:.0f} frames' for i in at)
        + f'; most {rss.max():.0f}; from a tenth on {1e5 * slope:+.1f} MiB per 100,000 frames',
        f'delay: median {np.median(parts[0]):.2f} s of the first tenth, '
        f'{np.median(parts[-1]):.2f} s of the last; most {delay.max():.2f} s',
    ]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name or file, as for mmvad watch')
    parser.add_argument('source', help='address of a live source')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument('--frames', type=int, default=100_000, help='after which to end')
    parser.add_argument('--every', type=float, default=30.0, help='seconds between two samples')
    parser.add_argument('--server', help='command that serves the source')
    parser.add_argument('--restarts', type=int, default=0, help='of the server')
    parser.add_argument(
        '--watch', default='', help="more options of mmvad watch, as in --watch='--clips 2'"
    )
    return parser


def main(args: argparse.Namespace) -> int:
    if args.restarts and args.server is None:
        raise ValueError('--restarts: expected a --server as well')
    args.out.mkdir(parents=True, exist_ok=True)
    server = Server(args.server)
    server.start()
    command = [sys.executable, '-m', 'mmvad', 'watch', args.model, args.source]
    command += ['--out', str(args.out), '--status', str(args.every), *shlex.split(args.watch)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    rows = []
    try:
        with (args.out / 'endurance.csv').open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in samples(process, args, server):
                rows.append(row[1:5])
                writer.writerow(row)
                file.flush()
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        code = process.wait()
    finally:
        process.kill()
        server.kill()
    if not rows:
        raise ValueError(f'{args.source}: mmvad watch gave no status line, exit code {code}')
    counts = json.loads((args.out / RECORD).read_text(encoding='utf-8'))['stream']
    print(*summary(rows, counts), sep='\n')
    if code != 128 + signal.SIGTERM:
        print(f'mmvad watch ended with exit code {code}')
        return 1
    if lost := counts['read'] - sum(counts[name] for name in FATES):
        print(f'{lost} frames are not accounted for')
    return int(lost != 0)


if __name__ == '__main__':
    cli.run(main, make_parser())
