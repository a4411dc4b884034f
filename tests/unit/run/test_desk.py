"""The desk and the run: what is reused, what is kept, and what the journal holds, in a real workspace."""

from __future__ import annotations

import json

import pytest
from workshop import AddingEngine, Workshop, declare, target

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, canonical, sha256
from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.core.event import Domain, RunCompleted, RunStarted, StateCompleted, StateEntered
from flowbuild.engine.engine import Io, Performance
from flowbuild.store.cas import Cas
from flowbuild.store.journal import read
from flowbuild.store.memo import Memo
from flowbuild.testing import ScriptedEngine


@pytest.fixture
def words(workshop: Workshop) -> Workshop:
    return workshop.words()


def journals(space: Workshop) -> list[list[str]]:
    """What each run's journal names, in order: kernel variants and domain names."""
    paths = sorted((space.root / ".flowbuild/runs").glob("*/journal.jsonl"))
    return [[name(one["event"]) for one in read(path)] for path in paths]


def name(event: dict[str, dict[str, str]]) -> str:
    return event["Domain"]["name"] if "Domain" in event else next(iter(event["Kernel"]))


def test_the_journal_of_one_state(words: Workshop) -> None:
    words.make("//words:sorted")
    attempt = ["StateEntered", "action_bound", "artifact_written", "outcome_recorded", "StateCompleted"]
    assert journals(words) == [["RunStarted", *attempt, "RunCompleted"]]


def test_the_events_of_the_examples(words: Workshop) -> None:
    made = words.make("//words:sorted", "--json").events
    started, entered, bound, written, recorded, completed = made
    state = "words_sorted_c5b9b751.main.command"
    assert isinstance(started, RunStarted)
    assert (started.op_id, started.initial_snapshot_id) == ("words_sorted_c5b9b751", EMPTY_CONTEXT)
    assert entered == StateEntered(state, 0, EMPTY_CONTEXT)
    assert isinstance(bound, Domain)
    key, digest = bound.payload["action"], sha256(b"//words:sorted")
    assert bound == Domain("action_bound", {"action": key, "label": "//words:sorted", "state_id": state})
    artifact = {"executable": False, "path": "", "sha256": digest, "size": 14}
    payload = {"artifact": artifact, "artifact_id": digest, "name": "sorted", "state_id": state}
    assert written == Domain("artifact_written", payload)
    assert recorded == Domain("outcome_recorded", {"action": key, "outputs": {"sorted": digest}, "state_id": state})
    assert completed == StateCompleted(state, EMPTY_CONTEXT)


def test_a_reused_state_names_the_run_that_performed_it(words: Workshop) -> None:
    words.make("//words:sorted")
    (run,) = (words.root / ".flowbuild/runs").iterdir()
    made = words.make("//words:sorted", "--json").events
    (reused,) = [event for event in made if isinstance(event, Domain)]
    assert (reused.name, reused.payload["performed_in"]) == ("reused", run.name)


def test_a_build_that_performs_nothing_leaves_nothing(words: Workshop) -> None:
    words.make("//words")
    words.make("//words")
    assert len(journals(words)) == 1


def test_documents_and_listings_are_kept(words: Workshop) -> None:
    words.make("//words")
    cas = Cas(words.root / ".flowbuild/cas")
    journal = next((words.root / ".flowbuild/runs").glob("*/journal.jsonl"))
    bound = [one["event"]["Domain"] for one in read(journal) if name(one["event"]) == "action_bound"]
    docs = [json.loads(cas.read(one["payload"]["action"])) for one in bound]
    assert [sha256(canonical(doc)) for doc in docs] == [one["payload"]["action"] for one in bound]
    assert [row["path"] for row in json.loads(cas.read(docs[1]["inputs"]["texts"]["listing"]))] == ["words/texts/a.txt"]


def test_a_document_holds_no_path_time_or_run(words: Workshop) -> None:
    words.make("//words")
    cas = Cas(words.root / ".flowbuild/cas")
    (run,) = (words.root / ".flowbuild/runs").iterdir()
    texts = [cas.read(digest).decode() for digest in cas]
    docs = [text for text in texts if "flowbuild.action.v1" in text]
    assert len(docs) == 3
    for text in docs:
        assert str(words.root) not in text
        assert run.name not in text
        assert "/" + words.root.name not in text


