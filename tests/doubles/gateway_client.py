"""A client inside a sandbox that asks the model of its run's gateway."""
CLIENT = '''
cat > client.py <<'END'
import json, os, sys, urllib.error, urllib.request
def ask(words, **options):
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": words}], "max_tokens": 10, **options}).encode()
    request = urllib.request.Request(os.environ["SWARM_OPENAI_BASE_URL"] + "/chat/completions", body,
                                     {"Authorization": "Bearer " + os.environ["SWARM_GATEWAY_TOKEN"]})
    try:
        return urllib.request.urlopen(request, timeout=30).read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
END
'''
