"""How a queue is kept in hand: limits, rates, resources, turns and pauses, as people ask."""
