"""What is said where a model is not where it should be; and that nobody waits for a hub that does not answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.engine import Engine, sources
from inpaint_transform.engine.sources import check_place, hub_answers, hub_options, read_config


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "_asked", None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


CODES = {"gated": (403, "GatedRepo"), "secret": (401, "RepoNotFound"), "empty": (404, "EntryNotFound")}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does; by the name of the repository."""

    asked: list[str]

    def do_HEAD(self) -> None:
        type(self).asked.append(self.path)
        code, said = (200, "") if self.path == "/" else CODES[self.path.split("/")[2]]
        self.send_response(code)
        if said:
            self.send_header("X-Error-Code", said)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that a stand-in for the hub was asked for."""
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield Hub.asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("somebody/gated", r"this model is gated.*/somebody/gated.*hf auth login"),
        ("somebody/secret", r"knows no such model.*spelling.*hf auth login"),
        ("somebody/empty", r"not in the layout"),
    ],
)
def test_what_the_hub_answers_is_said_with_the_mend(name: str, words: str, hub: list[str]) -> None:
    with pytest.raises(InpaintError, match=f"id='{name}': .*{words}"):
        read_config("id", name, "model_index.json")
    assert any(name in path for path in hub)


def test_a_hub_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that never answers stands for a firewall that swallows every packet."""
    monkeypatch.setattr(sources, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(InpaintError, match=r"cannot be reached from here.*hf download a/b --local-dir"):
            Engine(ModelSpec("a/b", vae="c/d", device="cpu"))
        silent.settimeout(1)
        silent.accept()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_an_unreachable_hub_leaves_what_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9")
    snapshot = tmp_path / "cache" / "models--a--b" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text('{"_class_name": "X"}')
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("1")
    assert not hub_answers()
    assert hub_options("a/b") == {"local_files_only": True}
    assert hub_options(str(tmp_path)) == {}
    assert read_config("id", "a/b", "model_index.json") == {"_class_name": "X"}


def test_offline_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, hub: list[str]) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InpaintError, match="HF_HUB_OFFLINE is set.*cache"):
        read_config("id", "somebody/gated", "model_index.json")
    assert hub == []


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".bin", ".SafeTensors"])
@pytest.mark.parametrize("argument", ["id", "vae", "lora", "controlnet"])
def test_a_missing_weight_file_is_never_asked_of_the_hub(argument: str, suffix: str, hub: list[str]) -> None:
    where = f"models/gone{suffix}"
    fields = {"id": "tiny", "device": "cpu", argument: where}
    with pytest.raises(FileNotFoundError, match=f"{argument}='{where}': there is no such file; it was looked for in /"):
        Engine(ModelSpec(**fields))
    assert hub == []


@pytest.mark.parametrize("where", ["/gone/away", "./gone", "../gone", "a/b/c", "C:\\models\\x", "name"])
def test_what_can_be_no_hub_id_is_not_asked_for_either(where: str, hub: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        check_place("lora", where)
    assert hub == []


@pytest.mark.parametrize("content", ["[1]", "3", '"x"'])
def test_a_config_that_is_no_object(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(json.loads(content)))
    with pytest.raises(ValueError, match=r"vae=.*config.json holds no JSON object"):
        read_config("vae", str(tmp_path), "config.json")
