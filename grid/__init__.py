"""The words of the field: quantities, readings, the network, faults, and what people call them.

Every other room imports this one; it imports none of them and speaks to no server.
"""
