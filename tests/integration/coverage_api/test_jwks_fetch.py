"""Fetching public keys from a client's server: https only, from listed addresses, bounded, no detours."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.coverage_api.bootstrap import build
from services.coverage_api.jwks_fetch import JwksFetcher, JwksUnavailable
from tests.api_service import Api, settings_for
from tests.certificates import make_certificate
from tests.signing import add_signer, ask, assertion, jwk_set, signing_key

KEY = signing_key()


@dataclass(slots=True, kw_only=True)
class Site:
    """A client's https server and what it was asked for."""

    url: str
    ca_file: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a JWK Set, a redirect to it, a page, too much, and answers that never end."""
    ca_file, context = make_certificate(tmp_path_factory.mktemp("jwks"))
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            document = jwk_set(KEY).encode()
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", f"{made.url}/jwks.json")
                self.end_headers()
                return
            self.send_response(200 if self.path != "/missing" else 404)
            if self.path == "/jwks.json":
                self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            bodies = {"/large": b"x" * 100_000, "/jwks.json": document}
            self.wfile.write(bodies.get(self.path, b""))
            while self.path == "/dribbling" and not over.wait(0.1):
                self.wfile.write(b" ")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A caller that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made = Site(url=f"https://127.0.0.1:{server.server_port}", ca_file=ca_file)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def fetcher(site: Site, *, private_allowed: bool = True, seconds: float = 5.0) -> JwksFetcher:
    """A fetcher that may go anywhere on the site."""
    return JwksFetcher(
        [f"{site.url}/"], private_allowed=private_allowed, ca_file=site.ca_file, fetch_seconds=seconds
    )


def test_set_is_fetched(site: Site) -> None:
    """The document comes as it is served, over a connection whose certificate was checked."""
    assert fetcher(site).fetch(f"{site.url}/jwks.json") == jwk_set(KEY)


@pytest.mark.parametrize("path", ["/moved", "/missing", "/large"])
def test_anything_but_a_small_answer_is_refused(site: Site, path: str) -> None:
    """A redirect is not followed, and nothing is read beyond the bound."""
    site.asked.clear()
    with pytest.raises(JwksUnavailable):
        fetcher(site).fetch(f"{site.url}{path}")
    assert site.asked == [path]


def test_answer_that_never_ends_is_given_up(site: Site) -> None:
    """A byte now and then does not keep the caller waiting: the time is for the whole answer."""
    began = time.monotonic()
    with pytest.raises(JwksUnavailable):
        fetcher(site, seconds=0.5).fetch(f"{site.url}/dribbling")
    assert time.monotonic() - began < 2.5


def test_nothing_is_asked_where_it_must_not(site: Site) -> None:
    """Not on the list, a host of this machine or network, or a certificate nobody vouches for."""
    site.asked.clear()
    url = f"{site.url}/jwks.json"
    refusing: list[Callable[[], str]] = [
        lambda: JwksFetcher([], private_allowed=True, ca_file=site.ca_file).fetch(url),
        lambda: fetcher(site, private_allowed=False).fetch(url),
        lambda: JwksFetcher([url], private_allowed=True).fetch(url),
        lambda: fetcher(site).fetch(url.replace("https", "http")),
    ]
    for fetch in refusing:
        with pytest.raises(JwksUnavailable):
            fetch()
    assert site.asked == []


@pytest.mark.parametrize("host", ["10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_addresses_inside_are_not_called(host: str) -> None:
    """Private, link-local, loopback and mapped addresses are refused before any connection."""
    url = f"https://{host}/jwks.json"
    with pytest.raises(JwksUnavailable, match="not on the public internet"):
        JwksFetcher([url]).fetch(url)


def test_token_is_given_for_keys_behind_an_address(bare_api: Api, redis_url: str, site: Site) -> None:
    """The whole way: the assertion names a key, which is fetched from the listed address."""
    url = f"{site.url}/jwks.json"
    settings = settings_for(
        bare_api.installation.database_url,
        redis_url,
        jwks_urls_allowed=(url,),
        jwks_private_allowed=True,
        jwks_ca_file=site.ca_file,
    )
    service = build(settings)
    api = Api(service, bare_api.installation)
    add_signer(api, "by-address", url=url, role="ops")
    add_signer(api, "elsewhere", url=f"{site.url}/other.json", role="ops")
    assert ask(api, assertion("by-address", KEY)).status_code == 200
    assert ask(api, assertion("by-address", KEY, header={"jku": url})).status_code == 200
    assert ask(api, assertion("by-address", KEY, header={"kid": "unknown"})).status_code == 401
    site.asked.clear()
    assert ask(api, assertion("elsewhere", KEY)).status_code == 401
    assert site.asked == []
    service.close()


def test_no_context_without_verification(site: Site) -> None:
    """Certificates and host names are always checked."""
    tls = fetcher(site)._tls
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
