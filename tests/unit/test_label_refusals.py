"""What the labeling server refuses: nonsense, strangers, other sites, and an address that is not to be had."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from label_room import HOME, SECRET, TOKEN, Room, join

from bench import cli


@pytest.mark.parametrize(
    ("path", "body", "code", "says"),
    [
        ("/api/join", {"name": "", "secret": SECRET}, 400, "at least 1 character"),
        ("/api/join", {"name": "a" * 41, "secret": SECRET}, 400, "at most 40 characters"),
        ("/api/join", {"name": " ", "secret": SECRET}, 400, "1 to 40 characters"),
        ("/api/join", {"name": "ada", "admin": True, "secret": SECRET}, 400, "unknown key"),
        ("/api/next", {"person": 99, "secret": SECRET}, 404, "load the page again"),
        ("/api/next", {"person": -1, "secret": SECRET}, 400, "greater than or equal to 0"),
        ("/api/undo", {"person": 99, "secret": SECRET}, 404, "load the page again"),
        ("/api/answer", {"nonce": "never-shown", "answer": "left", "seconds": 1}, 404, "never shown"),
        ("/api/answer", {"nonce": "../../etc/passwd", "answer": "left", "seconds": 1}, 400, "pattern"),
        ("/api/answer", {"nonce": "x", "answer": "both", "seconds": 1}, 400, "'left', 'right', 'equal' or 'skip'"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": -1}, 400, "greater than or equal to 0"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": "NaN"}, 400, "finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(page: TestClient, path: str, body: Any, code: int, says: str) -> None:
    answer = page.post(path, json=body)
    assert answer.status_code == code and says in answer.text


def test_an_answer_from_the_future_is_refused(page: TestClient) -> None:
    question = page.post("/api/next", json=join(page)).json()
    answer = page.post("/api/answer", json={"nonce": question["nonce"], "answer": "left", "seconds": 3600})
    assert answer.status_code == 400 and "not a time" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/clips/99/left.mp4",
        "/clips/0/top.mp4",
        "/clips/-1/left.mp4",
        "/clips/..%2f..%2fetc/left.mp4",
        "/clips/agent.mp4",
    ],
)
def test_no_path_reaches_a_file(page: TestClient, path: str) -> None:
    assert page.get(path).status_code in (400, 404)


@pytest.mark.parametrize("path", ["/..%2fserver.py", "/page.js%00", "/page/page.html", "/docs", "/redoc"])
def test_there_is_nothing_else(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


def test_a_body_of_a_hundred_megabytes_is_not_read(page: TestClient) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 1
            yield b" " * 65536

    answer = page.post("/api/join", content=body(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_names_that_lead_here_and_other_sites_are_refused(page: TestClient) -> None:
    assert page.get("/api/progress", headers={"host": "evil.example"}).status_code == 403
    assert (
        page.post(
            "/api/join", json={"name": "a", "secret": SECRET}, headers={"origin": "http://evil.example"}
        ).status_code
        == 403
    )
    assert page.post("/api/join", json={"name": "a", "secret": SECRET}, headers={"origin": HOME}).status_code == 200
    assert page.post("/api/join", content='{"name": "a"}', headers={"content-type": "text/plain"}).status_code == 400


@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"cookie": "prefrl-token=wrong"}])
def test_without_the_token_there_is_no_page(room: Room, given: dict[str, str]) -> None:
    page = room.page(TOKEN)
    for path in ("/", "/api/progress", "/clips/0/left.mp4", "/openapi.json"):
        answer = page.get(path, headers=given)
        assert answer.status_code == 401 and "the address that the command printed" in answer.json()["detail"]
    assert page.get("/?token=wr\u00f6ng").status_code == 401


def test_the_token_moves_from_the_address_into_a_cookie(room: Room) -> None:
    page = room.page(TOKEN)
    page.cookies.set("prefrl-token-of-another-page", "x")  # a browser sends the cookies of all ports of a host
    first = page.get(f"/?token={TOKEN}", follow_redirects=False)
    assert first.status_code == 303 and first.headers["location"] == "/"
    assert all(word in first.headers["set-cookie"] for word in ("HttpOnly", "SameSite=lax"))
    assert page.get("/").status_code == 200
    assert room.page(TOKEN).get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_refusal_is_logged_once(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    page = room.page(TOKEN)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            page.get("/")
    assert [record.message for record in caplog.records if "token" in record.message] == [
        "refused: a wrong token, or none: open the address that the command printed"
    ]


def test_nobody_undoes_or_takes_the_name_of_another(page: TestClient) -> None:
    ada = join(page)
    question = page.post("/api/next", json=ada).json()
    page.post("/api/answer", json={"nonce": question["nonce"], "answer": "left", "seconds": 0})
    thief = {**ada, "secret": "another-secret-entirely"}
    assert page.post("/api/undo", json=thief).status_code == 403
    assert page.post("/api/next", json=thief).status_code == 403
    taken = page.post("/api/join", json={"name": "ada", "secret": thief["secret"]})
    assert taken.status_code == 409 and "somebody else has this name" in taken.json()["detail"]
    assert join(page) == ada and page.post("/api/undo", json=ada).json()["question"] == question["question"]


def test_people_are_limited_and_their_secrets_are_not_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.answers.ledger.MOST_PEOPLE", 2)
    page = room.page()
    codes = [page.post("/api/join", json={"name": name, "secret": SECRET}).status_code for name in ("a", "b", "c", "a")]
    assert codes == [200, 200, 429, 200]
    assert SECRET not in str([tuple(row) for row in room.ledger.rows("SELECT * FROM secrets")])


@pytest.mark.parametrize(
    ("path", "content", "headers"),
    [
        ("/api/join", b'{"name": "\\ud800", "secret": "a-secret-of-my-browser"}', {}),
        ("/api/join", b'{"name": NaN}', {}),
        ("/api/join", b"[" * 4000, {}),
        ("/api/join", b"\xff\xfe", {}),
        ("/api/next", b'{"person": 1e400, "secret": "a-secret-of-my-browser"}', {}),
        ("/api/next", b'{"person": ' + b"9" * 3000 + b"}", {}),
        ("/api/answer", b'{"nonce": "x", "answer": "left", "seconds": Infinity}', {}),
        ("/api/join", b"{}", {"origin": "http://[::1"}),
        ("/api/join", b"{}", {"host": "[::1"}),
        ("/api/join", b"{}", {"host": "[x]:80"}),
    ],
)
def test_what_is_malformed_is_400_with_the_usual_headers(
    page: TestClient, path: str, content: bytes, headers: dict[str, str]
) -> None:
    answer = page.post(path, content=content, headers={"content-type": "application/json", **headers})
    assert answer.status_code == 400 and isinstance(answer.json()["detail"], str)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("person", ["NaN", "1e9", "9" * 400, "-1", "%00", "%ff", "²"])
def test_a_number_that_is_none_is_400(page: TestClient, person: str) -> None:
    assert page.get(f"/api/progress?person={person}").status_code == 400
    assert page.get(f"/clips/{person}/left.mp4").status_code in (400, 404)


def test_an_address_that_is_not_to_be_had_leaves_no_run_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for option in (["--host", "203.0.113.1"], ["--port", str(taken.getsockname()[1])]):
            assert cli.main(["label", "mujoco/reacher", "--out", str(tmp_path / "runs"), "--no-open", *option]) == 2
            assert "cannot be listened on" in capsys.readouterr().err
            assert not (tmp_path / "runs").exists()
