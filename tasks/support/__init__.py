"""What tasks call: their output, the clock that all machines share, and how long they wait for each other."""
