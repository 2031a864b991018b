"""The kernel's side of steering: which rules, routes and nexthops are wanted, and how they get there.

``desired`` and ``diff`` are pure; ``netlink`` and the ``*_codec`` files speak to the kernel; ``reconcile``
joins the two on one worker thread; ``router`` is the face that the daemon knows.
"""
