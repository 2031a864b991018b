pytest_plugins = ["tests.reruns"]
