"""What many determinations say word for word is stored once, and each is read again as it was given."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest

from tests.api_service import Api, check, event

_TEXTS = "select count(*) from determination_text"


def _made(api: Api, **changes: Any) -> tuple[str, bytes]:
    """The id of an answer, and its body."""
    answer = api.post("/v1/eligibility-checks", check(**changes))
    assert answer.status_code == 201
    return answer.get_json()["check_id"], answer.data


def test_answers_that_say_the_same_share_a_text(api: Api) -> None:
    """Two of them are two rows and one text; a third that says something else has its own."""
    made = [_made(api), _made(api)]
    assert api.installation.rows(_TEXTS) == [(1,)]
    made.append(_made(api, lines=[{"procedure_code": "20561"}]))
    assert api.installation.rows(_TEXTS) == [(2,)]
    for check_id, body in made:
        assert api.get(f"/v1/eligibility-checks/{check_id}").data == body
    for change in ("update determination_text set text = ''", "delete from determination_text"):
        with pytest.raises(psycopg.errors.RaiseException, match="not changed"):
            api.installation.write(change)


def test_answers_that_differ_in_how_many_events_wait_share_a_text(api: Api) -> None:
    """Each is read as it was given, also once the events were counted."""
    made = [_made(api)]
    for number in range(1, 12):
        api.post("/v1/visit-events", event(number))
        if number in {1, 11}:
            made.append(_made(api))
    assert api.installation.rows(_TEXTS) == [(1,)]
    waiting = [orjson.loads(body)["accumulators"][0]["pending_events"] for _, body in made]
    assert waiting == [0, 1, 11]
    api.installation.drain()
    for check_id, body in made:
        assert api.get(f"/v1/eligibility-checks/{check_id}").data == body


def test_answer_from_before_texts_were_shared_is_read_as_it_was(api: Api) -> None:
    """One that was stored whole is given again byte for byte, also as a confirmation."""
    check_id, body = _made(api)
    api.installation.write(
        "update determination set opening = null, said = null, body = %s::json", body.decode()
    )
    path = f"/v1/eligibility-checks/{check_id}"
    assert api.get(path).data == body
    assert check_id in api.get(path, headers={"Accept": "text/html"}).text


def test_answer_whose_text_is_not_there_is_not_given(api: Api) -> None:
    """Where a text is gone that the process saw stored, as after a restore, nothing is stored; then it is."""
    first, _ = _made(api)
    api.installation.write("alter table determination_text disable trigger all")
    api.installation.write("delete from determination_text")
    assert api.post("/v1/eligibility-checks", check()).status_code == 503
    assert api.installation.rows("select check_id from determination") == [(first,)]
    check_id, body = _made(api)
    assert api.get(f"/v1/eligibility-checks/{check_id}").data == body
