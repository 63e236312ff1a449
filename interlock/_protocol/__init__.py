"""What is said to Redis: one typed signature a Lua script, the writes that it stores, how items are encoded."""
