"""A minute at four times the load that ``legan serve`` can sustain: what is accepted stays quick, the rest is refused at once.

First so many clients that each ask for one image after the other tell how many images a second the endpoint can do. Then requests
come at ``--times`` that rate, whether the earlier ones are answered or not, as those of many people would. Memory is what all
processes of the server have for themselves (USS), from the middle of the sustainable load to the end of the minute.

    python benchmarks/overload.py [--width 32] [--size 64] [--seconds 60] [--times 4]

The clients share the machine with the server: their work counts against it.
"""

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
import torch
from PIL import Image

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.model import Model, write_model
from legan.serve.study.app import bind

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"))
LABELS = {"expression": "smile", "lighting": "left", "aligned": "true"}
CLIENTS = 16
PATIENCE_S = 120.0


class Answer(NamedTuple):
    """How a request ended: its status, or the name of what went wrong instead."""

    status: int | str
    seconds: float
    retry_after: bool


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        generator = Generator(2, 3, width=arguments.width)
        write_model(Path(folder) / "model", Model(generator, None, SCHEMA, arguments.size, DEFAULT_ALIGNMENT, {}))
        with serving(Path(folder)) as (url, server):
            asyncio.run(measure(url, server, arguments))


async def measure(url: str, server: psutil.Process, arguments: argparse.Namespace) -> None:
    face = np.random.default_rng(0).integers(0, 256, (arguments.size, arguments.size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    image = buffer.getvalue()
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=httpx.Limits(max_connections=None)) as client:
        await sustained(client, image, 5.0)
        watch = asyncio.create_task(memory(server, arguments.seconds + 15))
        rate = await sustained(client, image, 15.0)
        begun = time.perf_counter()
        answers = await overloaded(client, image, arguments.times * rate, arguments.seconds)
        seconds = time.perf_counter() - begun
        calm = await ask(client, image)
        report(rate, answers, seconds, calm, await watch, arguments)


async def sustained(client: httpx.AsyncClient, image: bytes, seconds: float) -> float:
    """Images a second of clients that wait for their answers."""
    end, done = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            answer = await ask(client, image)
            done += answer.status == 200

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return done / seconds


async def overloaded(client: httpx.AsyncClient, image: bytes, rate: float, seconds: float) -> list[Answer]:
    """Requests at a rate of their own."""
    begun, asked = time.perf_counter(), []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        asked.append(asyncio.create_task(ask(client, image)))
    return await asyncio.gather(*asked)


async def ask(client: httpx.AsyncClient, image: bytes) -> Answer:
    begun = time.perf_counter()
    try:
        answer = await client.post("/v1/translate", files={"image": ("x.png", image)}, data=LABELS)
    except httpx.HTTPError as error:
        return Answer(type(error).__name__, time.perf_counter() - begun, retry_after=False)
    return Answer(answer.status_code, time.perf_counter() - begun, "retry-after" in answer.headers)


async def memory(server: psutil.Process, seconds: float) -> list[float]:
    """MB of all of the server's processes, every two seconds."""
    found = []
    for _ in range(round(seconds / 2)):
        found.append(await asyncio.to_thread(own_memory, server))
        await asyncio.sleep(2)
    return found


def own_memory(server: psutil.Process) -> float:
    total = 0
    for process in [server, *server.children(recursive=True)]:
        with suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total / 2**20


def report(
    rate: float, answers: list[Answer], seconds: float, calm: Answer, megabytes: list[float], arguments: argparse.Namespace
) -> None:
    accepted = sorted(each.seconds for each in answers if each.status == 200)
    refused = sorted(each.seconds for each in answers if each.status == 503)
    others = Counter(each.status for each in answers if each.status not in (200, 503))
    bare = sum(each.status == 503 and not each.retry_after for each in answers)
    print(f"{arguments.size}×{arguments.size}, width {arguments.width}: {CLIENTS} clients can sustain {rate:.1f} images/s")
    print(f"{len(answers)} requests in {arguments.seconds:g} s ({arguments.times:g}×), all answered after {seconds:.1f} s:")
    for name, times in (("accepted", accepted), ("503", refused)):
        if times:
            print(f"  {name:<9}{len(times):>7}   p50 {ms(times, 0.5)} ms   p99 {ms(times, 0.99)} ms   longest {ms(times, 1)} ms")
    print(f"  otherwise {dict(others) or 'none'}; 503 without Retry-After: {bare}")
    print(f"  a request after that: {calm.status}, {calm.seconds * 1000:.0f} ms")
    print(
        f"  memory in MB: {megabytes[3]:.0f} under the sustainable load, at most {max(megabytes):.0f}, then {megabytes[-1]:.0f}"
    )
    figure = {
        "benchmark": "overload", "sustained_images_s": round(rate, 2), "requests": len(answers), "accepted": len(accepted),
        "refused": len(refused), "otherwise": sum(others.values()), "accepted_images_s": round(len(accepted) / seconds, 2),
        "accepted_p99_ms": ms(accepted, 0.99), "refused_p99_ms": ms(refused, 0.99),
        "memory_mb": [round(megabytes[3]), round(max(megabytes)), round(megabytes[-1])],
    }  # fmt: skip
    print(json.dumps(figure | vars(arguments)))


def ms(ordered: list[float], share: float) -> int | None:
    """A percentile in milliseconds; None of nothing."""
    return round(ordered[int(share * (len(ordered) - 1))] * 1000) if ordered else None


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """``legan serve`` in a process group of its own."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    environment = os.environ | {"LEGAN_HOME": str(folder), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "legan.cli", "serve", "--model", str(folder / "model"), "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("serving at"):
                    break
            else:
                raise SystemExit("legan serve did not start")
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 32), ("size", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("seconds", 60.0), ("times", 4.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
