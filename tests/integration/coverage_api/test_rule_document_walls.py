"""Who may load which rule document, and what an admin of one payer can find out about another's."""

from __future__ import annotations

import pytest

from tests.api_service import Api, Json

OWN = "medica-central"


def document(payer_id: str, authority: str = "payer_policy") -> Json:
    """A policy of one payer."""
    return {
        "title": "A policy",
        "authority": authority,
        "source": {"citation": "a page"},
        "effective": {"from": "2025-01-01"},
        "applies_to": [{"payers": [payer_id]}],
        "rules": [{"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}],
    }


@pytest.fixture
def key(bare_api: Api) -> str:
    """The key of an admin of one payer."""
    return bare_api.installation.key("admin", OWN)


def test_law_needs_an_admin_of_all_payers(bare_api: Api, key: str) -> None:
    """Also one that speaks of the admin's own payer alone."""
    path = f"/v1/rule-documents/{OWN}-law/versions/1"
    assert bare_api.put(path, document(OWN, "law"), key=key).status_code == 403
    assert bare_api.put(path, document(OWN, "law")).status_code == 201


def test_own_documents_are_named_after_the_payer(bare_api: Api, key: str) -> None:
    """A new document under the payer's name is loaded, and so is a new version of one that is there."""
    for version in (1, 2):
        path = f"/v1/rule-documents/{OWN}-policy/versions/{version}"
        assert bare_api.put(path, document(OWN), key=key).status_code == 201
    packaged = "/v1/rule-documents/medica-central-mp9672/versions/9"
    assert bare_api.put(packaged, document(OWN), key=key).status_code == 201


def test_taken_name_of_another_payer_looks_like_a_free_one(bare_api: Api, key: str) -> None:
    """Another payer's document cannot be told apart from one that does not exist."""
    assert bare_api.put("/v1/rule-documents/theirs/versions/1", document("aetna")).status_code == 201
    taken = bare_api.put("/v1/rule-documents/theirs/versions/1", document(OWN), key=key)
    next_one = bare_api.put("/v1/rule-documents/theirs/versions/2", document(OWN), key=key)
    free = bare_api.put("/v1/rule-documents/nobodys/versions/1", document(OWN), key=key)
    assert taken.status_code == next_one.status_code == free.status_code == 422
    assert taken.get_json()["errors"] == next_one.get_json()["errors"] == free.get_json()["errors"]


def test_another_payers_document_cannot_be_superseded(bare_api: Api, key: str) -> None:
    """A later version of another payer's document, naming one's own payer, changes nothing for the other."""
    path = "/v1/rule-documents/shp-dry-needling-employer/versions/9"
    assert bare_api.put(path, document(OWN), key=key).status_code == 422
    running = bare_api.installation.rows("select version from catalog")
    assert bare_api.put(path, {**document(OWN), "withdrawn": True}, key=key).status_code == 422
    assert bare_api.installation.rows("select version from catalog") == running
