"""Secrets by the API: stored, listed by name, removed, and never shown."""
from engine import secrets

VALUE = "a-very-secret-value"


def test_a_secret_is_stored_and_never_read_back(client, app, caplog):
    assert client.get("/api/secrets").json == {"secrets": []}
    answer = client.put("/api/secrets/NPM_TOKEN", json={"value": VALUE})
    assert (answer.status_code, answer.json) == (200, {"secrets": ["NPM_TOKEN"]})
    swarm = app.extensions["swarm"]
    assert secrets.get(swarm.config.data, "default", "NPM_TOKEN", {}) == VALUE
    said = [client.get("/api/secrets").text, client.get("/api/engine").text, client.get("/engine").text, caplog.text]
    assert not any(VALUE in text for text in said)
    assert client.get("/api/secrets/NPM_TOKEN").status_code == 405
    assert client.delete("/api/secrets/NPM_TOKEN").json == {"secrets": []}
    assert client.delete("/api/secrets/NPM_TOKEN").status_code == 404


def test_what_cannot_be_a_secret_is_refused_without_its_value(client):
    for name, value in (("SWARM_DATA", VALUE), ("A-B", VALUE), ("SHORT", "1234567"), ("NUMBER", 1234567890)):
        answer = client.put(f"/api/secrets/{name}", json={"value": value})
        assert answer.status_code == 400 and str(value) not in answer.text
