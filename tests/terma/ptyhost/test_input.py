"""Input: taken whole, in order, counted, and never at the cost of anybody else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

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


@pytest.mark.parametrize("data", ["!", "a", "YQ", "\0"])
def test_what_is_no_base64_is_refused(client: Client, data: str) -> None:
    client.open("a", "cat")
    with pytest.raises(Refused, match="usage"):
        client.ask("write", terminal="a", data=data)


def test_input_for_a_terminal_that_is_not_there_is_refused(client: Client) -> None:
    for number in (client.send_input("none", b"x"), client.send("write", terminal="b", data="")):
        with pytest.raises(Refused, match="not_found"):
            client.answer(number)
