"""Notes when jobs begin, live and end, by its own clock alone. A job keeps one connection open for as long as it lives: the connection's
end without a farewell is the end of a process that was killed. Port 7000 listens to jobs, port 7001 tells (GET /<scene>)."""

import asyncio
import json
import time

notes = []


async def listen(reader, writer):
    note = None
    try:
        while line := await reader.readline():
            now = time.time()
            word, _, rest = line.decode().strip().partition(" ")
            if word == "begin":
                note = json.loads(rest) | {"began": now, "seen": now, "end": None}
                notes.append(note)
                writer.write(b"noted\n")
            elif word == "beat":
                note["seen"] = now
            elif word == "end":
                note |= {"seen": now, "end": "farewell"}
                writer.write(b"noted\n")
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        if note is not None and note["end"] is None:
            note["end"] = "cut"
            note["cut"] = time.time()
        writer.close()


async def tell(reader, writer):
    request = (await reader.readline()).split()
    while (await reader.readline()).strip():
        pass
    scene = request[1].decode().lstrip("/") if len(request) > 1 else ""
    body = json.dumps([note for note in notes if note["scene"] == scene]).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()


async def main():
    servers = [await asyncio.start_server(listen, "", 7000), await asyncio.start_server(tell, "", 7001)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
