"""The gateway's two ends meet here. This folder is also copied into the sandbox, where nothing but Python 3.9 can be counted on:

    frames.py   one byte link, such as a virtio-serial port: frames, the greeting, finding the beginning again
    mux.py      many connections over it
    relay.py    inside: 127.0.0.1 to the gateway, by its unix socket or by such a link
"""
