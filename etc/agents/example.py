#!/usr/bin/python3
"""A transport agent for zpost: appends mail to files named after the recipients' local parts.

example.py FOLDER                  started by zpost-master for an [[agent]] with this program
example.py FOLDER CHANNEL SOCKET   started by anybody; connects to the agents socket in the run folder
See zpost-agent(7)."""
import json, os, re, socket, sys

def deliver(job, message, say):
    content = os.pread(message, job["size"], job["offset"])
    for recipient in job["recipients"]:
        name = recipient["address"].rpartition("@")[0]
        answer = {"result": job["job"], "recipient": recipient["recipient"]}
        if re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name):
            with open(os.path.join(sys.argv[1], name), "ab") as mailbox:
                mailbox.write(content)
            say(answer | {"outcome": "delivered", "text": "appended", "remote": name})
        else:
            say(answer | {"outcome": "failed", "status": "5.1.3", "text": "no such mailbox"})
    say({"hungry": 1})

if len(sys.argv) > 2:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.connect(sys.argv[3])
    say = lambda words: link.send(json.dumps(words).encode())
    say({"register": sys.argv[2]})
    say({"hungry": 1})
    while (packet := socket.recv_fds(link, 1 << 18, 1)) and packet[0] and "job" in (job := json.loads(packet[0])):
        deliver(job, packet[1][0], say)
        os.close(packet[1][0])
else:
    say = lambda words: print(json.dumps(words), flush=True)
    say({"hungry": 1})
    for line in sys.stdin:
        deliver(json.loads(line), 3, say)
