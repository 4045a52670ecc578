"""The local system: PostgreSQL and Redis out of wheels, and the processes of `make up`, all inside one folder (VAR).

The tests start their throwaway servers with the same code. Nothing here reaches Django or Celery: the package starts
them as processes, so that it can also say in a sentence why they did not start.
"""
