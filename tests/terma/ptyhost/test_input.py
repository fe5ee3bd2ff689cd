"""Input: taken whole, in order, counted, and never at the cost of anybody else."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.terma.ptyhost.ptyhost_process import Client, Ptyhost, Refused, wait_until

RAW = "stty raw -echo; echo ready"


def test_what_is_typed_is_counted_for_ever(client: Client) -> None:
    client.open("a", "cat")
    assert client.write("a", b"hello\n") == {"written": 6, "input": 6}
    assert client.answer(client.send_input("a", b"again\n")) == {"written": 6, "input": 12}
    assert client.write("a", b"") == {"written": 0, "input": 12}
    assert client.state("a")["input"] == 12


def test_a_megabyte_arrives_as_it_was_typed(client: Client) -> None:
    text = os.urandom(1_000_000)
    client.open("a", "sh", "-c", f"{RAW}; head -c 1000000 | sha256sum")
    client.follow("a")
    client.wait_for(b"ready")
    numbers = [
        client.send_input("a", text[at : at + 100_000]) for at in range(0, 1_000_000, 100_000)
    ]
    assert [client.answer(number)["input"] for number in numbers] == [
        100_000 * turn for turn in range(1, 11)
    ]  # fmt: skip
    assert hashlib.sha256(text).hexdigest().encode() in client.wait_for(b"-")


def test_too_much_is_refused_while_what_waits_is_kept(client: Client) -> None:
    client.open("a", "sh", "-c", "exec cat")
    client.open("b", "sh", "-c", f"{RAW}; exec sleep 60")
    client.follow("b")
    client.wait_for(b"ready")
    first = client.send_input("b", b"x" * 1_000_000)
    with pytest.raises(Refused) as refused:
        client.write("b", b"y" * 100_000)
    assert refused.value.kind == "busy"
    assert client.write("a", b"") == {"written": 0, "input": 0}
    assert 4_000 < client.state("b")["input"] < 200_000
    client.ask("signal", terminal="b", signal="KILL")
    with pytest.raises(Refused) as refused:
        client.answer(first)
    assert refused.value.kind == "ended"
    assert refused.value.fields["input"] == client.state("b")["input"]


def test_input_of_a_client_that_is_gone_is_dropped_and_can_be_resumed(
    ptyhost: Ptyhost, tmp_path: Path
) -> None:
    text = os.urandom(300_000)
    gate = tmp_path / "gate"
    first, second = ptyhost.client(), ptyhost.client()
    wait = f"until [ -e {gate} ]; do sleep 0.01; done"
    first.open("a", "sh", "-c", f"{RAW}; {wait}; head -c 300000 | sha256sum")
    first.follow("a")
    first.wait_for(b"ready")
    first.send_input("a", text)
    wait_until(lambda: second.state("a")["input"] > 0, "some of it")
    first.close()
    gone = ptyhost.client()  # whoever connects later is served after the other one's end
    gone.close()
    gate.touch()
    second.follow("a")
    typed = second.write("a", b"")["input"]
    assert 0 < typed < len(text)
    assert second.write("a", text[typed:])["input"] == len(text)
    second.wait_for(hashlib.sha256(text).hexdigest().encode())


def test_a_line_that_the_kernel_would_cut_is_refused_whole(client: Client) -> None:
    client.open("a", "sh", "-c", "stty -echo; echo ready; cat | sed -u 's/$/ END/' | sha256sum")
    client.follow("a")
    client.wait_for(b"ready")
    assert client.state("a")["canonical"]
    for text in (b"x" * 4096, b"a\n" + b"x" * 4096 + b"\nb", b"x" * 5000 + b"\r"):
        with pytest.raises(Refused) as refused:
            client.write("a", text, whole_lines=True)
        assert refused.value.kind == "line_too_long"
        assert "4095" in refused.value.message
    assert client.state("a")["input"] == 0
    longest = b"x" * 4095 + b"\n"
    assert client.write("a", 3 * longest, whole_lines=True)["written"] == 3 * 4096
    client.write("a", b"\x04")
    expected = hashlib.sha256(3 * (b"x" * 4095 + b" END\n")).hexdigest()
    client.wait_for(expected.encode())


def test_a_line_counts_from_where_the_one_before_left_off(client: Client) -> None:
    client.open("a", "sh", "-c", "stty -echo; echo ready; cat")
    client.follow("a")
    client.wait_for(b"ready")
    client.write("a", b"x" * 3000, whole_lines=True)
    with pytest.raises(Refused, match="line_too_long"):
        client.write("a", b"x" * 1096, whole_lines=True)
    client.write("a", b"x" * 1095 + b"\n", whole_lines=True)
    client.wait_for(b"x" * 4095 + b"\r\n")


def test_a_program_that_takes_every_key_takes_long_lines(client: Client) -> None:
    client.open("a", "sh", "-c", f"{RAW}; head -c 9000 | wc -c")
    client.follow("a")
    client.wait_for(b"ready")
    assert not client.state("a")["canonical"]
    assert client.write("a", b"x" * 9000, whole_lines=True)["written"] == 9000
    client.wait_for(b"9000")


def test_a_letter_of_several_bytes_is_erased_as_one(client: Client) -> None:
    client.open("a", "sh", "-c", 'read x; echo "<$x>"', environment={"PATH": os.environ["PATH"]})
    client.follow("a")
    client.write("a", "aä\x7fb\n".encode())
    client.wait_for(b"<ab>")


def _fill(client: Client, terminal: str, text: bytes, **arguments: Any) -> int:
    """Type into a terminal that does not read, until it has taken part; returns the request."""
    before, packed = client.state(terminal)["input"], base64.b64encode(text).decode()
    number = client.send("write", terminal=terminal, data=packed, **arguments)
    wait_until(lambda: client.state(terminal)["input"] > before, "a part")
    return number


def test_what_waits_of_a_request_that_is_cancelled_is_not_typed(
    client: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.01; done"
    client.open("a", "sh", "-c", f"{RAW}; {wait}; exec cat")
    client.follow("a")
    client.wait_for(b"ready")
    first = _fill(client, "a", b"x" * 300_000)
    second, third = client.send_input("a", b"second"), client.send_input("a", b"third")
    assert client.ask("cancel", terminal="a", request=second) == {"dropped": 6}
    dropped = client.ask("cancel", terminal="a", request=first)["dropped"]
    typed = client.state("a")["input"]
    assert 0 < typed == 300_000 - dropped < 300_000
    for number, said in ((first, f"{typed} of 300000"), (second, "0 of 6")):
        with pytest.raises(Refused, match=f"cancelled: {said} bytes were typed") as refused:
            client.answer(number)
        assert refused.value.fields["input"] <= typed
    gate.touch()
    assert client.answer(third) == {"written": 5, "input": typed + 5}
    assert client.wait_for(b"third").count(b"x") == typed
    assert b"second" not in client.output[1]


def test_a_line_that_is_typed_in_part_stays_whole_when_its_request_is_cancelled(
    client: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.01; done"
    client.open("a", "sh", "-c", f"stty -echo; echo ready; {wait}; exec cat")
    client.follow("a")
    client.wait_for(b"ready")
    lines = b"".join(b"line %06d of alice\n" % number for number in range(20_000))
    first = _fill(client, "a", lines, whole_lines=True)
    dropped = client.ask("cancel", terminal="a", request=first)["dropped"]
    with pytest.raises(Refused, match="cancelled"):
        client.answer(first)
    kept = len(lines) - dropped
    assert kept % 21 == 0
    gate.touch()
    assert client.write("a", b"END\n", whole_lines=True)["input"] == kept + 4
    said = client.wait_for(b"END\r\n").replace(b"\r\n", b"\n")
    # The kernel keeps no more than 4,095 bytes of what nobody reads; what it kept is whole.
    assert set(said.splitlines()) <= {b"ready", b"END", *lines.splitlines()}


def test_a_line_of_a_request_that_was_cancelled_is_not_continued(client: Client) -> None:
    client.open("a", "sh", "-c", "stty -echo; echo ready; exec sleep 60")
    client.follow("a")
    client.wait_for(b"ready")
    client.write("a", b"x" * 1000, whole_lines=True)
    _fill(client, "a", b"\n" * 400_000, whole_lines=True)
    packed = base64.b64encode(b"x" * 4000).decode()
    number = client.send("write", terminal="a", data=packed, whole_lines=True)
    assert client.ask("cancel", terminal="a", request=number) == {"dropped": 4000}
    with pytest.raises(Refused, match="cancelled"):
        client.answer(number)
    again = client.send("write", terminal="a", data=packed, whole_lines=True)
    with pytest.raises(Refused, match="line_too_long"):
        client.write("a", b"x" * 96, whole_lines=True)
    assert client.ask("cancel", terminal="a", request=again) == {"dropped": 4000}


def test_only_ones_own_requests_that_wait_can_be_cancelled(ptyhost: Ptyhost) -> None:
    first, second = ptyhost.client(), ptyhost.client()
    first.open("a", "sh", "-c", f"{RAW}; exec sleep 60")
    first.follow("a")
    first.wait_for(b"ready")
    number = _fill(first, "a", b"x" * 300_000)
    assert second.ask("cancel", terminal="a", request=number) == {"dropped": 0}
    assert first.ask("cancel", terminal="a", request=number - 1) == {"dropped": 0}
    assert first.ask("cancel", terminal="a", request=number)["dropped"] > 0
    assert first.ask("cancel", terminal="a", request=number) == {"dropped": 0}


@pytest.mark.parametrize("data", ["!", "a", "YQ", "\0"])
def test_what_is_no_base64_is_refused(client: Client, data: str) -> None:
    client.open("a", "cat")
    with pytest.raises(Refused, match="usage"):
        client.ask("write", terminal="a", data=data)


def test_input_for_a_terminal_that_is_not_there_is_refused(client: Client) -> None:
    for number in (client.send_input("none", b"x"), client.send("write", terminal="b", data="")):
        with pytest.raises(Refused, match="not_found"):
            client.answer(number)
