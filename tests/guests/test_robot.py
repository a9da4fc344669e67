"""irc-bot, a robot in chat rooms: an asynchat channel that connects by itself, polled in a map whose key is its socket."""

from __future__ import annotations

import socket

import pytest

from tests.guests.conftest import CHECK, PATIENCE, Host

ROBOT = """
import logging
logging.basicConfig(level=logging.CRITICAL)
from irc_bot.simple_irc_bot import SimpleIRCBot

class Robot(SimpleIRCBot):
    def join(self, channels, delay=None):
        super().join(channels)  # at once

    def on_privmsg(self, message):
        if message.arguments[1] == "leave":
            self.quit()
        else:
            self.send_privmsg(message.arguments[0], message.arguments[1].upper())

robot = Robot(dict(servers=["127.0.0.1"], port={port}, channels=["#room", "#vault key"], nickname="robot"))
assert isinstance(robot, asynchat.async_chat)
robot.start()
print("has left", robot.connected, len(asyncore.socket_map), flush=True)
"""

WELCOME = ":server 001 robot :Welcome\r\n:server 376 robot :End of /MOTD command.\r\n"
BUSY = "".join(f":ada!ada@host PRIVMSG #room :line {number}\r\n" for number in range(500))


@pytest.mark.slow
def test_a_robot_joins_its_rooms_answers_everybody_in_order_and_leaves(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        robot = host("irc-bot", CHECK + ROBOT.format(port=listener.getsockname()[1]))
        server, _ = listener.accept()
    with server, server.makefile("rw", encoding="ascii", newline="") as lines:
        server.settimeout(PATIENCE)

        def say(text: str) -> None:
            lines.write(text)
            lines.flush()

        assert [lines.readline().split()[0] for _ in range(2)] == ["USER", "NICK"]
        say(WELCOME)
        assert [lines.readline() for _ in range(2)] == ["JOIN #room\r\n", "JOIN #vault key\r\n"]
        say(":robot!robot@host JOIN #room\r\nPING :12345\r\n")
        assert lines.readline() == "PONG :12345\r\n"
        say(BUSY)
        assert [lines.readline() for _ in range(500)] == [f"PRIVMSG #room :LINE {number}\r\n" for number in range(500)]
        say(":ada!ada@host PRIVMSG robot :leave\r\n")
        assert lines.readline() == "QUIT :I'm outta here!\r\n"
        assert lines.readline() == ""
    assert robot.line() == "has left False 0"
