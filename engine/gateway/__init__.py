"""What a run may reach: models, without their keys, and listed hosts. Everything is counted.

An HTTP gateway that the run's own process serves on a unix socket is the one way out of a sandbox.

    server.py     the sockets, a thread for each connection, which side a request is for
    http1.py      strict HTTP/1.1: heads, bodies, what goes on and what does not
    shapes.py     the providers: paths, where the key goes, how errors and usage look
    model.py      one request to a model, forwarded as it streams
    verdict.py    what a provider's answer means for a run: good, a failure of the agent, a wait, or someone must act
    heard.py      how the provider last answered in this run
    meter.py      the tokens of one reply, told while it streams
    prices.py     tokens to money
    ledger.py     the budget of a run and of its session
    egress.py     the proxy for the allowed host names
    reach.py      which names, ports and addresses those are, by the kinds of addresses.py
    mirrors.py    the settings for a company's own registries
    parent.py     the company's proxy, to what is public
    record.py     requests.jsonl: everything that was asked, allowed or refused
    link/         many connections over one byte link, both ends; bridge.py is the host's, for a VM
    serving.py    the gateway in the life of a run, and what it says of how the run ended
"""