def test_two_checkouts_have_the_same_keys(words: Workshop, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Workshop(tmp_path_factory.mktemp("elsewhere") / "checkout").words()
    keys = [[one.key for one in verdicts(space)] for space in (words, other)]
    assert keys[0] == keys[1]
    assert None not in keys[0]


def verdicts(space: Workshop) -> list[Domain]:
    """A state's key is known once what it needs was made."""
    space.make("//words")
    return space.verdicts("//words")  # type: ignore[return-value]


def test_live_performs_all_and_remembers(words: Workshop) -> None:
    words.make("//words")
    assert len(words.make("//words", "--policy", "live").performed) == 3
    assert words.make("//words").performed == []


def test_force_performs_one_and_its_record_wins(words: Workshop) -> None:
    words.make("//words")
    words.engine = lambda: ScriptedEngine({"//words:sorted": "forced"})
    assert words.make("//words:sorted", "--force", "//words:sorted").performed == ["//words:sorted"]
    assert words.make("//words:sorted").performed == []
    assert words.read("out/bin/words/sorted/sorted.txt") == "forced"


def test_a_record_whose_output_is_lost_is_replaced(words: Workshop) -> None:
    words.make("//words:sorted")
    cas = Cas(words.root / ".flowbuild/cas")
    cas.discard(sha256(b"//words:sorted"))
    assert words.make("//words:sorted").performed == ["//words:sorted"]
    assert words.make("//words:sorted").performed == []


def test_a_failure_is_not_remembered(words: Workshop) -> None:
    words.engine = lambda: ScriptedEngine({"//words:sorted": ErrorInfo("x", "broken")})
    assert words.make("//words:sorted").code == 1
    assert not (words.root / ".flowbuild/memo").exists() or not list(Memo(words.root / ".flowbuild/memo").records())
    words.engine = ScriptedEngine
    assert words.make("//words:sorted").performed == ["//words:sorted"]


class Anew(ScriptedEngine):
    """Asks for its results to be found anew."""

    def perform(self, action: Action, io: Io) -> Performance:
        outcome = yield from super().perform(action, io)
        return Outcome(outcome.outputs, remember=False)


def test_what_asks_to_be_found_anew_is(words: Workshop) -> None:
    words.engine = Anew
    first = words.make("//words:sorted")
    assert "found anew; its result is not remembered" in first.out
    assert words.make("//words:sorted").performed == ["//words:sorted"]


class Meddling(AddingEngine):
    """Edits its own input while it runs, as people do."""

    def perform(self, action: Action, io: Io) -> Performance:
        outcome = yield from super().perform(action, io)
        (io.workspace / "f.txt").write_text("7\n")
        return outcome


def test_what_moved_meanwhile_is_not_remembered(workshop: Workshop) -> None:
    workshop.write("f.txt", "1\n")
    command = "add ${{ inputs.f }} ${{ outputs.o }}"
    workshop.write("BUILD.yaml", declare({"t": target(command, inputs={"f": "f.txt"})}))
    workshop.engine = Meddling
    assert "warning //:t: f.txt changed while it ran" in workshop.make("//:t").out
    workshop.engine = AddingEngine
    assert workshop.make("//:t").performed == ["//:t"]


def test_a_step_kind_that_the_engine_lacks(words: Workshop) -> None:
    words.engine = lambda: ScriptedEngine(step_kinds=("python",))
    with pytest.raises(CapabilitiesMismatch, match=r"engine scripted has no step kind 'exec' \(//words:sorted\)"):
        words.make("//words")


def test_another_engine_is_another_key(words: Workshop) -> None:
    words.make("//words:sorted")
    words.engine = lambda: ScriptedEngine(step_kinds=("exec",))
    assert words.make("//words:sorted").performed == ["//words:sorted"]


@pytest.mark.parametrize(("script", "status"), [({}, "Completed"), ({"//words:sorted": ErrorInfo("x", "m")}, "Failed")])
def test_the_last_event(words: Workshop, script: dict[str, ErrorInfo], status: str) -> None:
    words.engine = lambda: ScriptedEngine(script)
    words.make("//words")
    journal = next((words.root / ".flowbuild/runs").glob("*/journal.jsonl"))
    *_, last = read(journal)
    assert last["event"] == {"Kernel": {"RunCompleted": RunCompleted(status, EMPTY_CONTEXT)._asdict()}}


def test_stages_are_removed_unless_something_failed(words: Workshop) -> None:
    words.make("//words:sorted")
    (run,) = (words.root / ".flowbuild/runs").iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["journal.jsonl"]
