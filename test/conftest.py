"""Loads the fixture modules of this folder; each says what it offers."""

pytest_plugins = [
    "cache_fixtures",
    "control_plane_fixtures",
    "demo_fixtures",
    "agent_fixtures",
    "model_fixtures",
    "scan_fixtures",
    "server_fixtures",
    "following_fixtures",
    "http_fixtures",
    "laboratory_fixtures",
    "kept_server",
    "shop_cache_fixtures",
    "terminal_fixtures",
    "peer_fixtures",
    "two_clusters",
]
