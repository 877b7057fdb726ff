"""Pictures of rows: img2dataset, with one gate between it and the network.

img2dataset decodes, resizes and packs; it asks for rows by number, and only the gate
(`laion_probe.fetching.gate`) knows their addresses and goes out to them. So what may be asked, and
what may come in, is decided in one place, whatever a redirect or a name says.
"""
