"""The conversation of a session as its page shows it: what was said, asked and answered, in order, and what each of it changed."""
from typing import Any

from hitl.card import diff_in_words
from hitl.card.coverage import LABELS
from hitl.drafting import conversation
from hitl.drafting import draft as drafting
from hitl.drafting.drafters.model import ModelDrafter
from hitl.pages.card_facts import Typed
from hitl.web.context import swarm, tenant


def talk(found: dict[str, Any], kept: Typed | None = None) -> dict[str, Any]:
    """found: session_view's dict. -> {"entries": [{kind: idea, said, asked, …}] in order, "open": the question that waits or None,
    "assumed": [questions], "progress": '2 of at most 5', "answers": how many, "coverage"}. Raises NotFound."""
    view = conversation.conversation_view(swarm().db, tenant(), found["id"])
    asked = [_question(each, kept) for each in view["questions"]]
    entries = [{"kind": "idea", "text": found["description"], "at": found["created_at"]}] if found["description"].strip() else []
    entries += [{"kind": "said", "text": each["body"], "at": each["created_at"], **_changed(each)} for each in view["messages"]]
    entries += [{"kind": "asked", "at": each["created_at"], "question": each} for each in asked if each["state"] != "open"]
    entries.sort(key=lambda each: str(each["at"]))
    waiting = next((each for each in asked if each["state"] == "open"), None)
    return {"entries": entries, "open": waiting, "assumed": [each for each in asked if each["state"] == "assumed"],
            "answers": sum(each["state"] in ("answered", "assumed") for each in asked), "most": view["most"],
            "progress": f"Question {waiting['number']} of at most {view['most']}" if waiting else "", "coverage": view["coverage"],
            "begun": bool(view["messages"] or asked), "ended": not waiting and bool(asked)}


def _question(each: dict[str, Any], kept: Typed | None) -> dict[str, Any]:
    """With its topic in words, what it changed, and what was typed as its answer and not accepted."""
    mine = kept is not None and kept.what == "answer" and kept.place == str(each["number"])
    return {**each, **_changed(each), "label": LABELS.get(each["topic"], each["topic"]),
            "typed": kept.values["text"] if kept and mine else "", "problems": kept.rest if kept and mine else []}


def _changed(each: dict[str, Any]) -> dict[str, Any]:
    """changed: one line, '' where it changed nothing; compare: the versions to look at."""
    changes = each["changes"]
    return {"changed": diff_in_words.summary(changes) if changes else "", "from": each["from_version"], "to": each["to_version"]}


def drafters() -> dict[str, Any]:
    """{"names": those that can be chosen, best first, "used": what auto takes, "model": its name or why there is none}."""
    config = swarm().config
    why_not = ModelDrafter(config).why_not()
    used = drafting.choose(config).name
    return {"names": ["model", "template"] if used == "model" else ["template"], "used": used, "model": config.model, "why_not": why_not or ""}
