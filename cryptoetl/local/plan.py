"""What one copy is to run: where, on which port, with which servers. Its state file tells every process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptoetl.local import binaries, nonroot, own_servers, ports, servers
from cryptoetl.local.folder import Folder, password


@dataclass
class Plan:
    """`database_url` and `redis_url` name servers of the user's own; what is not named is embedded."""

    folder: Folder
    port: int
    database_url: str = ""
    redis_url: str = ""
    secret_key: str = ""
    demo: bool = False
    provider_port: int | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def embedded(self) -> list[str]:
        return [*(["postgres"] if not self.database_url else []), *(["redis"] if not self.redis_url else [])]

    @property
    def programs(self) -> list[str]:
        return [*self.embedded, *(["provider"] if self.provider_port else []), "web", "worker", "beat"]

    def write_state(self) -> dict[str, Any]:
        """The state of this start: passwords and the secret key are made once, ports are kept while they are free."""
        state = self.folder.read_state()
        state["secret_key"] = state.get("secret_key") or password()
        environment = {"PORT": str(self.port), "SECRET_KEY": self.secret_key or state["secret_key"]}
        if self.database_url:
            own_servers.check_database(self.database_url)
            environment["DATABASE_URL"] = self.database_url
        else:
            kept = state.get("postgres", {})
            method = nonroot.method_for(binaries.postgres(), self.folder.path)
            port = ports.server_port(kept.get("port"))
            state["postgres"] = {"port": port, "password": kept.get("password") or password(), "method": method}
            environment["DATABASE_URL"] = servers.postgres(self.folder, state).url
        if self.redis_url:
            own_servers.check_redis(self.redis_url)
            environment["REDIS_URL"] = self.redis_url
        else:
            kept = state.get("redis", {})
            port = ports.server_port(kept.get("port"))
            state["redis"] = {"port": port, "password": kept.get("password") or password()}
            environment["REDIS_URL"] = servers.redis(self.folder, state).url
        state |= {"demo": self.demo, "provider_port": self.provider_port, "environment": environment | self.extra}
        self.folder.write_state(state)
        return state
