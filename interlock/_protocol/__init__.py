"""What interlock says to Redis: a function for each Lua script, the writes that it stores, how it encodes items."""
