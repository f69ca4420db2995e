"""The pages, the API and the live stream.

Receives what storage, alerts and desk know; hands on HTML, JSON and server-sent events. Knows no
SQL and no detector's insides.
"""
