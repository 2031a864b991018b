"""How a target is asked: ICMP, TCP and UDP, one carrier for each method and family, with legs of its own."""
