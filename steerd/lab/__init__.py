"""A world of emulated PoPs in network namespaces, for `steerd demo` and the tests."""
