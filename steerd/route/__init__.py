"""The kernel's side of steering: which rules, routes and nexthops are wanted, and how they get there.

``model`` and ``wanted`` are pure; ``kernel`` and ``nft`` speak to the kernel; ``reconcile`` joins them on one worker
thread; ``around`` and ``conflicts`` look at what others do; ``router`` is the face that the daemon knows.
"""
