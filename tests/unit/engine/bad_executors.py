"""Executors that break REP, each in a few lines: what they do instead, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TRANSPORT, REFUSED, STEP, FINE = 4, 3, 1, 0


class Bad(NamedTuple):
    """What the executor does instead, the exit code that it comes to, and a piece of the message."""

    code: str
    exit_code: int
    message: str = ""


HANG = "time.sleep(60)"
ENDED = "ended (in the middle of|without) a reply|exit 1|no reply to"

BAD: Mapping[str, Bad] = {
    # P1 to P4: it does not live
    "exits at once": Bad("sys.exit(0)", TRANSPORT, r"without a reply to Runtime.Capabilities \(exit 0"),
    "exits with words": Bad("sys.exit('no license')", TRANSPORT, "no license"),
    "is killed at once": Bad("os.kill(os.getpid(), signal.SIGKILL)", TRANSPORT, "killed by SIGKILL"),
    "exits after the handshake": Bad("def start(id, params): sys.exit(3)", TRANSPORT, r"Runtime.StartRun \(exit 3"),
    "exits well in the middle of a run": Bad("def poll(id, params): os._exit(0)", TRANSPORT, r"Runtime.Poll \(exit 0"),
    "exits after half a line": Bad(
        "def poll(id, params): say(b'{\"json'); os._exit(0)", TRANSPORT, "in the middle of a reply to Runtime.Poll"
    ),
    "closes its output and stays": Bad("os.close(1); time.sleep(60)", TRANSPORT, "without a reply"),
    "closes its input and stays": Bad("os.close(0); time.sleep(60)", TRANSPORT, "no reply to Runtime.Capabilities"),
    # P5: silence
    "hangs on Capabilities": Bad(
        f"def capabilities(id, params): {HANG}", TRANSPORT, "no reply to Runtime.Capabilities"
    ),
    "hangs on StartRun": Bad(f"def start(id, params): {HANG}", TRANSPORT, "no reply to Runtime.StartRun"),
    "hangs on Poll": Bad(f"def poll(id, params): {HANG}", TRANSPORT, "no reply to Runtime.Poll"),
    "drips a byte a second": Bad(
        "def poll(id, params):\n    for byte in frame(id, result={}): say(bytes([byte])); time.sleep(1)",
        TRANSPORT,
        "no reply to Runtime.Poll in time",
    ),
    "never ends a run": Bad("def poll(id, params): reply(id, {'status': 'running'})", TRANSPORT, "still running"),
    # P6 to P11: what it says is not REP
    "says hello first": Bad("say(b'hello\\n')", TRANSPORT, "not JSON in UTF-8: 'hello'"),
    "prints what it does": Bad(
        "def poll(id, params): print('polling', flush=True); reply(id, {})", TRANSPORT, "polling"
    ),
    "speaks before it is asked": Bad(
        "reply(1, OFFER); reply(2, {'run_id': 'x'})", TRANSPORT, "more than it was asked|has id"
    ),
    "repeats the id before": Bad("def poll(id, params): reply(id - 1, {})", TRANSPORT, "has id"),
    "makes ids texts": Bad("def poll(id, params): reply(str(id), {})", TRANSPORT, "has id '3', not 3"),
    "replies twice": Bad(
        "def start(id, params): say(frame(id, result={'run_id': 'x'}) * 2)", TRANSPORT, "more than it was asked"
    ),
    "notifies": Bad(
        'def poll(id, params): say(b\'{"jsonrpc": "2.0", "method": "log", "params": {}}\\n\')', TRANSPORT, "no JSON-RPC"
    ),
    "answers in batches": Bad(
        "def poll(id, params): say(b'[' + frame(id, result={})[:-1] + b']\\n')", TRANSPORT, "no object"
    ),
    "errs without a code": Bad(
        "def poll(id, params): say(frame(id, error={'message': 'x'}))", TRANSPORT, "integer code"
    ),
    "gives a list": Bad("def poll(id, params): reply(id, [])", TRANSPORT, "no object"),
    "does not know UTF-8": Bad("def poll(id, params): say(b'\"\\xff\"\\n')", TRANSPORT, "not JSON in UTF-8"),
    "begins with a byte order mark": Bad(
        "def capabilities(id, params): say(b'\\xef\\xbb\\xbf' + frame(id, result=OFFER))",
        TRANSPORT,
        "not JSON in UTF-8",
    ),
    "ends lines as Windows does": Bad(
        "def capabilities(id, params): say(frame(id, result=OFFER).replace(b'\\n', b'\\r\\n'))", FINE
    ),
    # P12: what it says is REP, and makes no sense
    "offers nothing": Bad("OFFER = {}", REFUSED, "lack a proper version"),
    "offers something else": Bad("OFFER['step_kinds'] = ['c']", REFUSED, "has no step kind 'a'"),
    "refuses the handshake": Bad("def capabilities(id, params): refuse(id, 1000)", REFUSED, "REP 1000"),
    "refuses the version": Bad("def start(id, params): refuse(id, 1001)", REFUSED, "REP 1001"),
    "panics": Bad("def start(id, params): refuse(id, 3002)", TRANSPORT, "REP 3002"),
    "knows no methods": Bad("def poll(id, params): refuse(id, -32601)", TRANSPORT, "REP -32601"),
    "invents a status": Bad("def poll(id, params): reply(id, {'status': 'done'})", TRANSPORT, "status 'done'"),
    "tells events without a type": Bad(
        "def poll(id, params): reply(id, {'status': 'running', 'events': [{}]})", TRANSPORT, "no type"
    ),
    "gives a run no name": Bad("def start(id, params): reply(id, {})", TRANSPORT, "no run_id"),
    "gives a run another name": Bad("def start(id, params): reply(id, {'run_id': 'mine'})", FINE),
    "fails a step": Bad("def poll(id, params): refuse(id, 2001)", STEP, "no"),
    "fails a run": Bad(
        "def poll(id, params): reply(id, {'status': 'failed', 'summary': {'error': 'sad'}})", STEP, "sad"
    ),
    # P13 and P14: it does harm
    "fills stderr": Bad(
        "def poll(id, params):\n    os.write(2, b'x' * 10_000_000)\n    reply(id, {'status': 'completed'})", FINE
    ),
    "ignores SIGTERM and the end": Bad(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef poll(id, params): {HANG}", TRANSPORT, "no reply"
    ),
    "leaves a child behind": Bad(
        "subprocess.Popen(['sh', '-c', 'echo $$ >> pids; exec sleep 60'])\ndef poll(id, params): os._exit(1)",
        TRANSPORT,
        "exit 1",
    ),
    "forks twice": Bad(
        "subprocess.run(['sh', '-c', '(setsid sh -c \"echo \\\\$\\\\$ >> pids; exec sleep 60\" &)'])\n"
        "while len(open('pids').read().split()) < 2: time.sleep(0.01)\n"
        "def poll(id, params): os._exit(1)",
        TRANSPORT,
        "exit 1",
    ),
    # P15: a line without end
    "says 100 MB in a line": Bad(
        "def poll(id, params):\n    for _ in range(100): say(b'x' * 1_000_000)", TRANSPORT, "more than 16777216 bytes"
    ),
}
