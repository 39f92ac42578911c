"""From a Crossbar node configuration to one of ours: what it says, and what has no counterpart here.

The format is Crossbar's, version 2, as its documentation describes it: workers of several types, of which the routers
have realms (with roles, with permissions) and transports (with endpoints, paths and authentication).
"""
