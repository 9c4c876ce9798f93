"""Whatever is wrong with a request, the answer is the problem that the contract names; nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Response

from tests.api_service import Api, check, event
from tests.builders import MEMBER, PAYER


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    """The problem document of an answer, looked at for what every one has."""
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    document: dict[str, Any] = answer.get_json(force=True)
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" not in answer.text
    return document


BAD_BODIES = [
    (b"{", 400, "malformed_json"),
    (b"", 400, "malformed_json"),
    (b'{"payer_id": NaN}', 400, "malformed_json"),
    (b'{"payer_id": "a", "payer_id": "b"}', 400, "malformed_json"),
    (b"[" * 5_000, 400, "malformed_json"),
    (b"[]", 422, "invalid_request"),
    (b"5", 422, "invalid_request"),
    (b"null", 422, "invalid_request"),
    (b"{}", 422, "invalid_request"),
    (b'{"payer_id": 5}', 422, "invalid_request"),
    (b'{"payer_id": null}', 422, "invalid_request"),
    (b'{"payer_id": "nobody"}', 404, "payer_not_found"),
    (b'{"payer_id": "a,b"}', 404, "payer_not_found"),
    (b'{"payer_id": "*"}', 404, "payer_not_found"),
    (b'{"payer_id": "\\u0000"}', 404, "payer_not_found"),
]


@pytest.mark.parametrize(("body", "status", "slug"), BAD_BODIES)
@pytest.mark.parametrize("path", ["/v1/eligibility-checks", "/v1/visit-events", "/v1/holds"])
def test_bad_body_is_a_problem(steady_api: Api, path: str, body: bytes, status: int, slug: str) -> None:
    """Each way of being wrong has its own status, on every call that takes a body."""
    problem(steady_api.post(path, data=body), status, slug)


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"service_date": "2026-03-04T00:00:00"}, "/service_date"),
    ({"service_date": "2026-12-31T23:30-08:00"}, "/service_date"),
    ({"service_date": 20260304}, "/service_date"),
    ({"lines": [{"procedure_code": "20560", "quantity": "3"}]}, "/lines/0/quantity"),
    ({"lines": [{"procedure_code": "20560", "quantity": True}]}, "/lines/0/quantity"),
    ({"lines": [{"procedure_code": "20560", "quantity": 1.0}]}, "/lines/0/quantity"),
    ({"lines": [{"procedure_code": "20560", "quantity": 0}]}, "/lines/0/quantity"),
    ({"lines": [{"procedure_code": 20560}]}, "/lines/0/procedure_code"),
    ({"lines": []}, "/lines"),
    ({"lines": {}}, "/lines"),
    ({"lines": [{"procedure_code": "20560"}] * 51}, "/lines"),
    ({"member_id": ""}, "/member_id"),
    ({"member_id": "x" * 201}, "/member_id"),
    ({"member_id": "a\u0000b"}, "/member_id"),
    ({"state": "Wisconsin"}, "/state"),
    ({"network": "maybe"}, "/network"),
    ({"clinical": {"improving": "yes"}}, "/clinical/improving"),
    ({"clinical": {"related_to": ["weather"]}}, "/clinical/related_to/0"),
    ({"provider": {"npi": "12"}}, "/provider/npi"),
    ({"authorization": {}}, "/authorization/number"),
    ({"favourite_colour": "red"}, "/favourite_colour"),
]


@pytest.mark.parametrize(("changes", "pointer"), WRONG_FIELDS)
def test_wrong_field_is_pointed_at_and_nothing_is_stored(
    steady_api: Api, changes: dict[str, Any], pointer: str
) -> None:
    """Checks and events name the field at fault, and leave no trace."""
    kept = "select (select count(*) from determination), (select count(*) from visit_event)"
    before = steady_api.installation.rows(kept)
    for path, body in (("/v1/eligibility-checks", check()), ("/v1/visit-events", event(1))):
        document = problem(steady_api.post(path, {**body, **changes}), 422, "invalid_request")
        assert [fault["pointer"] for fault in document["errors"]] == [pointer]
    assert steady_api.installation.rows(kept) == before


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "", "application/json; charset=latin-1"]
)
def test_other_media_types_are_not_read(steady_api: Api, content_type: str) -> None:
    """Only JSON in UTF-8 is JSON here."""
    answer = steady_api.post("/v1/eligibility-checks", data=b"{}", content_type=content_type)
    problem(answer, 415, "unsupported_media_type")


def test_compressed_bodies_are_not_read(steady_api: Api) -> None:
    """A small body that grows when it is unpacked would get round the bounds."""
    answer = steady_api.post("/v1/visit-events", data=b"{}", headers={"Content-Encoding": "gzip"})
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/v1/visit-events", 10_000_000),
        ("/v1/visit-events", 256 * 1024 + 1),
        ("/v1/visit-events/batch", 10_000_000),
        ("/v1/eligibility-checks", 10_000_000),
        ("/v1/eligibility-checks/batch", 4 * 1024 * 1024 + 1),
    ],
)
def test_large_bodies_are_refused(steady_api: Api, path: str, size: int) -> None:
    """A body beyond its bound is 413, whatever it holds."""
    problem(steady_api.post(path, data=b" " * size), 413, "body_too_large")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        "Bearer nck_aaaaaaaaaaaaaaaa_" + "a" * 52,
        "bearer nck_" + "\u00e4" * 10,
    ],
)
def test_bad_key_is_unauthenticated(steady_api: Api, header: str | None) -> None:
    """No key, no key of ours, or one that nobody has: all the same 401; without Bearer it says how."""
    headers = {} if header is None else {"Authorization": header.encode().decode("latin-1")}
    answer = steady_api.post("/v1/eligibility-checks", check(), key="", headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="needlecap"'
    is_bearer = (header or "").lower().startswith("bearer")
    expected = "The request carries no key that opens anything."
    if not is_bearer:
        expected = "A key is expected in the header Authorization, as: Bearer KEY."
    assert answer.get_json(force=True)["detail"] == expected


def test_key_with_another_secret_is_unauthenticated(steady_api: Api) -> None:
    """The prefix of a key finds its client; only the whole key speaks for it."""
    key = steady_api.installation.key("ehr")
    forged = key[:-1] + ("a" if key[-1] != "a" else "b")
    problem(steady_api.post("/v1/eligibility-checks", check(), key=forged), 401, "unauthenticated")


def test_checks_come_in_the_contracts_order(steady_api: Api) -> None:
    """Key before role, role before payer, payer before the rest of the body."""
    bad = {"payer_id": "nobody", "unknown": 1}
    problem(steady_api.post("/v1/eligibility-checks", bad, key=""), 401, "unauthenticated")
    refused = steady_api.post("/v1/eligibility-checks", bad, role="ops")
    assert "for ehr, portal; this client's role is ops" in problem(refused, 403, "forbidden")["detail"]
    problem(steady_api.post("/v1/eligibility-checks", data=b"{", role="ops"), 403, "forbidden")
    problem(steady_api.post("/v1/eligibility-checks", bad), 404, "payer_not_found")
    problem(steady_api.post("/v1/eligibility-checks", {**bad, "payer_id": PAYER}), 422, "invalid_request")


def test_unknown_address_is_not_found(steady_api: Api) -> None:
    """An address that nothing answers is a problem too."""
    for path in ("/v1/nothing", "/v1", "/v1/visit-events/", "/v2/eligibility-checks"):
        problem(steady_api.get(path), 404, "not_found")


def test_wrong_method_says_which_is_right(steady_api: Api) -> None:
    """405 with the methods that are answered."""
    for method in ("DELETE", "PATCH", "OPTIONS", "GET"):
        answer = steady_api.call(method, "/v1/visit-events")
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == "POST"


def test_request_id_is_the_callers_if_it_is_well_formed(steady_api: Api) -> None:
    """A caller can find its request again; what is no id is replaced."""
    given = steady_api.get("/healthz", headers={"X-Request-ID": "abc-123.DEF"})
    assert given.headers["X-Request-ID"] == "abc-123.DEF"
    for bad in ("", "a b", "x" * 101, '"quoted"'):
        made = steady_api.get("/healthz", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert made != bad
        assert len(made) == 32


def test_bug_is_a_problem_without_its_text(bare_api: Api) -> None:
    """A failure that nobody foresaw shows neither trace nor data, only the id to look for."""
    bare_api.installation.write("alter table determination rename to gone")
    answer = bare_api.post("/v1/eligibility-checks", check())
    document = problem(answer, 500, "internal")
    assert MEMBER not in answer.text
    assert "gone" not in document["detail"]


def test_bug_in_what_looks_at_every_answer_is_a_problem(api: Api) -> None:
    """Also where the call is answered later, as it is once its key is known."""
    assert api.post("/v1/eligibility-checks", check()).status_code == 201
    failures = [ValueError("bug"), ValueError("bug")]

    def fail_at_first(response: Response) -> Response:
        if len(failures) > 1:
            raise failures.pop()
        return response

    api.service.app.after_request_funcs[None].append(fail_at_first)
    problem(api.post("/v1/eligibility-checks", check()), 500, "internal")
    assert len(failures) == 1


def test_every_answer_carries_the_headers_of_a_careful_service(steady_api: Api) -> None:
    """No sniffing, no storing of what is about people, no framing."""
    answer = steady_api.get("/v1/status", role="ops")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
