"""The batch queue behind `workflows/queue_batch.py`. Standard library, websocket-client and, if there, tqdm.

Reading order: `workflow`, `inputs`, `jobs`, `manifest`: what is to be done. `client`, `feed`: one server. `failures`,
`results`: what it answers. `board`, `worker`, `runner`: who does what. `progress`, `arguments`, `cli`: the person.
"""
