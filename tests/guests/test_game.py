"""PodSixNet, a library for games: both ends are asynchat channels, and each frame of the game polls its own map once."""

from __future__ import annotations

from tests.guests.conftest import CHECK, Host

SERVER = """
import time
from PodSixNet.Channel import Channel
from PodSixNet.Server import Server

class Player(Channel):
    def Network_say(self, data):
        for channel in self._server.channels:
            channel.Send({"action": "heard", "from": data["from"], "what": data["what"]})

    def Close(self):
        self._server.channels.remove(self)
        print("left", len(self._server.channels), flush=True)

server = Server(channelClass=Player, localaddr=("127.0.0.1", 0))
assert isinstance(server, asyncore.dispatcher) and issubclass(Player, asynchat.async_chat)
print(server.socket.getsockname()[1], flush=True)
while True:
    server.Pump()
    time.sleep(0.001)  # a frame
"""

PLAYERS = """
import time
from PodSixNet.EndPoint import EndPoint

players = [EndPoint(("127.0.0.1", {port})) for name in ("ada", "mary")]
heard = [[], []]

def frames(until):
    while not until():
        for player, list in zip(players, heard):
            player.Pump()
            list.extend(data for data in player.GetQueue() if data["action"] == "heard")
            assert not [data for data in player.GetQueue() if data["action"] in ("error", "disconnected")]
        time.sleep(0.001)

for player in players:
    player.DoConnect()
frames(lambda: all(player.isConnected for player in players))
for number in range(20):
    players[0].Send(dict(action="say", what=["move", number], **{{"from": "ada"}}))
players[1].Send(dict(action="say", what="x" * 100_000, **{{"from": "mary"}}))
frames(lambda: all(len(list) == 21 for list in heard))
for list in heard:
    assert [data["what"][1] for data in list if data["from"] == "ada"] == [*range(20)], list
    assert [len(data["what"]) for data in list if data["from"] == "mary"] == [100_000]
players[0].close()
print("all heard", flush=True)
frames(lambda: False)
"""


def test_what_one_player_says_all_players_hear_in_order(host: Host) -> None:
    server = host("PodSixNet", CHECK + SERVER)
    port = int(server.line())
    players = host("PodSixNet", CHECK + PLAYERS.format(port=port))

    assert [server.line(), server.line()] == ["connection", "connection"]
    assert players.line() == "all heard"
    assert server.line() == "left 1"
